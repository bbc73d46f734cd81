"""Logs and what is made of them, and memories on disk: whoever reads them may not be who wrote them."""

import hashlib
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path

import msgspec
from fuzz.target import SCRATCH, Target, named, refusing, written
from nacl.signing import SigningKey
from support import bundles, cases, logs, making
from support.story import START, Host

from replguard import journal
from replguard.alerts import clauses
from replguard.alerts.manager import Manager
from replguard.alerts.memory import VERSION as ALERTS
from replguard.alerts.memory import Memory
from replguard.config import Config
from replguard.control import client
from replguard.detector import Detector
from replguard.errors import ReplguardError
from replguard.events import clock, wire
from replguard.events.event import Event, Meta
from replguard.events.process import Process
from replguard.forensics import bundle, incident, page, proof, register, store, trust, verify
from replguard.kernel import machine
from replguard.lastgood import LastGood, state_dir_of
from replguard.log import chain, keys, names, reader, recent
from replguard.provenance.accounts import Accounts
from replguard.provenance.baseline import Baseline
from replguard.provenance.egress_store import Store
from replguard.provenance.kept import VERSION
from replguard.provenance.window import Windows
from replguard.rules import load as rules
from replguard.rules.index import Index
from replguard.rules.model import RuleSet
from replguard.sensors.processes.ours import Roll

_SEGMENT = "raw-000001.jsonl"


def logged(data: bytes) -> None:
    """Whatever stands in a segment, each line is a record or a fault, and an event or none."""
    path = written(f"log/{_SEGMENT}", data)
    for found in reader.records([path]):
        assert isinstance(found, reader.Record | reader.Fault)
    for event in reader.events([path]):
        if isinstance(event, Event):
            wire.encode(event)


def packed(data: bytes) -> None:
    """The same in a segment that is packed."""
    for found in reader.records([written(f"packed/{_SEGMENT}.zst", data)]):
        assert isinstance(found, reader.Record | reader.Fault)


def lines(data: bytes) -> None:
    """A line is an event that can be written again, or a ValueError with a sentence."""
    wire.encode(wire.event(data))


def replayed(data: bytes) -> None:
    """What stands in a log of elsewhere goes through the shipped rules; an alert or a fault can be written."""
    path = written(f"replayed/{_SEGMENT}", data)
    _judged(itertools.islice(reader.events([path]), 64))


def _judged(events: Iterable[Event | reader.Fault]) -> None:
    detector = Detector(_rules(), Manager(Config()), _index())
    for item in events:
        for alert in detector.feed(item) if isinstance(item, Event) else ():
            wire.encode(alert)


@cache
def _rules() -> RuleSet:
    return rules.load()


@cache
def _index() -> Index:
    return Index(_rules().rules)


def verified(data: bytes) -> None:
    """A stream is held against its chain, whatever it holds; and so is what it says of itself."""
    written("verified/evidence-000001.jsonl", data)
    folder = SCRATCH / "verified"
    told = trust.told(folder)
    *_, found = verify.stream(folder, "evidence", [], told)
    assert isinstance(found, verify.Found)
    [*map(str, found.findings), *verify.lacking(folder, ["evidence"], told), *verify.unknown([found], [])]
    assert found.checkpoint is None or trust.text(found.checkpoint)
    recent.told(folder, START)


def reported(data: bytes) -> None:
    """Each incident that the evidence tells of is a page and a bundle, or makes no sense for a reason that is told."""
    written("reported/evidence-000001.jsonl", data)
    folder = SCRATCH / "reported"
    for one in register.incidents(folder, [])[:3]:
        found = incident.gather(folder, one.id)
        if found.alerts:
            proofs = proof.prove(folder, [entry.at for entry in found.entries])
            page.render(found, proofs, clauses)
            bundle.packed(found, proofs, clauses, lambda _: ())


def asked(data: bytes) -> None:
    """A segment is taken apart into columns, whatever is in it."""
    path = written("asked/evidence-000001.jsonl", data)
    file = SCRATCH / "asked.parquet"
    file.unlink(missing_ok=True)
    store.made(store.Part("evidence", names.Segment(1, False, path), file, len(data)))


def unpacked(data: bytes) -> None:
    """A file that says it is a bundle is one, or what is wrong with it is told."""
    bundles.check(written("b.zip", data))


