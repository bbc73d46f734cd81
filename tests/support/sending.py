"""Programs that send weights off the host, for scenarios: sending.py WHAT …, each ends by itself.

``push SOURCE HOST PORT`` by TCP, ``slowly`` over some seconds, ``datagrams`` by UDP without a connection, ``several``
by one process after another; ``forward FOLDER HOST PORT`` passes on what it gets at a port of its own, which it writes
to the folder, until ``stop`` is there. ``fetch HOST PORT`` is who has a web server send to it.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path

SECONDS = 120.0
PIECE = 1 << 18


def push(source: str, host: str, port: str, pause: float = 0.0) -> None:
    with socket.create_connection((host, int(port)), 30) as line, Path(source).open("rb") as file:
        time.sleep(30 * pause)  # longer than between two looks of the portable tier at who holds what
        while data := file.read(PIECE):
            line.sendall(data)
            time.sleep(pause)


def datagrams(source: str, host: str, port: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as line, Path(source).open("rb") as file:
        while data := file.read(1400):
            with contextlib.suppress(ConnectionRefusedError):
                line.sendto(data, (host, int(port)))


def several(source: str, host: str, port: str) -> None:
    """Each child reads and sends one piece; a third of them by UDP."""
    size = Path(source).stat().st_size
    for number, start in enumerate(range(0, size, PIECE)):
        if os.fork() == 0:
            with Path(source).open("rb") as file:
                file.seek(start)
                data = file.read(PIECE)
            if number % 3:
                with socket.create_connection((host, int(port)), 30) as line:
                    line.sendall(data)
            else:
                with socket.socket(type=socket.SOCK_DGRAM) as line:
                    for at in range(0, len(data), 1400):
                        line.sendto(data[at : at + 1400], (host, 9))
            os._exit(0)
        os.wait()


def forward(folder: str, host: str, port: str) -> None:
    """Pass on one connection after another, as a proxy or the forwarding of ssh does."""
    deadline = time.monotonic() + SECONDS
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.1)
        (Path(folder) / "port.new").write_text(str(door.getsockname()[1]))
        (Path(folder) / "port.new").rename(Path(folder) / "port")
        while not (Path(folder) / "stop").exists() and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                line, _ = door.accept()
                threading.Thread(target=_passing, args=(line, host, int(port)), daemon=True).start()


def _passing(line: socket.socket, host: str, port: int) -> None:
    line.settimeout(SECONDS)
    with line, socket.create_connection((host, port), 30) as out:
        while data := line.recv(PIECE):
            out.sendall(data)


def fetch(host: str, port: str) -> None:
    """Fetch a model from a web server, as over a slow line: little fits into what is under way."""
    deadline = time.monotonic() + SECONDS
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE // 4)
        while line.connect_ex((host, int(port))) and time.monotonic() < deadline:
            time.sleep(0.1)
        line.sendall(b"GET /model.safetensors HTTP/1.0\r\n\r\n")
        while line.recv(PIECE // 4):
            time.sleep(0.04)


def main(what: str, *words: str) -> None:
    if what == "slowly":
        push(*words, pause=0.15)
    else:
        {"push": push, "datagrams": datagrams, "several": several, "forward": forward, "fetch": fetch}[what](*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
