"""What an ordinary user can do to a host, as much of it as asked for: ``acts.py NAME COUNT FOLDER MODEL``.

Needs nothing but Python. Prints ``begun`` after the first hundredth, and ``done COUNT`` once as much was done; until
its input ends it goes on with more of the same, a thousand a second, so that whatever is measured falls into it.
"""

import contextlib
import fcntl
import itertools
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

AT_ONCE = 64
"""Programs that run at once."""
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_TRUE = "/bin/true"


def execs(folder: Path, model: Path) -> Iterator[int]:
    """Programs that end at once, each tenth with 1.5 MiB of arguments."""
    heavy = [_TRUE, *(f"--token=x{number}{'y' * 100_000}" for number in range(15))]
    light = [_TRUE, "--password", "x" * 2_000, str(model), "--api-key", "z" * 500]
    for number in itertools.count():
        os.posix_spawn(_TRUE, light if number % 10 else heavy, {"N": str(number)})
        _reap(AT_ONCE if number % 10 else 8)
        yield 1


def forks(folder: Path, model: Path) -> Iterator[int]:
    """Processes that run no program, begin a session of their own and end."""
    while True:
        if os.fork() == 0:
            os.setsid()
            os._exit(0)
        _reap(AT_ONCE)
        yield 1


def sparse(folder: Path, model: Path) -> Iterator[int]:
    """Files of 1 GiB without content, named and headed like models."""
    head = model.read_bytes()[:4096]
    for number in itertools.count():
        place = folder / f"{number // 10_000}"
        if number % 10_000 == 0:
            place.mkdir(exist_ok=True)
        file = os.open(place / f"model-{number % 10_000:05}.safetensors", os.O_WRONLY | os.O_CREAT, 0o644)
        if number % 50 == 0:
            os.write(file, head)
        os.ftruncate(file, 2**30)
        os.close(file)
        yield 1


def listeners(folder: Path, model: Path) -> Iterator[int]:
    """Sockets that listen on loopback, in a network of their own where that may be made."""
    if "apart" in sys.argv:
        _up()
    held = []
    for number in itertools.count():
        try:
            one = socket.socket()
            one.bind((f"127.77.{os.getpid() % 250}.{number // 20_000 + 1}", number % 20_000 + 32_768))
            one.listen(1)
            held.append(one)
        except OSError:  # no descriptor left: some are given back
            for gone in held[:100]:
                gone.close()
            del held[:100]
        yield 1


def connects(folder: Path, model: Path) -> Iterator[int]:
    """Connections to a port of its own, and to one where nobody listens."""
    server = socket.create_server((f"127.78.{os.getpid() % 250}.1", 0), backlog=1000)
    server.setblocking(False)
    place = server.getsockname()
    for number in itertools.count():
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                one.connect(place if number % 2 else ("127.0.0.1", 1))
        with contextlib.suppress(OSError):
            server.accept()[0].close()
        yield 1


def unix(folder: Path, model: Path) -> Iterator[int]:
    """Sockets in the abstract namespace and in the filesystem that listen, with talks between them."""
    held: list[socket.socket] = []
    for number in itertools.count():
        try:
            one = socket.socket(socket.AF_UNIX)
            one.bind(f"\0flood-{os.getpid()}-{number}" if number % 2 else str(folder / f"s{os.getpid()}-{number}"))
            one.listen(1)
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(one.getsockname())
                other.send(b"x" * 1000)
            held.append(one)
        except OSError:
            for gone in held:
                gone.close()
            held.clear()
        if len(held) > 5_000:
            held.pop(0).close()
        yield 1


def renames(folder: Path, model: Path) -> Iterator[int]:
    """One file renamed, linked, written and removed again and again, under names of models."""
    mine = folder / f"r{os.getpid()}"
    mine.mkdir()
    names = [mine / f"model-{number}.safetensors" for number in range(100)]
    for number in itertools.count():
        first, second = names[number % 100], names[(number + 1) % 100]
        if not first.exists():
            first.write_bytes(b"x" * 100)
        first.rename(second)
        os.link(second, first)
        second.unlink()
        yield 3


