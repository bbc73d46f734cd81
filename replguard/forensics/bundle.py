"""An incident and what proves it in one file, for whoever has neither the host nor the log."""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from replguard import __version__
from replguard.events.evidence import RuleText
from replguard.events.host import Host
from replguard.forensics import proof
from replguard.forensics.incident import Incident, among
from replguard.forensics.proof import Block, Proofs
from replguard.forensics.register import Line
from replguard.log import keys

if TYPE_CHECKING:
    from replguard.forensics.page import Words

SCHEMA = 1
MANIFEST, RECORDS, PROOFS, HEADERS = "manifest.json", "records.jsonl", "proofs.jsonl", "headers.jsonl"
CHECKPOINT, UNPROVEN, PAGE, README = "checkpoint", "unproven.jsonl", "report.html", "README.txt"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: what is the same incident is the same bytes."""
_NAME = re.compile(r"[^a-z0-9_-]+")

README_TEXT = b"""\
What this is

This file was made by replguard, a program that watches a computer on which an AI model runs. It tells of one incident:
what happened, who did it, and the records of the log that say so. report.html is the page to read first; any browser
opens it, without a network.

What proves it

records.jsonl holds the records as they stand in the log, one a line. Each is tied to the next by its SHA-256 hash, each
second of the log is a leaf of one tree of hashes (RFC 6962), and the root of that tree was signed (Ed25519) as it was
written. proofs.jsonl leads from the records to that root, checkpoint holds the root and its signature, headers.jsonl
leads from the first key of the log to the key that signed.

How to check it

  1. Install replguard on a computer that has nothing to do with the incident.
  2. Have the log's first key, or a checkpoint, from somebody who kept it before the incident, and not from this file.
  3. Run: replguard verify THIS_FILE.zip --trust KEY_OR_FILE
     It says how many records are proven, and ends with exit code 1 if anything was changed.

Nobody has to trust that program: its documentation (The bundle of an incident) says how each file is built, so that a
page of code in any language does the same.

What is not proven

That nothing else was in the log: a bundle holds what belongs to this incident, and beside it records that were written
within the same second. report.html and manifest.json are made of the records: replguard of the same version makes them
again and compares. unproven.jsonl holds records that nothing proves; mostly it is empty. manifest.json says under
"missing" what should be here and is not, as its maker saw it: nothing proves that.
"""

Texts = Callable[[str], Iterable[RuleText]]
"""From the id of a rule: its text, and those of the rules that it is made of, as they are today."""


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next ``lines`` lines of the records are the end of a block.

    ``before`` is the hash up to the first of them; the one after the last is leaf ``leaf`` of the tree, from which
    ``path`` leads to the root (RFC 6962). Hashes are in hexadecimal. ``segment`` and ``first`` tell where the first of
    them stands in the log, for who looks there.
    """

    segment: int
    first: int
    leaf: int
    lines: int
    before: str
    path: tuple[str, ...]


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the bundle."""

    sha256: str
    size: int


class Unproven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a line of the unproven records stands in the log, and why nothing proves it."""

    segment: int
    line: int
    why: str


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule whose text is in the bundle. ``kept``: as it was in force, and it stands in the records too."""

    id: str
    name: str
    sha256: str
    file: str
    kept: bool


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle is of. It is not signed: what it says of the files is there to find what was damaged.

    ``sentence``, ``level``, ``state``, ``began``, ``host`` and ``alerts`` are what the proven records say. ``asked`` is
    the alert that was asked for, ``troubles`` is what was wrong with the log, ``unproven`` has an entry a line.
    """

    bundle: str = "replguard"
    schema: int = SCHEMA
    version: str
    incident: str
    asked: str | None = None
    sentence: str
    level: str
    state: str
    began: str
    host: Host | None = None
    log: str | None = None
    alerts: tuple[str, ...]
    rules: tuple[Rule, ...]
    missing: tuple[str, ...]
    troubles: tuple[str, ...] = ()
    unproven: tuple[Unproven, ...] = ()
    files: dict[str, Member]


