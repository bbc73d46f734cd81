"""Goes along the chain of one segment: where it leads, and the first line of each block that is not as was sealed."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from replguard.events import wire
from replguard.log import keys, names, reader
from replguard.log.chain import BLOCK, MARK, SEALED, START, Place, checkpoint, unsigned
from replguard.log.names import Header, Seal, Segment
from replguard.log.reader import Fault, Torn
from replguard.log.tree import Tree

Knows = Callable[[str | None, str | None], bool]
"""Whether a key is one of ours, by who vouches for it."""
_TIME = re.compile(rb'"@timestamp":"([^"]{10,40})"')


@dataclass(slots=True)
class Part:
    """One segment. ``header`` is what it claims; its findings hold if that is true, which the one before tells.

    ``records`` and ``blocks`` count what is in it, ``open`` the records after its last seal, ``since`` and ``until``
    are the times of its first and last record. ``end`` is where it leads, ``roots`` the roots at the sizes asked for.
    ``vouched``: the key that the header names has signed it.
    ``gone``: it was there when the folder was listed, and is not.
    """

    path: Path
    number: int
    header: Header | None = None
    records: int = 0
    blocks: int = 0
    open: int = 0
    torn: bool = False
    vouched: bool = False
    gone: bool = False
    since: str = ""
    until: str = ""
    end: Place = field(default_factory=Place)
    roots: dict[int, str] = field(default_factory=dict)
    findings: list[Fault] = field(default_factory=list)


def part(segment: Segment, sizes: frozenset[int] = frozenset()) -> Part:
    """Go along a segment from where its header says that it begins.

    The signature of the last seal vouches for all blocks before it, as the tree is one. Where anything is wrong each
    is looked at, to say from where on. Of a log that is being written a segment may be packed, or removed, meanwhile.
    """
    segment = names.there(segment)
    found = _part(segment, sizes)
    if found.findings and not segment.path.exists():
        segment = names.there(segment)
        return _part(segment, sizes) if segment.path.exists() else Part(segment.path, segment.number, gone=True)
    return found


def _part(segment: Segment, sizes: frozenset[int]) -> Part:
    walk = _Walk(segment, sizes)
    found = walk.whole()
    if not found.findings and walk.is_signed():
        return found
    return _Walk(segment, sizes, each=True).whole()


class _Walk:
    """``each``: hold every seal against the key, and not the last one alone."""

    def __init__(self, segment: Segment, sizes: frozenset[int] = frozenset(), *, each: bool = False) -> None:
        self.part = Part(segment.path, segment.number)
        self._each = each
        self._sizes = sizes
        self._verifier: keys.Verifier | None = None
        self._last: tuple[bytes, str] | None = None
        """What the last seal signed, and its signature."""
        self._tail: list[bytes] = []
        """The records of the open block."""
        self._first = 2
        """Its first line; the header is line 1, and before the first block."""
        self._due: int | None = None
        """The block that is due, once some were removed; before that the tree tells."""
        self._adrift = False
        """Whether the lines of the open block follow one that is not known: it was changed, or is gone."""

    def whole(self) -> Part:
        """Go along all of it."""
        part = self.part
        for found in reader.lines(part.path):
            if isinstance(found, Fault):
                part.findings.append(found)
                break
            if not self._some(*found):
                break
        wrong = (number for number, line in enumerate(self._tail, self._first) if not _is_record(line))
        if self._is_chained and (first := next(wrong, None)) is not None:
            self._find(first, "no seal covers this line, and it is no record: a seal was changed, or it was put there")
        part.open = len(self._tail)
        self._counted()
        part.end.marks = bytearray()
        return part

    def is_signed(self) -> bool:
        """Tell whether the last seal is signed by the key of the segment."""
        return self._last is None or self._holds(*self._last)

    def _some(self, first: int, lines: list[bytes | None]) -> bool:
        """Go along some lines, the first of which has this number; most are records.

        False where it makes no sense to go on: no block has so many lines, and no record is so long.
        """
        place, tail, sha256 = self.part.end, self._tail, hashlib.sha256
        for number, line in enumerate(lines, first):
            if line.__class__ is bytes and number > 1 and not line.startswith(SEALED):
                place.chain = sha256(place.chain + line).digest()
                place.marks += place.chain[:MARK]
                tail.append(line)
                if len(tail) > BLOCK:
                    if self._is_chained:
                        self._find(number, f"no seal covers the {BLOCK} lines before this one, and a block has no more")
                        return False
                    self._counted()
                    tail = self._tail = []
            elif line is None:
                self._find(number, f"the line is longer than {reader.MAX_LINE} bytes: no record is")
                return False
            elif isinstance(line, Torn):
                self.part.torn = True
            else:
                if number == 1:
                    self._begin(line)
                else:
                    self._sealed(number, line)
                place, tail = self.part.end, self._tail
        return True

    @property
    def _is_chained(self) -> bool:
        header = self.part.header
        return header is None or header.key is not None

    def _counted(self) -> None:
        """Count the records of a block, and note when they were."""
        part, tail = self.part, self._tail
        if tail:
            part.records += len(tail)
            part.since = part.since or _time(tail[0])
            part.until = _time(tail[-1])

    def _begin(self, line: bytes) -> None:
        part = self.part
        try:
            header = msgspec.json.decode(line, type=Header)
            edge = [_hash(each) for each in header.edge]
            chain = _hash(header.prev) if header.prev is not None else START
            if header.size < 0 or header.size.bit_count() != len(edge):
                raise ValueError("there is no such tree")
            self._verifier = keys.Verifier(header.key) if header.key is not None else None
            vouched = is_vouched(header)
        except (*wire.UNREADABLE, ValueError):
            self._find(1, "the first line is no header: it was changed, or another stands before it")
            return
        part.header = header
        if header.key is None and header.signature is None:
            if claims(header):
                self._find(1, "the header claims a place in the chain that no key vouches for: it was put there")
            return
        if wire.encode(header) != line or not vouched:
            self._find(1, "the header is not what was signed")
        part.vouched = vouched
        part.end = Place(chain, Tree(header.size, edge))
        part.end.turn(line)
        if header.size in self._sizes:
            part.roots[header.size] = keys.text(part.end.tree.root())

    def _sealed(self, number: int, line: bytes) -> None:
        part, place = self.part, self.part.end
        first, self._first = self._first, number + 1
        seal = _read(line)
        part.blocks += seal is not None
        if seal is None:
            self._find(number, "the seal was changed: it cannot be read, and nothing tells of the lines up to the next")
            place.tree.append(place.chain)
            self._adrift = True
        elif part.header is None or part.header.key is None:
            self._find(number, "the seal stands in a segment that names no key")
        else:
            self._held(first, number, line, seal)
        self._on(line)

    def _held(self, first: int, number: int, line: bytes, seal: Seal) -> None:
        """Hold a block against its seal. After what was changed the next is held against what was sealed."""
        place, told, chain = self.part.end, bytes.fromhex(seal.marks), _hash(seal.chain)
        due = place.tree.size if self._due is None else self._due
        if seal.seal != due:
            self._find(number, f"this seals block {seal.seal}, and block {due} is due: some were removed")
            self._due, self._adrift = due, True
        changed = False
        if told != place.marks:
            if not self._adrift:
                self._differs(first, number, told, bytes(place.marks))
        elif (seal.marks, seal.chain) != (told.hex(), place.chain.hex()) or wire.encode(seal) != line:
            self._find(number, "the seal was changed, and nothing tells of the lines up to the next")
            chain, changed = place.chain, True
        self._adrift = changed
        place.tree.append(chain)
        place.chain = chain
        if self._due is not None:  # a tree that lacks leaves has no roots that were signed
            self._due, self._last = seal.seal + 1, None
        else:
            self._signed(number, seal)

    def _signed(self, number: int, seal: Seal) -> None:
        """Hold the tree with a block against the signature of its seal."""
        part, tree = self.part, self.part.end.tree
        root = tree.root()
        origin = part.header.origin if part.header is not None else None
        self._last = checkpoint(origin or "", tree.size, root), seal.signature
        if self._each and not self.is_signed():
            self._find(number, "the seal is not signed by the key of this segment, or blocks before it were changed")
        if tree.size in self._sizes:
            part.roots[tree.size] = keys.text(root)

    def _holds(self, text: bytes, signature: str) -> bool:
        return self._verifier is not None and self._verifier.holds(text, signature)

    def _on(self, line: bytes) -> None:
        self.part.end.turn(line)
        self._counted()
        self._tail = []

    def _differs(self, first: int, sealed: int, told: bytes, found: bytes) -> None:
        """Name the first line of a block that is not what was sealed."""
        same, what = difference(sealed - first, told, found)
        self._find(first + same, what)

    def _find(self, line: int, text: str) -> None:
        self.part.findings.append(Fault(self.part.path, line, text))


def difference(lines: int, told: bytes, found: bytes) -> tuple[int, str]:
    """Return how many lines of a block are as they were sealed, and what is wrong with the one after, by the marks."""
    same = next(
        (n for n in range(0, min(len(told), len(found)), MARK) if told[n : n + MARK] != found[n : n + MARK]),
        min(len(told), len(found)),
    )
    count = len(told) // MARK
    if count == lines:
        return same // MARK, "this line is not what was written"
    if count > lines:
        return same // MARK, f"{_some(count - lines)} removed, here or after this line"
    return same // MARK, f"{_some(lines - count)} inserted, here or after this line"


def newest(folder: Path, stream: str, knows: Knows) -> Part | None:
    """Return the newest segment of a stream that tells its place in a chain, for who goes on from there."""
    segment = ours(folder, stream, knows)
    found = _Walk(segment).whole() if segment is not None else None
    return found if found is not None and found.header is not None and found.header.key is not None else None


def ours(folder: Path, stream: str, knows: Knows) -> Segment | None:
    """Return the newest segment of a stream.

    The one whose key is known, by who vouches for it, whatever its number: whoever may write to the folder can put
    another there, but not sign its header. Without it the newest that claims to be one.
    """
    try:
        found = names.one_of_each(names.segments(folder, stream))
    except OSError:
        return None
    claims: Segment | None = None
    for segment in reversed(found):
        header = reader.header([segment.path])
        if header is None or (header.stream, header.segment) != (stream, segment.number):
            continue
        if knows(header.key, header.by) and is_vouched(header):
            return segment
        if claims is None and segment.number <= names.MOST:
            claims = segment
    return claims


def claims(header: Header) -> bool:
    """Tell whether a header names anything of a chain: those from before there was one do not."""
    return bool(header.by or header.origin or header.prev or header.size or header.edge)


def is_vouched(header: Header) -> bool:
    """Tell whether the key that a header names has signed it."""
    try:
        return header.by is not None and keys.Verifier(header.by).holds(unsigned(header), header.signature or "")
    except ValueError:
        return False


def _some(count: int) -> str:
    return "a line was" if count == 1 else f"{count} lines were"


def _read(line: bytes) -> Seal | None:
    """Return a seal, None for what is none any more."""
    try:
        seal = msgspec.json.decode(line, type=Seal)
        bytes.fromhex(seal.marks)
        _hash(seal.chain)
    except (*wire.UNREADABLE, ValueError):
        return None
    return seal


def _hash(written: str) -> bytes:
    """Return a hash as it stands in the log. Raises ValueError."""
    found = bytes.fromhex(written)
    if len(found) != len(START):
        raise ValueError("no hash")
    return found


def _is_record(line: bytes) -> bool:
    for decode in (wire.event, wire.alert):
        try:
            decode(line)
        except ValueError:
            continue
        return True
    return False


def _time(line: bytes) -> str:
    found = _TIME.search(line)
    return found[1].decode("ascii", "replace") if found else ""
