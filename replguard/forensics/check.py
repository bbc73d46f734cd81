"""Whether a bundle is what the log held: by what is in it alone, and what is trusted besides."""

import base64
import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from replguard import __version__
from replguard.events import wire
from replguard.events.evidence import Cited
from replguard.events.text import show
from replguard.forensics import bundle
from replguard.forensics.bundle import Manifest, Proof
from replguard.forensics.incident import Incident, lacking
from replguard.forensics.proof import Block, Head, Proofs, holds
from replguard.forensics.register import Line
from replguard.forensics.trust import Checkpoint
from replguard.log import keys
from replguard.log.chain import link, unsigned
from replguard.log.names import Header
from replguard.log.tree import root_by, stands_in

if TYPE_CHECKING:
    from replguard.forensics.page import Words

T = TypeVar("T", bound=msgspec.Struct)
LARGEST = 2**28
"""Bytes of all files of a bundle: a zip file may claim any number."""
_NOTE = re.compile("(\\S+)\n(\\d{1,18})\n([A-Za-z0-9+/]{43}=)\n\n\u2014 (\\S+) ([A-Za-z0-9+/]{91}=)\n")
_HASH = re.compile("[0-9a-f]{64}")
_MEMBERS = (bundle.MANIFEST, bundle.RECORDS, bundle.PROOFS, bundle.HEADERS, bundle.CHECKPOINT, bundle.UNPROVEN)
_BELONGS = re.compile("|".join(map(re.escape, (*_MEMBERS, bundle.PAGE, bundle.README))) + r"|rules/[a-z0-9_-]+\.yml")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error, KeyError)


_UNTOLD = (ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
"""What a record that makes no sense comes to: a time that is no time, one without its zone."""
_NAMED = 5


class _Timed(msgspec.Struct):
    timestamp: datetime = msgspec.field(name="@timestamp")


@dataclass(slots=True)
class Checked:
    """What was found. ``findings`` are what is not as it was written, ``trusted`` says what each thing given proves.

    ``records`` are proven by ``head``, if there are no findings; ``unproven`` are not. ``proven`` is the incident as
    the proven records tell it, None where they tell none, ``span`` is when it began and ended; ``newest`` is the time
    of the newest of them, whosever it is.
    ``notes`` are what nothing here covers, and is no sign of a change.
    """

    manifest: Manifest | None = None
    records: int = 0
    blocks: int = 0
    unproven: int = 0
    head: Head | None = None
    first_key: str | None = None
    proven: Incident | None = None
    span: tuple[datetime, datetime] | None = None
    newest: datetime | None = None
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)


def check(path: Path, trust: Iterable[str | Checkpoint], words: "Words") -> Checked:
    """Check a bundle. Never raises for what is in it. ``words`` say how the page says things."""
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
    records = _split(files.get(bundle.RECORDS, b""))
    blocks = list(_proofs(found, files.get(bundle.PROOFS, b""), records, headers))
    _told(found, files, blocks, words)
    found.findings += _rules(found.manifest, [*records, *_split(files.get(bundle.UNPROVEN, b""))])
    _trust(found, headers, list(trust))
    return found


def _files(path: Path) -> dict[str, bytes]:
    """Return the files of a bundle. Raises one of ``_DAMAGED``."""
    found: dict[str, bytes] = {}
    room = LARGEST
    if not path.is_file():
        raise ValueError("there is no such file")
    with path.open("rb") as file:
        begins = file.read(4)
    with zipfile.ZipFile(path) as archive:
        if archive.comment or begins != b"PK\3\4":
            raise ValueError("it holds more than its files")
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
    for name in files:
        if name != bundle.MANIFEST and (name not in manifest.files or not _BELONGS.fullmatch(name)):
            yield f"{show(name)} was put there"


def _headers(found: Checked, data: bytes) -> Iterator[Header]:
    """Yield the headers, as far as each key vouches for the next one."""
    before: Header | None = None
    for number, line in enumerate(_split(data), 1):
        header = _decoded(line, Header)
        if header is None or wire.encode(header) != line or not holds(header.by, unsigned(header), header.signature):
            found.findings.append(f"{bundle.HEADERS}:{number}: the header is not what was signed")
            return
        if header.size.bit_count() != len(header.edge) or not all(map(_HASH.fullmatch, header.edge)):
            found.findings.append(f"{bundle.HEADERS}:{number}: the header tells of no tree")
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


def _proofs(found: Checked, data: bytes, records: list[bytes], headers: list[Header]) -> Iterator[Block]:
    """Lead the records to the root, block by block; yield those that are led there."""
    at, last = 0, -1
    for number, line in enumerate(_split(data), 1):
        proof = _decoded(line, Proof)
        where = f"{bundle.PROOFS}:{number}"
        if proof is None or msgspec.json.encode(proof) != line or proof.lines < 1 or proof.leaf <= last:
            found.findings.append(f"{where}: the proof was changed")
            return
        some = records[at : at + proof.lines]
        if len(some) < proof.lines or not _leads(proof, some, found.head):
            found.findings.append(f"{where}: {_records(at + 1, at + proof.lines)} not what was sealed")
        elif not _stood(proof, some, headers):
            found.findings.append(f"{where}: these records did not stand there when a later segment began")
        elif not _stands(proof, headers):
            found.findings.append(f"{where}: these records do not stand in segment {proof.segment}")
        else:
            before, path = bytes.fromhex(proof.before), [bytes.fromhex(each) for each in proof.path]
            yield Block(proof.segment, proof.first, proof.leaf, before, some, path)
        at, last = at + proof.lines, proof.leaf
        found.blocks += 1
    found.records = min(at, len(records))
    if len(records) > at:
        found.findings.append(f"{bundle.RECORDS}:{at + 1}: nothing proves this record, or what stands after it")


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"one of the records {first} to {last} is"