def packed(incident: Incident, proofs: Proofs, words: "Words", today: Texts) -> bytes:
    """Return the bundle as the bytes of a zip file. The same incident and proofs give the same bytes."""
    rules, texts = list[Rule](), dict[str, bytes]()
    for text, kept in _texts(incident, today):
        name = f"rules/{_NAME.sub('-', text.name.lower())[:60]}-{text.sha256[:8]}.yml"
        data = text.text.encode("utf-8", "backslashreplace")
        texts[name] = data
        rules.append(Rule(id=text.id, name=text.name, sha256=hashlib.sha256(data).hexdigest(), file=name, kept=kept))
    others = [each.at for each in incident.entries if (each.at.segment, each.at.line) in proofs.unproven]
    whole, proven = retold(proofs, others, incident.id, incident.asked, incident.host)
    missing = list(dict.fromkeys([*incident.missing, *whole.missing]))
    if old := [rule.name for rule in rules if not rule.kept]:
        missing.append(f"of these rules the text of today is given, and not that of then: {', '.join(old)}")
    files = {
        RECORDS: _lines(line for block in proofs.blocks for line in block.lines),
        PROOFS: _lines(map(_proof, proofs.blocks)),
        HEADERS: _lines(proofs.headers),
        CHECKPOINT: _note(proofs),
        UNPROVEN: _lines(each.data for each in others),
        PAGE: page(whole, proofs, words, missing),
        README: README_TEXT,
        **texts,
    }
    manifest = Manifest(
        version=__version__,
        incident=incident.id,
        asked=incident.asked,
        **summary(proven if proven.alerts else whole),
        log=proofs.head.origin if proofs.head is not None else None,
        rules=tuple(rules),
        missing=tuple(missing),
        troubles=tuple(proofs.troubles),
        unproven=tuple(Unproven(segment=n, line=line, why=proofs.unproven[n, line]) for n, line in map(place, others)),
        files={name: Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()},
    )
    return _zipped({MANIFEST: msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n", **files})


def retold(
    proofs: Proofs, others: list[Line], incident: str, asked: str | None, host: Host | None
) -> tuple[Incident, Incident]:
    """Return the incident that is in a bundle, by all its records and by those alone that are proven.

    Whoever checks a bundle has nothing else: what the page of a bundle shows is made of this.
    """
    proven = [
        Line(block.segment, number, line)
        for block in proofs.blocks
        for number, line in enumerate(block.lines, block.first)
    ]
    known = proof.host(proofs.headers) if proofs.headers else host
    every = sorted([*proven, *others], key=place)
    return among(every, incident, asked, known), among(proven, incident, asked, known)


def page(whole: Incident, proofs: Proofs, words: "Words", missing: Iterable[str]) -> bytes:
    """Return the page of a bundle."""
    from replguard.forensics.page import render

    whole.missing = list(missing)
    return render(whole, proofs, words).encode()


def summary(proven: Incident) -> dict[str, Any]:
    """Return what a manifest says of an incident, by the names that it has there."""
    return {
        "sentence": proven.lead.message,
        "level": proven.level,
        "state": "firing" if proven.is_firing else "resolved",
        "began": proven.began.isoformat(),
        "host": proven.host,
        "alerts": tuple(each.what.event.id for each in proven.alerts),
    }


def place(line: Line) -> tuple[int, int]:
    """Return where a line stands in the log."""
    return line.segment, line.line


def _texts(incident: Incident, today: Texts) -> Iterator[tuple[RuleText, bool]]:
    """Yield each text once: those of then, and of rules that have none those of today."""
    seen: set[tuple[str, str]] = set()
    then = [each.what.rule for each in incident.rules]
    known = {text.id for text in then}
    rest = (text for alert in incident.alerts if alert.what.rule.id not in known for text in today(alert.what.rule.id))
    for text in (*then, *(text for text in rest if text.id not in known)):
        if (text.id, text.sha256) not in seen:
            seen.add((text.id, text.sha256))
            yield text, text.id in known


def _proof(block: Block) -> bytes:
    path, before = tuple(each.hex() for each in block.way), block.before.hex()
    lines, at = len(block.lines), (block.segment, block.first)
    return msgspec.json.encode(
        Proof(segment=at[0], first=at[1], leaf=block.leaf, lines=lines, before=before, path=path)
    )


def _note(proofs: Proofs) -> bytes:
    head = proofs.head
    return keys.note(head.text, head.origin, head.key, head.signature).encode() if head is not None else b""


def _lines(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name, _EPOCH)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            archive.writestr(member, data)
    return out.getvalue()
