"""Small valid weights files of every format, made here and not with the formats' own libraries."""

import io
import json
import pickle
import random
import struct
import zipfile
from pathlib import Path


def noise(size: int, seed: int = 1) -> bytes:
    """Return bytes that look like trained values and are the same for the same seed."""
    return random.Random(seed).randbytes(size)


def safetensors(payload: bytes, **extra: str) -> bytes:
    header = {"w": {"dtype": "U8", "shape": [len(payload)], "data_offsets": [0, len(payload)]}}
    text = json.dumps({"__metadata__": {"format": "pt", **extra}, **header}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf(payload: bytes, vocabulary: int = 50, alignment: int = 64) -> bytes:
    tokens = b"".join(_text(b"token%d" % i) for i in range(vocabulary))
    pairs = [
        _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama"),
        _text(b"general.alignment") + struct.pack("<II", 4, alignment),
        _text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, vocabulary) + tokens,
        _text(b"tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, vocabulary) + bytes(4 * vocabulary),
    ]
    tensor = _text(b"w") + struct.pack("<IQIQ", 1, len(payload) // 4, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
    return head + bytes(-len(head) % alignment) + payload


def npy(payload: bytes) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(payload)},), }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + payload


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def torch_zip(payload: bytes) -> bytes:
    return zipped({"model/data.pkl": b"\x80\x02}q\x00.", "model/data/0": payload, "model/version": b"3\n"})


def torch_pickle() -> bytes:
    body = b"\x80\x02ccollections\nOrderedDict\nq\x00ctorch._utils\n_rebuild_tensor_v2\nq\x01."
    return b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03." + body


def array_pickle() -> bytes:
    return b"\x80\x04\x95\x40\x00\x00\x00\x00\x00\x00\x00\x8c\x15numpy.core.multiarray\x94\x8c\x0c_reconstruct\x94\x93."


def plain_pickle() -> bytes:
    return pickle.dumps({"words": ["a", "b"], "numbers": list(range(50))}, protocol=4)


def hdf5(*, keras: bool = False) -> bytes:
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(80)
    return head + (b"model_weights\0layer_names\0keras_version" if keras else b"") + bytes(512)


def tensorflow_index() -> bytes:
    header = b"\x08\x01\x1a\x02\x08\x01"
    block = b"\0\0" + bytes([len(header)]) + header + bytes(64)
    return block + bytes(40) + (0xDB4775248B80FB57).to_bytes(8, "little")


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def onnx(payload: bytes) -> bytes:
    node = b"\x0a" + varint(12) + b"\x0a\x01x\x12\x01y\x22\x04Relu"[:12].ljust(12, b"\0")
    tensor = b"\x4a" + varint(len(payload)) + payload
    graph = node + b"\x12\x01g" + b"\x2a" + varint(len(tensor)) + tensor
    return b"\x08\x08\x12\x07pytorch\x1a\x032.1\x3a" + varint(len(graph)) + graph + b"\x42\x04\x0a\x00\x10\x11"


EVERY = {
    "safetensors": safetensors(noise(5000)),
    "gguf": gguf(noise(4096)),
    "numpy": npy(noise(3000)),
    "npz": zipped({"a.npy": npy(noise(100)), "b.npy": npy(noise(100))}),
    "pytorch": torch_zip(noise(3000)),
    "legacy": torch_pickle(),
    "pickle": array_pickle(),
    "hdf5": hdf5(),
    "keras": hdf5(keras=True),
    "keras3": zipped({"metadata.json": b"{}", "model.weights.h5": hdf5()}),
    "tensorflow": tensorflow_index(),
    "onnx": onnx(noise(2000)),
}
"""One small valid file by kind."""


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