def names(folder: Path, model: Path) -> Iterator[int]:
    """Folders as deep as they can be made, and files whose names hold every byte that a name may."""
    odd = [bytes(b for b in range(start, start + 85) if b not in (0, 47)) for start in (1, 86, 171)]
    odd += [b"\x1b]0;x\x07\x1b[2J.safetensors", b"a\nb.gguf", b"\xff\xfe.bin", b"x" * 240 + b".safetensors"]
    for number in itertools.count():
        os.chdir(folder)
        top = f"{os.getpid()}-{number}"
        Path(top).mkdir()
        os.chdir(top)
        for depth in range(300):
            Path("d" * 100).mkdir()
            os.chdir("d" * 100)
            for name in odd if depth % 30 == 0 else odd[-1:]:
                Path(os.fsdecode(name)).write_bytes(b"x" * 10)
                yield 1


def opens(folder: Path, model: Path) -> Iterator[int]:
    """The protected model opened, mapped and closed again and again."""
    while True:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ) as part:
            assert part[0] is not None
        yield 1


def copies(folder: Path, model: Path) -> Iterator[int]:
    """Copies of the protected model that are no pretence, each by a program and in a session of its own."""
    for number in itertools.count():
        target = folder / f"copy-{os.getpid()}-{number % 20}"
        with subprocess.Popen(["/bin/cp", str(model), str(target)], start_new_session=True):
            pass
        yield 1


def page(folder: Path, model: Path) -> Iterator[int]:
    """Connections to the page of metrics: silent ones, half requests, whole ones, headers without end."""
    port = int(next(word for word in sys.argv if word.startswith("port=")).partition("=")[2])
    said = (b"", b"GET /met", b"GET /metrics HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
    held: list[socket.socket] = []
    for number in itertools.count():
        one = socket.socket()
        one.settimeout(0.2)
        with contextlib.suppress(OSError):
            one.connect((f"127.0.0.{number % 200 + 1}" if number % 2 else "127.0.0.1", port))
            one.send(said[number % 4])
        held.append(one)
        if len(held) > 500:
            held.pop(0).close()
        yield 1


def watches(folder: Path, model: Path) -> Iterator[int]:
    """All that the kernel gives one user of inotify: instances and watches, and queues that nobody reads."""
    init, add = _libc("inotify_init1"), _libc("inotify_add_watch")
    held = []
    for number in itertools.count():
        place = folder / f"w{os.getpid()}-{number % 5_000}"
        if number < 5_000:
            place.mkdir()
        if number % 500 == 0 and len(held) < 100 and (one := init(0)) >= 0:
            held.append(one)
        add(held[-1], os.fsencode(place), 0xFFF)
        (place / "x").touch()
        yield 1


def _libc(name: str) -> Callable[..., int]:
    import ctypes  # not before it is needed: this file starts many times

    return getattr(ctypes.CDLL(None, use_errno=True), name)


def _reap(most: int) -> None:
    """Wait until fewer than so many children run."""
    _running.append(1)
    with contextlib.suppress(ChildProcessError):
        while _running and os.waitpid(-1, 0 if len(_running) >= most else os.WNOHANG)[0]:
            _running.pop()


_running: list[int] = []


def _up() -> None:
    """Bring up the loopback of a new network."""
    with socket.socket() as one:
        fcntl.ioctl(one, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


ACTS = (execs, forks, sparse, listeners, connects, unix, renames, names, opens, copies, page, watches)


def main() -> None:
    """Do one of them."""
    name, count, folder, model = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    act = next(each for each in ACTS if each.__name__ == name)
    signal.alarm(3600)  # should whoever started it be gone
    over = threading.Event()
    threading.Thread(target=lambda: (os.read(0, 1), over.set()), daemon=True).start()
    total, begun, done = 0, False, False
    for amount in act(folder, model):
        total += amount
        if not begun and total * 100 >= count:
            begun = bool(print("begun", flush=True)) or True
        if not done and total >= count:
            done = bool(print("done", total, flush=True)) or True
        if done and over.is_set():
            break
        if done:
            time.sleep(0.001)  # a flood still, and other tests of the machine get on
    print("ended", total, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
