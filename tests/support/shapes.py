"""Servers of every common shape, as programs: started as ``shapes.py SHAPE WEIGHTS …``, they stay until they are ended.

They import nothing of ours: what the daemon is to tell apart are processes, mappings and sockets.
"""

import mmap
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

KEPT: list[Any] = []
"""What must not be closed."""


def hold(path: str) -> None:
    """Map a file and touch each page of it."""
    with Path(path).open("rb") as file:
        held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    KEPT.append((held, sum(held[:: mmap.PAGESIZE])))


def read(path: str) -> None:
    """Read a file into memory, slowly, and close it."""
    parts = []
    with Path(path).open("rb") as file:
        while part := file.read(2**22):
            parts.append(part)
            time.sleep(0.5)
    KEPT.append(parts)


def listen(port: int = 0) -> socket.socket:
    """Accept connections on loopback."""
    one = socket.create_server(("127.0.0.1", port))
    KEPT.append(one)
    return one


def again(*words: object, **given: Any) -> subprocess.Popen[bytes]:
    """Start another shape as a program of its own."""
    return subprocess.Popen([sys.executable, __file__, *map(str, words)], **given)


def wait() -> None:
    """Stay until ended, and reap who was started."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def mapped(weights: str) -> None:
    """One process."""
    hold(weights)
    listen()


def slurped(weights: str) -> None:
    """One process that read the weights and closed them."""
    read(weights)
    listen()


def rank(weights: str) -> None:
    """One of several; the first is the door, the others connect to it. Only the environment tells them apart."""
    place = Path(os.environ["RENDEZVOUS"])
    if os.environ["RANK"] == "0":
        port = listen().getsockname()[1]
        place.with_suffix(".new").write_text(str(port))
        place.with_suffix(".new").rename(place)
    else:
        while not place.exists():
            time.sleep(0.05)
        listen()  # as gloo and nccl do, for their peers
        KEPT.append(socket.create_connection(("127.0.0.1", int(place.read_text()))))
    hold(weights)


def replica(weights: str) -> None:
    """A server of its own, its port told by nothing."""
    hold(weights)
    listen()


def ranks(weights: str, place: str) -> None:
    """A launcher of two tensor-parallel ranks."""
    for number in range(2):
        again("rank", weights, env=os.environ | {"RANK": str(number), "RENDEZVOUS": place})


def replicas(weights: str) -> None:
    """A launcher of three servers that have nothing to do with each other."""
    for _ in range(3):
        again("replica", weights)


def scaled(weights: str) -> None:
    """A supervisor that starts one more server after a while."""
    again("replica", weights)
    time.sleep(5)
    again("replica", weights)


def spawned(weights: str) -> None:
    """A front whose workers hold, as vLLM's do."""
    listen()
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        worker = context.Process(target=_hold_and_wait, args=(weights,))
        worker.start()
        KEPT.append(worker)


def _hold_and_wait(weights: str) -> None:
    hold(weights)
    wait()


def preforked(weights: str) -> None:
    """A master that listens, and workers that accept on its socket, as gunicorn's do."""
    listen()
    for _ in range(3):
        if not os.fork():
            _hold_and_wait(weights)


def memfd(weights: str) -> None:
    """A copy without a name."""
    copy = os.memfd_create("w")
    with Path(weights).open("rb") as file:
        while part := file.read(2**20):
            os.write(copy, part)
    held = mmap.mmap(copy, 0, prot=mmap.PROT_READ)
    KEPT.append((held, sum(held[:: mmap.PAGESIZE])))
    listen()


def tmpfs(weights: str, target: str) -> None:
    """A copy in memory, under a name."""
    subprocess.run(["cp", weights, target], check=True)
    hold(target)
    listen()


def unix(weights: str, path: str) -> None:
    """A server at a Unix socket."""
    hold(weights)
    _serve_at(path)


def _serve_at(path: str) -> None:
    one = socket.socket(socket.AF_UNIX)
    one.bind(path)
    one.listen()
    KEPT.append(one)


def client(path: str) -> None:
    """Whoever uses a server at a Unix socket."""
    while True:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(path)
        except OSError:
            time.sleep(0.05)
        else:
            KEPT.append(one)
            return


def private(weights: str, path: str) -> None:
    """A program with a helper that talks to it by a Unix socket: nobody else does."""
    _serve_at(path)
    again("client", path)
    time.sleep(1)
    hold(weights)


def router(weights: str) -> None:
    """A front that talks to its worker by pipes."""
    KEPT.append(again("worker", weights, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    listen()


def worker(weights: str, *_: str) -> None:
    """It holds, and does not listen."""
    hold(weights)


def front(*_: str) -> None:
    """It listens, and does not hold."""
    listen()


def beside(weights: str) -> None:
    """A launcher of a front and a worker that have a socket pair in common."""
    near, far = socket.socketpair()
    again("front", pass_fds=(near.fileno(),))
    again("worker", weights, pass_fds=(far.fileno(),))
    near.close(), far.close()


def sharing(weights: str) -> None:
    """The same with shared memory."""
    memory = shared_memory.SharedMemory(create=True, size=4096)
    again("attached", memory.name)
    again("attached", memory.name, weights)
    memory.close()


def attached(name: str, weights: str = "") -> None:
    """A front, or with weights a worker, that has memory in common with the other."""
    KEPT.append(shared_memory.SharedMemory(name))
    hold(weights) if weights else listen()


def strangers(weights: str) -> None:
    """A supervisor of a front and a worker that have nothing in common."""
    for words in (("front",), ("worker", weights)):
        again(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def dummy(_: str) -> None:
    """A server without weights."""
    listen()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    wait()
