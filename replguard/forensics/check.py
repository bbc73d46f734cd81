"""Whether a bundle is what the log held: by what is in it alone, and what is trusted besides."""

import base64
import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from replguard.events import wire
from replguard.events.alert import Alert
from replguard.events.evidence import Cited
from replguard.forensics import bundle
from replguard.forensics.bundle import Manifest, Proof
from replguard.forensics.proof import Head, holds
from replguard.forensics.trust import Checkpoint
from replguard.log import keys
from replguard.log.chain import link, unsigned
from replguard.log.names import Header
from replguard.log.tree import root_by

T = TypeVar("T", bound=msgspec.Struct)
LARGEST = 2**30
"""Bytes of all files of a bundle: a zip file may claim any number."""
_NOTE = re.compile("(\\S+)\n(\\d{1,18})\n([A-Za-z0-9+/]{43}=)\n\n\u2014 (\\S+) ([A-Za-z0-9+/]{91}=)\n")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error, KeyError)


@dataclass(slots=True)
class Checked:
    """What was found. ``findings`` are what is not as it was written, ``trusted`` says what each thing given proves.

    ``records`` are proven by ``head``, if there are no findings; ``unproven`` are not.
    """

    manifest: Manifest | None = None
    records: int = 0
    blocks: int = 0
    unproven: int = 0
    head: Head | None = None
    first_key: str | None = None
    findings: list[str] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)


def check(path: Path, trust: Iterable[str | Checkpoint] = ()) -> Checked:
    """Check a bundle. Never raises for what is in it."""
    found = Checked()
    try:
        files = _files(path)
    except _DAMAGED as error:
        found.findings.append(f"it is no bundle, or damaged: {error}")
        return found
    found.manifest = _decoded(files.get(bundle.MANIFEST, b""), Manifest)
    if found.manifest is None:
        found.findings.append(f"{bundle.MANIFEST} is missing or was changed")
        return found
    found.findings += _against_manifest(found.manifest, files)
    headers = list(_headers(found, files.get(bundle.HEADERS, b"")))
    _head(found, files.get(bundle.CHECKPOINT, b""), headers)
    records, others = (_split(files.get(name, b"")) for name in (bundle.RECORDS, bundle.UNPROVEN))
    _proofs(found, files.get(bundle.PROOFS, b""), records)
    found.unproven = len(others)
    found.findings += _said(found.manifest, [*records, *others])
    _trust(found, headers, list(trust))
    return found


def _files(path: Path) -> dict[str, bytes]:
    """Return the files of a bundle. Raises one of ``_DAMAGED``."""
    found: dict[str, bytes] = {}
    room = LARGEST
    if not path.is_file():
        raise ValueError("there is no such file")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is packed in another way than bundles are")
            with archive.open(member) as file:
                data = file.read(room + 1)
            room -= len(data)
            if room < 0:
                raise ValueError(f"it holds more than {LARGEST} bytes")
            if member.filename in found:
                raise ValueError("it holds a file twice")
            found[member.filename] = data
    return found


def _against_manifest(manifest: Manifest, files: dict[str, bytes]) -> Iterator[str]:
    """Yield what is damaged, missing or more than there was."""
    for name, member in manifest.files.items():
        data = files.get(name)
        if data is None:
            yield f"{name} is missing"
        elif (hashlib.sha256(data).hexdigest(), len(data)) != (member.sha256, member.size):
            yield f"{name} was changed"
    yield from (f"{name} was put there" for name in files if name != bundle.MANIFEST and name not in manifest.files)


def _headers(found: Checked, data: bytes) -> Iterator[Header]:
    """Yield the headers, as far as each key vouches for the next one."""
    before: Header | None = None
    for number, line in enumerate(_split(data), 1):
        header = _decoded(line, Header)
        if header is None or wire.encode(header) != line or not holds(header.by, unsigned(header), header.signature):
            found.findings.append(f"{bundle.HEADERS}:{number}: the header is not what was signed")
            return
        if before is not None and (before.key, before.origin) != (header.by, header.origin):
            found.findings.append(f"{bundle.HEADERS}:{number}: the key before does not vouch for this one")
            return
        if before is not None and (header.segment <= before.segment or header.size < before.size):
            found.findings.append(f"{bundle.HEADERS}:{number}: the header is not of a later segment")
            return
        found.first_key = found.first_key or header.by
        before = header
        yield header


