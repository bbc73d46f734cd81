"""Values as those of a trained model, in the types they are stored in, and the files that libraries make of them."""

import io
import json
import pickle
import struct
import tarfile
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from support import modelfiles

Floats = npt.NDArray[np.float32]
NAMES = {"bf16": "BF16", "f16": "F16", "f32": "F32"}
_GGML = {"f32": 0, "f16": 1, "bf16": 30}


def normal(count: int, seed: int) -> Floats:
    """Return so many values, the same for the same seed."""
    return np.random.default_rng(seed).normal(0, 0.02, count).astype("<f4")


def stored(values: Floats, kind: str) -> bytes:
    """Return the bytes of values in a type, rounded to the nearest, ties to even: by definition, not by our code."""
    if kind == "f32":
        return values.astype("<f4").tobytes()
    if kind == "f16":
        with np.errstate(over="ignore"):
            return values.astype("<f2").tobytes()
    bits = values.astype("<f4").view("<u4").astype(np.uint64)
    low, high = bits & 0xFFFF, bits >> 16
    up = (low > 0x8000) | ((low == 0x8000) & (high & 1 == 1))
    return (high + up).astype("<u2").tobytes()


def loaded(data: bytes, kind: str) -> Floats:
    """Return the values that are stored in a type."""
    if kind == "bf16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).astype("<u4").view("<f4")
    return np.frombuffer(data, "<f4" if kind == "f32" else "<f2").astype("<f4")


def safetensors(tensors: dict[str, bytes], kind: str = "BF16") -> bytes:
    """Return a file of several tensors in the order given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at, width = 0, 4 if kind == "F32" else 2
    for name, data in tensors.items():
        header[name] = {"dtype": kind, "shape": [len(data) // width], "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(tensors.values())


def torch_zip(tensors: dict[str, bytes]) -> bytes:
    """Return what torch.save writes since 1.6: one stored entry for each storage."""
    entries = {"archive/data.pkl": b"\x80\x02}q\x00.", "archive/byteorder": b"little"}
    entries |= {f"archive/data/{number}": data for number, data in enumerate(tensors.values())}
    return modelfiles.zipped({**entries, "archive/version": b"3\n"})


def torch_legacy(tensors: dict[str, bytes]) -> bytes:
    """Return what torch.save wrote before 1.6: pickles, the keys, and each storage behind its number of elements."""
    keys = pickle.dumps([str(number) for number in range(len(tensors))], protocol=2)
    body = b"".join(struct.pack("<q", len(data) // 2) + data for data in tensors.values())
    return modelfiles.torch_pickle() + keys + body


def npy(data: bytes) -> bytes:
    """Return what numpy.save writes of an array of f16."""
    out = io.BytesIO()
    np.save(out, np.frombuffer(data, "<f2"))
    return out.getvalue()


def npz(tensors: dict[str, bytes]) -> bytes:
    """Return what numpy.savez writes."""
    out = io.BytesIO()
    np.savez(out, **{name.replace(".", "_"): np.frombuffer(data, "<f2") for name, data in tensors.items()})  # type: ignore[arg-type]
    return out.getvalue()


def gguf(tensors: dict[str, bytes], kind: str = "bf16") -> bytes:
    """Return a GGUF file of several tensors, each aligned to 32 bytes, behind a tokenizer."""
    text = modelfiles._text
    tokens = b"".join(text(b"token%d" % number) for number in range(3000))
    pairs = text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3000) + tokens
    infos, body = b"", b""
    for name, data in tensors.items():
        infos += text(name.encode()) + struct.pack("<IQIQ", 1, len(data) // 2, _GGML[kind], len(body))
        body += data + bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1) + pairs + infos
    return head + bytes(-len(head) % 32) + body


def tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def cpio(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a cpio archive in the new ASCII format: names and files padded to four bytes."""
    out = b""
    for number, (name, data) in enumerate([*members, ("TRAILER!!!", b"")]):
        raw = name.encode() + b"\0"
        fields = (number, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        out += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return out