def taken_apart(data: bytes) -> None:
    """The same of what is in it, its files in a row: a forger has made the manifest fit, and signed it himself."""
    parts = dict(zip(_MEMBERS, data.split(_BETWEEN), strict=False))
    manifest = parts.get(bundle.MANIFEST, b"")
    parts[bundle.HEADERS] = b"\n".join(map(_signed, parts.get(bundle.HEADERS, b"").split(b"\n")))
    body, _, _ = parts.get(bundle.CHECKPOINT, b"").decode("utf-8", "replace").partition("\n\n")
    name, text = body.partition("\n")[0], f"{body}\n".encode()
    parts[bundle.CHECKPOINT] = keys.note(text, name, _PUBLIC, keys.text(_FORGER.sign(text).signature)).encode()
    try:
        said = json.loads(manifest)
        said["files"] = {
            name: {"sha256": hashlib.sha256(part).hexdigest(), "size": len(part)}
            for name, part in parts.items()
            if name != bundle.MANIFEST
        }
        parts[bundle.MANIFEST] = json.dumps(said).encode()
    except (ValueError, TypeError, RecursionError):
        pass
    with zipfile.ZipFile(SCRATCH / "parts.zip", "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    bundles.check(SCRATCH / "parts.zip")


def _signed(line: bytes) -> bytes:
    try:
        header = msgspec.structs.replace(msgspec.json.decode(line, type=names.Header), by=_PUBLIC, key=_PUBLIC)
    except wire.UNREADABLE:
        return line
    signature = keys.text(_FORGER.sign(chain.unsigned(header)).signature)
    return wire.encode(msgspec.structs.replace(header, signature=signature))


def trusted(data: bytes) -> None:
    """What somebody trusts is a key or checkpoints, or neither."""
    for found in trust.read(str(written("trusted", data))):
        assert isinstance(found, str) or trust.text(found)


def kept(data: bytes) -> None:
    """A journal gives what of it is whole, and says what is not."""
    journal.Journal(written("journal", data), journal.Heading("x", 1)).read()


def _journalled(heading: journal.Heading, given: bytes) -> Path:
    """Return a journal that is whole, of records that are JSON-free bytes: a name, a blank, its content, and so on."""
    parts = given.split(_BETWEEN)
    records = {str(name, "utf-8", "replace"): data for name, data in zip(parts[::2], parts[1::2], strict=False)}
    pieces = (msgspec.msgpack.encode(heading), msgspec.msgpack.encode(records))
    framed = (len(one).to_bytes(4, "little") + zlib.crc32(one).to_bytes(4, "little") + one for one in pieces)
    return written("memory", b"".join(framed))


def remembered(data: bytes) -> None:
    """What provenance kept is taken back part by part, or passed over; it goes on with that."""
    path = _journalled(journal.Heading("provenance", VERSION, machine.machine_id(), machine.boot_id()), data)
    host = Host()
    host.provenance = Host(memory=path).provenance
    host.provenance.resume(START)
    host.provenance.memory.told(START)
    host.tick()


def alerts_kept(data: bytes) -> None:
    """What alerts kept is taken back whole or not at all; they go on with that."""
    manager = Manager(Config())
    memory = Memory(_journalled(journal.Heading("alerts", ALERTS), data), manager)
    memory.open()
    memory.news()
    manager.tick(START + timedelta(days=1000))


_STATE = named(
    "state/all",
    *(
        f"state/{name}"
        for name in "baseline maintenance.json egress log.key status.json last-good/config.json processes".split()
    ),
)


def stated(data: bytes) -> None:
    """The small files of the state folder are what we wrote, or told to be damaged."""
    _STATE.write_bytes(data)
    folder = _STATE.parent
    Baseline(_STATE).open(START, first_start=False, recorded="x")
    Store(_STATE, Accounts()).open(START, first_start=False)
    Windows(folder).load(START)
    LastGood(folder).config()
    keys.Keys(_STATE)._read()
    Roll(folder)
    client._told(folder)
    state_dir_of(_STATE)


def lived(data: bytes) -> None:
    """A host whose every name an attacker chose: what is seen becomes facts, and facts alerts that can be told."""
    words = iter([*data.decode("utf-8", "backslashreplace").split("\n"), *["x"] * 12])
    word = lambda: next(words)[:4096]  # noqa: E731 - in the order in which they come
    host = Host()
    weights = host.protect(f"/models/{word()}", word())
    host.server(weights)
    agent = host.agent(host.login())
    thief = host.exec(word() or "cp", tuple(word().split("\0")), parent=agent, cgroup=word() or None, folder=word())
    host.read(weights, thief)
    host.copy(weights, f"/tmp/{word()}", thief)
    host.listen(thief, f"/run/{word()}", "unix")
    host.listen(thief, f"@{word()}", "unix")
    host.use(thief, f"/run/{word()}", agent)
    host.on("file_rename", host.file(f"/x/{word()}"), thief)
    host.exit(thief)
    host.tick()
    _judged(host.events)


def _evidence() -> bytes:
    folder = cases.made(SCRATCH / "case" / "log", SCRATCH / "case" / "state")
    logs.plain(folder)
    return b"".join(path.read_bytes() for path in sorted(folder.glob("evidence-*")))


_FORGER = SigningKey(bytes(32))
_PUBLIC = keys.public(_FORGER)
_BETWEEN = b"\n--\n"
_MEMBERS = (bundle.MANIFEST, *"records.jsonl proofs.jsonl headers.jsonl checkpoint unproven.jsonl report.html".split())
_EVENT = wire.encode(
    Event(timestamp=clock.now(), event=Meta(action="process_exec"), process=Process(pid=1, executable="/bin/ä"))
)
_CASE = _evidence()
_BUNDLE = bundles.made(SCRATCH / "case" / "log")
_FILES = bundles.files(written("made.zip", _BUNDLE))


def _timed(when: bytes) -> bytes:
    """Return the case with a time that is none."""
    return re.sub(rb'"@timestamp":"[^"]*"', b'"@timestamp":"%s"' % when, _CASE)


def _story() -> bytes:
    """Return what provenance keeps of a theft."""
    host = Host(memory=SCRATCH / "story")
    weights = host.protect()
    host.server(weights)
    thief = host.exec("cp", parent=host.agent(host.login()))
    host.copy(weights, "/tmp/x", thief)
    host.tick()
    return _BETWEEN.join(part for name, data in _kept(SCRATCH / "story") for part in (name, data))


def _raised() -> bytes:
    """Return what alerts keep of two."""
    manager = Manager(Config())
    for number, found in enumerate((making.copy_fact(1, 0, target="/t1"), making.server_fact(2, 1))):
        manager.feed(making.detection(found, level="high", rule=f"r{number}"))
    Memory(SCRATCH / "raised", manager).save("e", making.at(2))
    return _BETWEEN.join(part for name, data in _kept(SCRATCH / "raised") for part in (name, data))


def _kept(path: Path) -> list[tuple[bytes, bytes]]:
    data, found, at = path.read_bytes(), list[tuple[bytes, bytes]](), 0
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "little")
        if at:
            records = msgspec.msgpack.decode(data[at + 8 : end], type=dict[str, bytes])
            found += [(name.encode(), record) for name, record in records.items()]
        at = end
    return found