def _head(found: Checked, data: bytes, headers: list[Header]) -> None:
    """Take the checkpoint, if the last key signed it."""
    if not data and not headers:
        return
    match = _NOTE.fullmatch(data.decode("utf-8", "replace"))
    key = headers[-1].key if headers else None
    try:
        if match is None or key is None:
            raise ValueError
        signature = keys.text(base64.b64decode(match[5])[4:])
        head = Head(match[1], int(match[2]), base64.b64decode(match[3]), key, signature)
        note = keys.note(head.text, head.origin, key, signature).encode()
        if note != data or head.origin != headers[-1].origin or not holds(key, head.text, signature):
            raise ValueError
    except ValueError:
        found.findings.append(f"{bundle.CHECKPOINT} is not signed by the last key of {bundle.HEADERS}, or was changed")
    else:
        found.head = head


def _proofs(found: Checked, data: bytes, records: list[bytes]) -> None:
    """Lead the records to the root, block by block."""
    at, last = 0, -1
    for number, line in enumerate(_split(data), 1):
        proof = _decoded(line, Proof)
        where = f"{bundle.PROOFS}:{number}"
        if proof is None or msgspec.json.encode(proof) != line or proof.lines < 1 or proof.leaf <= last:
            found.findings.append(f"{where}: the proof was changed")
            return
        some = records[at : at + proof.lines]
        if len(some) < proof.lines or not _leads(proof, some, found.head):
            found.findings.append(f"{where}: record {at + 1} or one of the {proof.lines - 1} after it was changed")
        at, last = at + proof.lines, proof.leaf
        found.blocks += 1
    found.records = min(at, len(records))
    if len(records) > at:
        found.findings.append(f"{bundle.RECORDS}:{at + 1}: nothing proves this record and those after it")


def _leads(proof: Proof, lines: list[bytes], head: Head | None) -> bool:
    try:
        chain, path = bytes.fromhex(proof.before), [bytes.fromhex(each) for each in proof.path]
    except ValueError:
        return False
    if head is None or {len(chain), *map(len, path)} != {32}:
        return False
    if (chain.hex(), [each.hex() for each in path]) != (proof.before, list(proof.path)):
        return False
    for line in lines:
        chain = link(chain, line)
    return root_by(chain, proof.leaf, head.size, path) == head.root


def _said(manifest: Manifest, records: list[bytes]) -> Iterator[str]:
    """Yield what the manifest says that the records do not."""
    alerts = [alert for line in records if b'"kind":"alert"' in line and (alert := _decoded(line, Alert)) is not None]
    mine = {alert.event.id: alert for alert in alerts if alert.replguard.incident == manifest.incident}
    if set(mine) != set(manifest.alerts):
        yield f"{bundle.MANIFEST}: the alerts of the incident are not those of the records"
    if manifest.sentence not in {alert.message for alert in alerts}:
        yield f"{bundle.MANIFEST}: no alert has this sentence"
    cited = {each.rule.sha256 for line in records if (each := _decoded(line, Cited)) is not None}
    for rule in manifest.rules:
        told = manifest.files.get(rule.file)
        if told is None or told.sha256 != rule.sha256 or (rule.kept and rule.sha256 not in cited):
            yield f"{bundle.MANIFEST}: the text of rule {rule.name} is not the one of the records"


def _trust(found: Checked, headers: list[Header], trust: list[str | Checkpoint]) -> None:
    """Say what each thing that is trusted proves."""
    head = found.head
    if head is None:
        found.findings += ["nothing in it is proven"] if trust and not found.findings else []
        return
    of_it = [each for each in trust if isinstance(each, Checkpoint) and each.origin == head.origin]
    same = [each for each in of_it if each.size == head.size]
    if any(each in (header.by, header.key) for each in trust for header in headers):
        found.trusted.append("the key vouches, key by key, for the one that signed the checkpoint")
    if any(each.root != keys.text(head.root) for each in same):
        found.findings.append("it is not of the log of the checkpoint: that was written anew")
    elif same:
        found.trusted.append("the checkpoint is the one that was kept: nobody changed the records since")
    elif of_it and not found.trusted:
        found.findings.append(
            f"it is proven at {head.size} blocks, and the checkpoint is of {of_it[-1].size}: make the bundle with"
            " `replguard report --checkpoint`"
        )
    if trust and not found.trusted and not found.findings:
        found.findings.append("nothing that was given proves it: it may be made up")


def _decoded(line: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except wire.UNREADABLE:
        return None


def _split(data: bytes) -> list[bytes]:
    """Return the lines of a file; what stands behind the last newline is one that cannot be right."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]