def _stands(proof: Proof, headers: list[Header]) -> bool:
    """Tell whether a leaf is one of its segment; of segments before the first header nothing tells it."""
    before = [each for each in headers if each.size <= proof.leaf]
    return proof.first > 1 and (not before or before[-1].segment == proof.segment)


def _stood(proof: Proof, lines: list[bytes], headers: list[Header]) -> bool:
    """Tell whether each later header tells of a tree with the leaf: the last key cannot sign another past than that."""
    chain = bytes.fromhex(proof.before)
    for line in lines:
        chain = link(chain, line)
    path = [bytes.fromhex(each) for each in proof.path]
    return all(
        stands_in(chain, proof.leaf, path, each.size, [bytes.fromhex(root) for root in each.edge])
        for each in headers
        if each.size > proof.leaf
    )


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


def _told(found: Checked, files: dict[str, bytes], blocks: list[Block], words: "Words") -> None:
    """Hold the manifest and the page against what the records say, and say what of that is not proven."""
    manifest, others = found.manifest, _split(files.get(bundle.UNPROVEN, b""))
    found.unproven = len(others)
    if manifest is None or len(manifest.unproven) != len(others):
        found.findings.append(f"{bundle.MANIFEST}: it does not say of each unproven record where it stands")
        return
    lines = [Line(at.segment, at.line, data) for at, data in zip(manifest.unproven, others, strict=True)]
    whys = {bundle.place(line): at.why for line, at in zip(lines, manifest.unproven, strict=True)}
    headers = _split(files.get(bundle.HEADERS, b""))
    proofs = Proofs(blocks, found.head, headers, whys, list(manifest.troubles))
    found.newest = max(filter(None, (_time(line) for block in blocks for line in block.lines)), default=None)
    try:
        whole, proven = bundle.retold(proofs, lines, manifest.incident, manifest.asked, manifest.host)
        if proven.alerts:
            found.span = proven.began, proven.ended
            found.proven = proven
        found.findings += [*_summed(manifest, whole, proven), *_open(whole, proven)]
        found.findings += [f"as it was made, the log was not whole: {each}" for each in manifest.troubles]
        if manifest.version != __version__:
            made = f"made by version {show(manifest.version, 40)}, and this is {__version__}"
            found.notes.append(f"the page is not covered by this proof: {made}")
        elif not found.findings and not _is_page(manifest, files, whole, proofs, words):
            found.findings.append(f"{bundle.PAGE} or {bundle.README} is not what the records make: it was changed")
    except _UNTOLD as error:
        found.findings.append(f"what the records say makes no incident: {error}")


def _summed(manifest: Manifest, whole: Incident, proven: Incident) -> Iterator[str]:
    """Yield what the manifest says that the records do not."""
    if not proven.alerts:
        yield f"{bundle.MANIFEST}: no alert of the incident is proven, and its sentence may be made up"
        return
    for name, value in bundle.summary(proven).items():
        if getattr(manifest, name) != value:
            yield f"{bundle.MANIFEST}: {name} is not what the proven records say"
    if not set(whole.missing) <= set(manifest.missing):
        yield f"{bundle.MANIFEST}: it does not say all that is missing"


def _open(whole: Incident, proven: Incident) -> Iterator[str]:
    """Yield what of the alerts, and of what they name, nothing proves. Of other records that is only told."""
    if late := lacking(whole, proven, whole.told):
        told = ", ".join(show(each, 40) for each in sorted(late)[:_NAMED])
        yield (
            f"nothing proves {len(late)} of its alerts or of the records that they name ({told}): if they were written"
            " in the last second before it was made, make it again"
        )


def _is_page(manifest: Manifest, files: dict[str, bytes], whole: Incident, proofs: Proofs, words: "Words") -> bool:
    made = bundle.page(whole, proofs, words, manifest.missing)
    return (files.get(bundle.PAGE), files.get(bundle.README)) == (made, bundle.README_TEXT)


def _rules(manifest: Manifest, records: list[bytes]) -> Iterator[str]:
    """Yield which text of a rule is not the one that the records hold."""
    cited = {each.rule.sha256 for line in records if (each := _decoded(line, Cited)) is not None}
    for rule in manifest.rules:
        told = manifest.files.get(rule.file)
        if told is None or told.sha256 != rule.sha256 or (rule.kept and rule.sha256 not in cited):
            yield f"{bundle.MANIFEST}: the text of rule {rule.name} is not the one of the records"


def _time(line: bytes) -> datetime | None:
    record = _decoded(line, _Timed)
    return record.timestamp if record is not None and record.timestamp.tzinfo is not None else None


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
    elif same and found.unproven:
        found.trusted.append(
            f"the checkpoint is the one that was kept, and nothing proves {found.unproven} of the records"
        )
    elif same:
        found.trusted.append("the checkpoint is the one that was kept: nobody changed the records since")
    elif of_it and not found.trusted:
        found.findings.append(
            f"it is proven at {head.size} blocks, and the checkpoint is of {of_it[-1].size}: make the bundle with"
            " `replguard report --checkpoint`"
        )
    if trust and not found.trusted and not found.findings:
        found.findings.append("nothing that was given proves it: it may be made up")
    if found.findings:
        found.trusted.clear()


def _decoded(line: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except wire.UNREADABLE:
        return None


def _split(data: bytes) -> list[bytes]:
    """Return the lines of a file; what stands behind the last newline is one that cannot be right."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]