TARGETS = {
    "log": Target(logged, (_EVENT + b"\n" + _EVENT[:-3] + b"\n", b'{"header":{}}\n' + _EVENT, _CASE)),
    "packed log": Target(packed, (b"\x28\xb5\x2f\xfd\x20\x04\x21\0\0abcd", b"\x28\xb5\x2f\xfd" * 4)),
    "lines": Target(refusing(lines, ValueError), (_EVENT, b"[" * 3000, *_CASE.split(b"\n")[2:40])),
    "replay": Target(
        replayed, (_EVENT + b"\n", _CASE, *map(_timed, (b"2026-01-01T00:00:00", b"9999-12-31T23:59:59Z")))
    ),
    "verify": Target(verified, (_CASE, b"\n".join(_CASE.split(b"\n")[:8]) + b"\n")),
    "report": Target(reported, (_CASE,)),
    "columns": Target(refusing(asked, ReplguardError), (_EVENT + b"\n", _CASE[:4000])),
    "bundle": Target(unpacked, (_BUNDLE,)),
    "bundle's files": Target(taken_apart, (_BETWEEN.join(_FILES.get(name, b"") for name in _MEMBERS),)),
    "trusted": Target(refusing(trusted, ReplguardError), (_FILES[bundle.CHECKPOINT], b"A" * 43 + b"=", b'{"a":1}\n')),
    "journal": Target(kept, (bytes(64), msgspec.msgpack.encode(journal.Heading("x", 1)) * 3)),
    "provenance's memory": Target(remembered, (_story(), _BETWEEN.join((b"agents", b"\x80", b"process x", b"\x90")))),
    "alerts' memory": Target(
        alerts_kept,
        (_raised(), _BETWEEN.join((b"now", msgspec.msgpack.encode(["e", None, {}]), b"incident x", b"\x90"))),
    ),
    "state files": Target(
        stated,
        (
            b'{"digest":"x","since":"2026-01-01T00:00:00","closed":false,"before":null,"entries":[]}',
            b'{"digest":"x","ledger":{"accounts":[]}}',
            b'{"since":"2026-01-01T00:00:00","until":"2026-01-02T00:00:00Z","reason":"r","by":"b","actor":"a"}',
            b'{"held":[{"seed":"AAAA","by":"x"}]}',
            b"5b6c 1 2 3",
            b"state_dir: /x # y\n",
            b"[" * 3000,
            b'{"x":' + b"[" * 3000,
            b'{"x":' + b'{"a":' * 3000,
        ),
    ),
    "names": Target(
        lived,
        (
            b"\n".join(b"w.safetensors|llama|cp|-a\0b|/user.slice|/tmp|x|s:1|s|s|y".split(b"|")),
            "\n".join("\u017f\u202e\x1b[2J:\u00b2" for _ in range(11)).encode(),
        ),
    ),
}
