"""Files that say they are models, indexes of weights, and what goes between the daemon and its examiner."""

import socket
import struct
from datetime import UTC, datetime
from typing import Any

import msgspec
from fuzz.target import SCRATCH, Target, refusing, written
from support import fingerprints, modelfiles

from replguard import frames as parts
from replguard.channel import Broken, Channel
from replguard.events.event import Event, Meta
from replguard.log.ending import Kept
from replguard.weights import formats, messages, store
from replguard.weights.index import Index

_MODEL = written("model.safetensors", fingerprints.model(1, 2**19))


def weights(data: bytes) -> None:
    """Any verdict is good that can be told; a payload lies behind the header."""
    verdict = formats.recognise(formats.Memory(data))
    msgspec.msgpack.encode(verdict)
    if isinstance(verdict, formats.Format):
        found = formats.payload(formats.Memory(data), verdict)
        assert found is None or found[0] >= 0


def _frames(decoder: "msgspec.msgpack.Decoder[Any]") -> Any:
    def frames(data: bytes) -> None:
        """Bytes of the other process are messages or the end of the connection."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            one = Channel(ours, decoder)
            theirs.send(data or b"\0")
            for each in one.receive():
                parts.encode(each)

    return refusing(frames, Broken)


def indexed(data: bytes) -> None:
    """An index of elsewhere is refused whole, or a file is looked for in it."""
    index, _ = store.load(written("foreign.index", data), foreign=True)
    fingerprints.looked(index, _MODEL)
    index.whole()


def _saved() -> bytes:
    index = Index(fingerprints.KEY)
    index.add(fingerprints.printed(_MODEL))
    store.save(index, SCRATCH / "saved.index")
    return (SCRATCH / "saved.index").read_bytes()


def _framed(message: Any) -> bytes:
    data = parts.encode(message)
    return len(data).to_bytes(4, "little") + data


_GGUF = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 4) + b"name" + struct.pack("<IQ", 8, 2) + b"ab"
_TENSOR = b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"__metadata__":{"a":"b"}}'
_REQUEST = messages.Request("/m", 1, 2, handle=b"x", mount="/")
TARGETS = {
    "formats": Target(
        weights,
        (
            _GGUF + struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, 4, 0, 0) + bytes(64),
            struct.pack("<Q", len(_TENSOR)) + _TENSOR + bytes(16),
            b"\x93NUMPY\1\0\x46\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".ljust(80) + bytes(16),
            b"\x89HDF\r\n\x1a\n" + bytes(88),
            b"PK\3\4" + bytes(26) + b"PK\1\2" + bytes(42) + b"PK\5\6" + bytes(18),
            b"\x80\2}q\0(X\1\0\0\0aq\1K\1u.",
            modelfiles.torch_zip(bytes(64)),
            modelfiles.torch_pickle(),
            modelfiles.array_pickle(),
            modelfiles.hdf5(keras=True),
            modelfiles.tensorflow_index(),
            modelfiles.onnx(bytes(64)),
        ),
    ),
    "frames": Target(_frames(msgspec.msgpack.Decoder(messages.Answer)), (_framed(messages.Progress("/m", 1)),)),
    "told": Target(
        _frames(parts.told()),
        (
            _framed(parts.Events("r", 1, (Event(timestamp=datetime.now(UTC), event=Meta(action="process_exec")),))),
            _framed(parts.Meanwhile(Kept({"exec"}, (), 1, ()))),
        ),
    ),
    "asked": Target(
        _frames(parts.asked()),
        (
            _framed(parts.Wanted((("in", "x"),))),
            _framed(parts.Judging(1, "x", (), "")) + _framed(parts.Written("r", 3)),
        ),
    ),
    "orders": Target(
        _frames(msgspec.msgpack.Decoder(messages.Order)),
        (_framed(messages.Examine(_REQUEST)), _framed(messages.Settings("/s")) + _framed(messages.Retire(((1, 2),)))),
    ),
    "index": Target(refusing(indexed, store.StoreError), (_saved(), msgspec.msgpack.encode([2, bytes(32), [], []]))),
}
