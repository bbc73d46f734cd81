"""One target for each parser of bytes that an attacker chooses: it holds the parser to what it promises.

A target may raise nothing. What a parser documents as its refusal is caught here, and only that.
"""

import contextlib
import inspect
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from replguard import config, journal, yamlfile
from replguard.control import messages as control
from replguard.errors import ConfigError
from replguard.events import clock, wire
from replguard.events.event import Event, Meta
from replguard.events.process import Process
from replguard.kernel import containers, drm_fdinfo, fanotify, mounts, mountwatch, procfs, sockdiag, unixdiag
from replguard.kernel.bpf import decoders
from replguard.log import reader
from replguard.masking.mask import mask
from replguard.metrics import web
from replguard.provenance import manifest
from replguard.rules import load as rules
from replguard.weights import formats, messages

LARGEST = 2**16
"""Bytes of the longest input."""
LONGEST = 2.0
"""Seconds that one input may take: of CPU, for the machine may be busy."""
_FOLDER = tempfile.TemporaryDirectory(prefix="replguard-fuzz-")
_SCRATCH = Path(_FOLDER.name)


class Target(NamedTuple):
    """A parser's check, and inputs made by code from which others are bred."""

    check: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def judged(check: Callable[[bytes], object], data: bytes, longest: float = LONGEST) -> str:
    """Return what a parser did with an input that it may not do, or nothing."""
    began = time.thread_time()
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {ascii(str(error))[1:-1][:80]}"
    spent = time.thread_time() - began
    return f"an input took {spent:.1f} s" if spent > longest else ""


def weights(data: bytes) -> None:
    """Any verdict is good that can be told; a payload lies behind the header."""
    verdict = formats.recognise(formats.Memory(data))
    msgspec.msgpack.encode(verdict)
    if isinstance(verdict, formats.Format):
        found = formats.payload(formats.Memory(data), verdict)
        assert found is None or found[0] >= 0


def frames(data: bytes) -> None:
    """Bytes of the other process are messages or the end of the connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        one: messages.Channel[Any] = messages.Channel(ours, msgspec.msgpack.Decoder(messages.Answer))
        theirs.send(data or b"\0")
        with contextlib.suppress(messages.Broken):
            msgspec.msgpack.encode(one.receive())


def questions(data: bytes) -> None:
    """What comes over the control socket is a question, or refused."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(control.Refused, OSError):
            control.receive(ours, control.Question, largest=2**14, seconds=1.0)


def _written(name: str, data: bytes) -> Path:
    path = _SCRATCH / name
    path.write_bytes(data)
    return path


def logs(data: bytes) -> None:
    """Whatever stands in a segment, each line is a record or a fault, and an event or none."""
    path = _written("raw-000001.jsonl", data)
    for found in reader.records([path]):
        assert isinstance(found, reader.Record | reader.Fault)
    for event in reader.events([path]):
        if isinstance(event, Event):
            wire.encode(event)


def packed(data: bytes) -> None:
    """The same in a segment that is packed."""
    for found in reader.records([_written("raw-000001.jsonl.zst", data)]):
        assert isinstance(found, reader.Record | reader.Fault)


def lines(data: bytes) -> None:
    """A line is an event that can be written again, or a ValueError with a sentence."""
    with contextlib.suppress(ValueError):
        wire.encode(wire.event(data))


def kept(data: bytes) -> None:
    """A journal gives what of it is whole, and says what is not."""
    journal.Journal(_written("journal", data), journal.Heading("x", 1)).read()


def documents(data: bytes) -> None:
    """YAML is documents, or a fault with its line."""
    with contextlib.suppress(ConfigError):
        yamlfile.parse(data, "x.yaml")


def configured(data: bytes) -> None:
    """A configuration loads, or says what is wrong with it."""
    with contextlib.suppress(ConfigError):
        config.load(_written("replguard.yaml", data))


def allowed(data: bytes) -> None:
    """A manifest is read as far as it can be, with its faults."""
    manifest.load(_written("manifest.yaml", data))


def ruled(data: bytes) -> None:
    """A rule is read, not evaluable, or a fault."""
    rules.load([_written("rule.yml", data)], shipped=_SCRATCH / "none")


def guarded(data: bytes) -> None:
    """What guards the page is understood whole, or refused."""
    with contextlib.suppress(ConfigError):
        web.read(_written("web.yml", data))


def hidden(data: bytes) -> None:
    """Masking takes any text."""
    mask(data.decode(errors="surrogateescape"))


def paths(data: bytes) -> None:
    """The path of a control group says what contains a process, or nothing."""
    containers.parse(data.decode(errors="backslashreplace"))


def _ring(name: str) -> Target:
    module = decoders()[name]

    def check(data: bytes) -> None:
        for decode in _parsers(module):
            with contextlib.suppress(struct.error):  # counted as a loss (sensors/probed.py)
                decode(data)

    return Target(check, (bytes(512), bytes(range(256)) * 4, b"\xff" * 512))


