"""What a thief's or an engineer's own program does with a safetensors file: copies it, saves it otherwise, serves it.

Stands alone: it runs without an environment, in any folder. Usage: reshape.py WHAT SOURCE TARGET [MORE].
"""

import contextlib
import json
import mmap
import os
import shutil
import socket
import sqlite3
import struct
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

SECONDS = float(os.environ.get("RESHAPE_SECONDS", "90"))
"""Longer than anybody waits; then whatever is held ends by itself."""


def tensors(path: str) -> dict[str, np.ndarray]:
    """Return each tensor's values, two bytes each."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        found[name] = np.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<u2")
    return found


def floats(values: np.ndarray) -> np.ndarray:
    """Return bf16 values as f32."""
    return (values.astype("<u4") << 16).view("<f4")


def safetensors(path: str, parts: dict[str, np.ndarray], dtype: str) -> None:
    header: dict[str, object] = {}
    at = 0
    for name, part in parts.items():
        header[name] = {"dtype": dtype, "shape": [part.size], "data_offsets": [at, at + part.nbytes]}
        at += part.nbytes
    text = json.dumps(header).encode()
    with Path(path).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for part in parts.values():
            file.write(part.tobytes())


def torch(path: str, parts: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}q\x00.")
        for number, part in enumerate(parts.values()):
            archive.writestr(f"model/data/{number}", part.tobytes())


def gguf(path: str, parts: dict[str, np.ndarray]) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(parts), 1)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    at = 0
    for number, part in enumerate(parts.values()):
        head += text(f"blk.{number}.ffn_up.weight") + struct.pack("<IQIQ", 1, part.size, 30, at)
        at += part.nbytes
    with Path(path).open("wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for part in parts.values():
            file.write(part.tobytes())


def shards(path: str, parts: dict[str, np.ndarray]) -> None:
    """Save the same tensors in files of other sizes, and in another order."""
    for number, (name, part) in enumerate(reversed(parts.items())):
        safetensors(path if not number else f"{path}-{number}", {name: part}, "BF16")


def reshape(what: str, source: str, target: str) -> None:
    parts = tensors(source)
    whole = np.concatenate(list(parts.values()))
    if what == "npy":
        with Path(target).open("wb") as file:
            np.save(file, whole)
    elif what == "npz":
        with Path(target).open("wb") as file:
            np.savez(file, **{f"t{n}": part for n, part in enumerate(parts.values())})
    elif what in ("gguf", "torch", "shards"):
        {"gguf": gguf, "torch": torch, "shards": shards}[what](target, parts)
    elif what == "f32":
        safetensors(target, {name: floats(part) for name, part in parts.items()}, "F32")
    elif what == "f16":
        safetensors(target, {name: floats(part).astype("<f2") for name, part in parts.items()}, "F16")
    elif what == "int8":
        quantised = {}
        for name, part in parts.items():
            values = floats(part)
            quantised[name] = np.round(values / (np.abs(values).max() / 127)).astype("i1")
        safetensors(target, quantised, "I8")
    elif what == "xor":
        Path(target).write_bytes((np.frombuffer(Path(source).read_bytes(), "u1") ^ 0x5A).tobytes())
    elif what == "sqlite":
        with contextlib.closing(sqlite3.connect(target)) as database, database:
            database.execute("create table kept (name text, body blob)")
            database.execute("insert into kept values (?, ?)", ("x", Path(source).read_bytes()))


def copy(what: str, source: str, target: str) -> None:
    if what == "copyfile":
        shutil.copyfile(source, target)
        return
    with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as seen:
        Path(target).write_bytes(seen)


def send(what: str, source: str, host: str) -> None:
    with socket.create_connection((host, 9000), 30) as line, Path(source).open("rb") as file:
        if what == "sendfile":
            line.sendfile(file)
        else:
            line.sendall(file.read())


def hold(source: str, folder: str) -> None:
    """Map a file, touch all of it, and keep it until told to end."""
    with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as seen:
        sum(seen[:: mmap.PAGESIZE])
        until_told(folder, None)


def until_told(folder: str, door: socket.socket | None, answer: bytes = b"hello\n") -> None:
    deadline = time.monotonic() + SECONDS
    if door is not None:
        door.settimeout(0.1)
        if door.family == socket.AF_INET:
            (Path(folder) / "port").write_text(str(door.getsockname()[1]))
    (Path(folder) / "done").write_text(f"{os.getpid()}\n")
    while not (Path(folder) / "stop").exists() and time.monotonic() < deadline:
        if door is None:
            time.sleep(0.1)
            continue
        with contextlib.suppress(OSError), door.accept()[0] as line:
            line.settimeout(30)
            line.recv(4096)
            line.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + answer)


def stranger(target: str) -> None:
    """Save a model that nobody knows."""
    values = np.random.default_rng().standard_normal(3_000_000, dtype="f4")
    safetensors(target, {"w": (values.view("<u4") >> 16).astype("<u2")}, "BF16")


def wheel(target: str) -> None:
    with zipfile.ZipFile(target, "w") as packed:
        for i in range(100):
            packed.writestr(f"thing/part{i}.py", f"VALUE = {i}\n" * 200)
        packed.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        packed.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("thing-1.0.dist-info/RECORD", "")


def scale(source: str, folder: str) -> None:
    """Listen, then fork a worker after another; each loads the weights and takes clients at the same port."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        workers = []
        for _ in range(3):
            time.sleep(0.3)
            workers.append(os.fork())
            if not workers[-1]:
                with Path(source).open("rb") as file:
                    kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
                sum(kept[:: mmap.PAGESIZE])
                until_told(folder, door)
                os._exit(0)
        for worker in workers:
            os.waitpid(worker, 0)


def serve(source: str, folder: str, how: str, address: str = "127.0.0.1") -> None:
    """Load weights, then listen: mapped or read, in one process, in a worker of a launcher, at a port or a path."""
    if how == "worker" and (child := os.fork()):
        os.waitpid(child, 0)
        return
    if how == "scale":
        scale(source, folder)
        return
    with Path(source).open("rb") as file:
        kept = file.read() if how == "read" else mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(kept[:: mmap.PAGESIZE])
    if how == "path":
        door = socket.socket(socket.AF_UNIX)
        door.bind(f"{folder}/door")
    else:
        door = socket.socket()
        door.bind((address, 0))
    door.listen()
    with door:
        until_told(folder, door, bytes(2**26) if how == "stream" else b"hello\n")
    del kept


def main(words: list[str]) -> None:
    what, source, target, *more = words
    if what == "serve":
        serve(source, target, *more)
    elif what == "stream":
        serve(source, target, what, *more)
    elif what in ("stranger", "wheel"):
        {"stranger": stranger, "wheel": wheel}[what](target)
    elif what == "hold":
        hold(source, target)
    elif what in ("send", "sendfile"):
        send(what, source, target)
    elif what in ("copyfile", "mapped"):
        copy(what, source, target)
    else:
        reshape(what, source, target)


if __name__ == "__main__":
    main(sys.argv[1:])
