"""The far end of what is sent off the host: takes everything at port 9000, and what HTTP uploads at 8080.

Usage: far.py ADDRESS FILE; the file is written once both ports are open. Ends by itself.
"""

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

SECONDS = 1800.0


def swallow(line: socket.socket, *, http: bool) -> None:
    with contextlib.suppress(OSError), line:
        line.settimeout(60)
        head, body = b"", b""
        while http and b"\r\n\r\n" not in head:
            head += line.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        if b"100-continue" in head.lower():
            line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = next((int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), None)
        got, last = len(body), body[-5:]
        while (got < length) if length is not None else (last != b"0\r\n\r\n" or not http):
            more = line.recv(1 << 20)
            if not more:
                break
            got, last = got + len(more), (last + more)[-5:]
        if http:
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def accept(door: socket.socket, *, http: bool) -> None:
    while True:
        line, _ = door.accept()
        threading.Thread(target=swallow, args=(line,), kwargs={"http": http}, daemon=True).start()


def main(address: str, told: str) -> None:
    for port in (8080, 9000):
        door = socket.create_server((address, port), backlog=64)
        threading.Thread(target=accept, args=(door,), kwargs={"http": port == 8080}, daemon=True).start()
    Path(told).write_text(f"{os.getpid()}\n")
    threading.Event().wait(SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