def _parsers(module: Any) -> Iterable[Callable[[bytes], object]]:
    """Return what reads one record, or one entry of a map."""
    names = ("head", "act", "body", "record", "flow", "volume", "share", "amount", "reader")
    found = [getattr(module, name, None) for name in names]
    return [one for one in found if one is not None and len(inspect.signature(one).parameters) == 1]


def _netlink(parse: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        with contextlib.suppress(struct.error, OSError):  # a message that is cut off; one that says an error
            parse(data)

    return check


_MOUNT = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
_FRAME = msgspec.msgpack.encode(messages.Progress("/m", 1))
_EVENT = wire.encode(
    Event(timestamp=clock.now(), event=Meta(action="process_exec"), process=Process(pid=1, executable="/bin/ä"))
)
_QUESTION = msgspec.json.encode(control.Maintenance(seconds=60.0, reason="x"))
_RULE = b"""title: A
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: [/a, /b], CommandLine|re: 'a+(b|c)*', Hash|cidr: 10.0.0.0/8}
  condition: selection and not 1 of other*
level: low
"""
_GGUF = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 4) + b"name" + struct.pack("<IQ", 8, 2) + b"ab"
_TENSOR = b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"__metadata__":{"a":"b"}}'
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
        ),
    ),
    "frames": Target(frames, (len(_FRAME).to_bytes(4, "little") + _FRAME,)),
    "control": Target(questions, (struct.pack("!I", len(_QUESTION)) + _QUESTION, b"\xff\xff\xff\xff{}")),
    "stat": Target(procfs.parse_stat, (b"1 (a b) S " + b"1 " * 50, b"1 (a) S " + b"9" * 5000)),
    "mounts": Target(mounts.parsed, (_MOUNT, _MOUNT.replace(b"040", b"777"), b"9" * 5000 + _MOUNT)),
    "mountwatch": Target(lambda data: list(mountwatch.parse(data)), (bytes(64), b"\x40\0\0\0" * 16)),
    "fanotify": Target(
        _netlink(lambda data: list(fanotify.parse(data))), (struct.pack("=IBBHQii", 24, 3, 0, 24, 2, -1, 9) * 2,)
    ),
    "drm": Target(
        drm_fdinfo.parse,
        (b"drm-driver:\ti915\ndrm-resident-vram0:\t12 KiB\n", b"drm-driver:a\ndrm-memory-x: " + b"9" * 5000),
    ),
    "unix": Target(lambda data: list(sockdiag.unix_listeners(data)), (b"h\n0: 2 0 00010000 0001 01 77 /run/x\n",)),
    "sockets": Target(_netlink(sockdiag.parse), (bytes(72) + b"\x08\0\1\0abcd" * 4,)),
    "unix sockets": Target(
        _netlink(unixdiag.parts),
        (struct.pack("=IHHII", 48, 20, 2, 1, 0) + bytes(32), struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -(2**31))),
    ),
    "cgroups": Target(
        paths, (b"/kubepods.slice/kubepods-burstable.slice/cri-containerd-" + b"ab" * 32 + b".scope", b"/a/docker/x")
    ),
    "log": Target(logs, (_EVENT + b"\n" + _EVENT[:-3] + b"\n", b'{"header":{}}\n' + _EVENT)),
    "packed log": Target(packed, (b"\x28\xb5\x2f\xfd\x20\x04\x21\0\0abcd", b"\x28\xb5\x2f\xfd" * 4)),
    "lines": Target(lines, (_EVENT, b"[" * 3000)),
    "journal": Target(kept, (bytes(64), msgspec.msgpack.encode(journal.Heading("x", 1)) * 3)),
    "yaml": Target(documents, (b"a: {b: [1, 2, &x {c: *x}]}\n--- !t 'x'\n", b"a: |\n  x\nb: 1e9\n", b"[" * 500)),
    "configuration": Target(
        configured, (b"weights: {paths: [/m], min_size: 5MiB}\nlog: {mask: ['a+']}\n", b"metrics: {listen: x}\n")
    ),
    "manifest": Target(allowed, (b"deployments: [{name: a, unit: a.service, weights: [/m], ports: [1]}]\njobs: []\n",)),
    "rules": Target(ruled, (_RULE,)),
    "web configuration": Target(
        guarded, (b"tls_server_config: {cert_file: a, key_file: b, min_version: TLS12}\nbasic_auth_users: {a: b}\n",)
    ),
    "masking": Target(hidden, (b"curl -H 'Authorization: Bearer abcdef' https://u:p@h/?token=1 --password=x",)),
    **{f"ring {name}": _ring(name) for name, module in decoders().items() if _parsers(module)},
}
