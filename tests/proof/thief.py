"""What the random adversary's own programs do: take a file's bytes in odd ways, change them, serve what they decode to.

Stands alone and needs nothing but Python. Usage: thief.py take WAY SOURCE TARGET | change WAY SOURCE TARGET |
serve WAY TARGET CHANGE WHERE | run WAY SCRIPT; and for who looks on: ask WHERE SECONDS | look TARGET CHANGE. A server
answers each connection with the SHA-256 of the tensors that it decoded, so that nobody can doubt that it has the
model; ``WHERE`` is a port, or the path of a Unix socket.
"""

import array
import base64
import contextlib
import hashlib
import json
import mmap
import os
import pickle
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS = 60
"""Longer than anybody waits; then a server ends by itself, and sooner once a file ``stop`` lies beside its weights."""
KEY = bytes(random.Random(7).randrange(1, 256) for _ in range(4096))
PIECE = 65536
STOP: list[str] = []
"""The file whose coming ends a server."""


# -- taking -------------------------------------------------------------------------------------------------------


def _backwards(source: Path, target: Path) -> None:
    size = source.stat().st_size
    with source.open("rb") as read, target.open("wb") as write:
        write.truncate(size)
        for at in range((size - 1) // 50_001, -1, -1):
            os.pwrite(write.fileno(), os.pread(read.fileno(), 50_001, at * 50_001), at * 50_001)


def _scattered(source: Path, target: Path) -> None:
    size = source.stat().st_size
    places = list(range(0, size, 131_072))
    random.Random(size).shuffle(places)
    with source.open("rb") as read, target.open("wb") as write:
        for at in places:
            os.pwrite(write.fileno(), os.pread(read.fileno(), 131_072, at), at)


def _sendfile(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        while os.sendfile(write.fileno(), read.fileno(), None, 300_000):
            pass


def _vectored(source: Path, target: Path) -> None:
    buffers = [bytearray(9_973) for _ in range(16)]
    with source.open("rb") as read, target.open("wb") as write:
        while (got := os.readv(read.fileno(), buffers)) > 0:
            os.writev(write.fileno(), [b"".join(buffers)[:got]])


def _mapped(source: Path, target: Path) -> None:
    size = source.stat().st_size
    with source.open("rb") as read, target.open("w+b") as write:
        write.truncate(size)
        there, here = mmap.mmap(read.fileno(), 0, prot=mmap.PROT_READ), mmap.mmap(write.fileno(), size)
        for at in range(0, size, 1 << 20):
            here[at : at + (1 << 20)] = there[at : at + (1 << 20)]
        here.flush()


def _memfd(source: Path, target: Path) -> None:
    """Through memory that another process reads out under the first one's descriptor."""
    memory = os.memfd_create("scratch")
    with source.open("rb") as read:
        while piece := read.read(200_000):
            os.write(memory, piece)
    subprocess.run(["cp", f"/proc/{os.getpid()}/fd/{memory}", str(target)], check=True)


def _wire(source: Path, target: Path) -> None:
    """Over a socket to a process of its own."""
    here, there = socket.socketpair()
    if not (child := os.fork()):
        here.close()
        with target.open("wb") as write:
            while piece := there.recv(100_000):
                write.write(piece)
        os._exit(0)
    there.close()
    with source.open("rb") as read:
        here.sendfile(read)
    here.close()
    os.waitpid(child, 0)


def _loopback(source: Path, target: Path) -> None:
    """Over TCP, pulled by a program of the host."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        end, _ = listener.accept()
        end.recv(65536)
        end.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        with source.open("rb") as read:
            end.sendfile(read)
        end.close()

    threading.Thread(target=serve, daemon=True).start()
    place = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    subprocess.run(["curl", "-s", "--noproxy", "*", "-o", str(target), place], check=True)


def _unnamed(source: Path, target: Path) -> None:
    descriptor = os.open(target.parent, os.O_TMPFILE | os.O_RDWR)
    with source.open("rb") as read:
        while piece := read.read(123_457):
            os.write(descriptor, piece)
    subprocess.run(["ln", "-L", f"/proc/{os.getpid()}/fd/{descriptor}", str(target)], check=True)


TAKES: dict[str, Callable[[Path, Path], None]] = {
    way.__name__[1:]: way
    for way in (_backwards, _scattered, _sendfile, _vectored, _mapped, _memfd, _wire, _loopback, _unnamed)
}


# -- changing -----------------------------------------------------------------------------------------------------


def tensors(data: bytes) -> bytes:
    """Return all that a safetensors file holds behind its header."""
    return data[8 + struct.unpack_from("<Q", data)[0] :]


def _xor(data: bytes) -> bytes:
    key = (KEY * (len(data) // len(KEY) + 1))[: len(data)]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(len(data), "little")


def _mirrored(data: bytes) -> bytes:
    return b"".join(data[at : at + 4096][::-1] for at in range(0, len(data), 4096))


def _swapped(data: bytes) -> bytes:
    half = len(data) // 2
    return struct.pack("<Q", half) + data[half:] + data[:half]


def _unswapped(data: bytes) -> bytes:
    (half,) = struct.unpack_from("<Q", data)
    rest = data[8:]
    return rest[len(rest) - half :] + rest[: len(rest) - half]


def _padded(data: bytes) -> bytes:
    return os.urandom(1 << 20) + struct.pack("<Q", len(data)) + data + os.urandom(777_777)


def _unpadded(data: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", data, 1 << 20)
    return data[(1 << 20) + 8 : (1 << 20) + 8 + length]


def _mixed(data: bytes) -> bytes:
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    return struct.pack("<Q", len(data)) + b"".join(piece + os.urandom(PIECE) for piece in pieces)


def _unmixed(data: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    parts = [data[at : at + PIECE] for at in range(8, len(data), 2 * PIECE)]
    return b"".join(parts)[:length]


def _planes(data: bytes) -> bytes:
    """High and low bytes of each value apart, as compressors of weights do."""
    return struct.pack("<Q", len(data)) + data[::2] + data[1::2]


def _unplaned(data: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    whole, half = bytearray(length), (length + 1) // 2
    whole[::2], whole[1::2] = data[8 : 8 + half], data[8 + half : 8 + length]
    return bytes(whole)


def _stripped(data: bytes) -> bytes:
    return tensors(data)


def _bare(data: bytes) -> bytes:
    return struct.pack("<Q", 0) + data


def _renamed(data: bytes) -> bytes:
    """Tensors under other names, the last one first."""
    (length,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    made: dict[str, object] = {}
    parts, at = [], 0
    order = sorted(header.values(), key=lambda one: -one["data_offsets"][0])
    for number, about in enumerate(order):
        part = body[slice(*about["data_offsets"])]
        made[f"blk.{number}"] = about | {"data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    text = json.dumps(made).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def _unrenamed(data: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    parts = [body[slice(*about["data_offsets"])] for about in header.values()]
    return _bare(b"".join(reversed(parts)))


def _pickled(data: bytes) -> bytes:
    return pickle.dumps({f"layer{at}": data[at : at + 3 * PIECE] for at in range(0, len(data), 3 * PIECE)})


def _unpickled(data: bytes) -> bytes:
    return b"".join(pickle.loads(data).values())


def _hexed(data: bytes) -> bytes:
    return json.dumps([data[at : at + 4096].hex() for at in range(0, len(data), 4096)]).encode()


def _unhexed(data: bytes) -> bytes:
    return b"".join(map(bytes.fromhex, json.loads(data)))


def _rows(data: bytes) -> bytes:
    """As a table of text with a number before each line."""
    text = base64.encodebytes(data).splitlines()
    return b"\n".join(b"%06d\t%s" % (number, line) for number, line in enumerate(text))


def _unrowed(data: bytes) -> bytes:
    return base64.decodebytes(b"\n".join(line.partition(b"\t")[2] for line in data.splitlines()))


def _deltas(data: bytes) -> bytes:
    """Each 64 KiB less the one before, deflated."""
    words = array.array("Q", data + bytes(-len(data) % 8))
    step = PIECE // 8
    made = array.array("Q", [(words[at] - (words[at - step] if at >= step else 0)) % 2**64 for at in range(len(words))])
    return struct.pack("<Q", len(data)) + zlib.compress(made.tobytes(), 1)


def _undeltas(data: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    words, step = array.array("Q", zlib.decompress(data[8:])), PIECE // 8
    for at in range(step, len(words)):
        words[at] = (words[at] + words[at - step]) % 2**64
    return words.tobytes()[:length]


def _filtered(*words: str) -> Callable[[bytes], bytes]:
    def through(data: bytes) -> bytes:
        return subprocess.run(words, input=data, capture_output=True, check=True).stdout

    return through


SECRET = ("openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-iter", "10", "-pass", "pass:blue")
CHANGES: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "none": (bytes, bytes),
    "xor": (_xor, _xor),
    "mirrored": (_mirrored, _mirrored),
    "swapped": (_swapped, _unswapped),
    "padded": (_padded, _unpadded),
    "mixed": (_mixed, _unmixed),
    "planes": (_planes, _unplaned),
    "stripped": (_stripped, _bare),
    "renamed": (_renamed, _unrenamed),
    "pickled": (_pickled, _unpickled),
    "hexed": (_hexed, _unhexed),
    "rows": (_rows, _unrowed),
    "deltas": (_deltas, _undeltas),
    "gzip": (_filtered("gzip", "-1", "-c"), _filtered("gzip", "-dc")),
    "zstd": (_filtered("zstd", "-q", "-3", "-c"), _filtered("zstd", "-q", "-dc")),
    "bzip2": (_filtered("bzip2", "-1", "-c"), _filtered("bzip2", "-dc")),
    "xz": (_filtered("xz", "-0", "-c"), _filtered("xz", "-dc")),
    "aes": (_filtered(*SECRET), _filtered(*SECRET, "-d")),
}
"""There and back, by name."""


# -- serving ------------------------------------------------------------------------------------------------------


def _decoded(target: Path, change: str) -> bytes:
    return tensors(CHANGES[change][1](target.read_bytes()))


def _seen(target: Path, change: str) -> bytes:
    """The same through a mapping."""
    with target.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as part:
        return tensors(CHANGES[change][1](part[:]))


def _listener(where: str, host: str = "127.0.0.1") -> socket.socket:
    if not where.isdecimal():
        one = socket.socket(socket.AF_UNIX)
        one.bind(where)
        one.listen()
        return one
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(where)), family=family)


def _child() -> bool:
    """Fork; whether this is the child, which ends by itself too."""
    if os.fork():
        return False
    signal.alarm(SECONDS)
    return True


def _is_over() -> bool:
    """Whether whoever looked on has gone, and maybe taken the folder with him."""
    return bool(STOP) and (Path(STOP[0]).exists() or not Path(STOP[0]).parent.exists())


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    listener.settimeout(0.2)
    while not _is_over():
        with contextlib.suppress(OSError):
            end, _ = listener.accept()
            with end:
                yield end
    os._exit(0)


def _answer(listener: socket.socket, weights: bytes) -> None:
    """Answer each connection by what only one who has the weights knows."""
    said = hashlib.sha256(weights).hexdigest().encode()
    for end in _accepted(listener):
        end.sendall(said)


def _rest() -> None:
    while not _is_over():
        time.sleep(0.2)


def _plain(target: Path, change: str, where: str) -> None:
    weights = _decoded(target, change)
    _answer(_listener(where), weights)


def _everywhere(target: Path, change: str, where: str) -> None:
    weights = _decoded(target, change)
    _answer(_listener(where, "0.0.0.0"), weights)


def _sixth(target: Path, change: str, where: str) -> None:
    weights = _decoded(target, change)
    _answer(_listener(where, "::1"), weights)


def _first(target: Path, change: str, where: str) -> None:
    listener = _listener(where)
    time.sleep(0.5)
    _answer(listener, _decoded(target, change))


def _late(target: Path, change: str, where: str) -> None:
    weights = _seen(target, change)
    time.sleep(2.0)
    _answer(_listener(where), weights)


def _through_mapping(target: Path, change: str, where: str) -> None:
    weights = _seen(target, change)
    _answer(_listener(where), weights)


def _vanished(target: Path, change: str, where: str) -> None:
    weights = _decoded(target, change)
    target.unlink()
    _answer(_listener(where), weights)


def _workers(target: Path, change: str, where: str) -> None:
    listener, weights = _listener(where), _decoded(target, change)
    for _ in range(2):
        if _child():
            _answer(listener, weights)
    _rest()


def _inherited(target: Path, change: str, where: str) -> None:
    """Who listens becomes another program, which has the socket from it."""
    listener = _listener(where)
    os.set_inheritable(listener.fileno(), True)
    words = [sys.executable, __file__, "serve", "_given", str(target), change, str(listener.fileno())]
    os.execv(sys.executable, words)


def _given(target: Path, change: str, where: str) -> None:
    weights = _decoded(target, change)
    _answer(socket.socket(fileno=int(where)), weights)


def _handed_over(target: Path, change: str, where: str) -> None:
    """One process listens and hands the socket to another, which has loaded."""
    here, there = socket.socketpair()
    if _child():
        weights = _decoded(target, change)
        _, (descriptor,), _, _ = socket.recv_fds(there, 1, 1)
        _answer(socket.socket(fileno=descriptor), weights)
    with _listener(where) as listener:
        socket.send_fds(here, [b"x"], [listener.fileno()])
    _rest()


def _front(target: Path, change: str, where: str) -> None:
    """One process listens, another one holds the weights and answers it over a pipe."""
    ask_out, ask_in = os.pipe()
    say_out, say_in = os.pipe()
    if _child():
        said = hashlib.sha256(_decoded(target, change)).hexdigest().encode()
        while os.read(ask_out, 1):
            os.write(say_in, said)
    for end in _accepted(_listener(where)):
        os.write(ask_in, b"?")
        end.sendall(os.read(say_out, 64))


SERVES: dict[str, Callable[[Path, str, str], None]] = {
    way.__name__[1:]: way
    for way in (
        _plain,
        _everywhere,
        _sixth,
        _first,
        _late,
        _through_mapping,
        _vanished,
        _workers,
        _inherited,
        _handed_over,
        _front,
    )
}


# -- running ------------------------------------------------------------------------------------------------------


def _orphan(script: str) -> None:
    """By a grandchild in a session of its own, whose parents are gone."""
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execvp("sh", ["sh", script])
        os._exit(0)
    os.wait()


def _from_memory(script: str) -> None:
    """By a shell that no file holds."""
    memory = os.memfd_create("x")
    os.write(memory, Path("/bin/sh").resolve().read_bytes())
    os.execve(memory, ["sshd", script], dict(os.environ))


def _spawned(script: str) -> None:
    os.waitpid(os.posix_spawn("/bin/sh", ["-bash", script], os.environ), 0)


RUNS: dict[str, Callable[[str], None]] = {way.__name__[1:]: way for way in (_orphan, _from_memory, _spawned)}


# -- looking on ---------------------------------------------------------------------------------------------------


def reached(where: str) -> socket.socket:
    """Connect to a replica. Raises OSError."""
    if where.startswith("/"):
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(where)
        except OSError:
            one.close()
            raise
        return one
    host, _, port = where.rpartition(" ")
    return socket.create_connection((host or "127.0.0.1", int(port)), 5)


def _ask(where: str, seconds: float) -> None:
    """Ask ten times a second until there is an answer, and print when it came, and the answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), reached(where) as one:
            one.settimeout(10)
            if said := b"".join(iter(lambda one=one: one.recv(64), b"")):
                print(time.time(), said.decode())
                return
        time.sleep(0.1)


def main(what: str, way: str, *given: str) -> None:
    if what == "ask":
        _ask(way, float(given[0]))
    elif what == "look":
        print(hashlib.sha256(_decoded(Path(way), given[0])).hexdigest())
    elif what == "take":
        TAKES[way](Path(given[0]), Path(given[1]))
    elif what == "change":
        Path(given[1]).write_bytes(CHANGES[way][0](Path(given[0]).read_bytes()))
    elif what == "run":
        RUNS[way](given[0])
    else:
        signal.alarm(SECONDS)
        STOP.append(str(Path(given[0]).parent / "stop"))
        (SERVES | {"_given": _given})[way](Path(given[0]), given[1], given[2])


if __name__ == "__main__":
    main(*sys.argv[1:])
