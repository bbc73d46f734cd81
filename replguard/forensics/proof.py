"""That records stand in the log: from each to the seal of its block, and from there to a signed root of the tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from replguard.events import wire
from replguard.events.host import Host
from replguard.forensics.register import STREAM, Line
from replguard.forensics.trust import Checkpoint
from replguard.log import keys, names, reader
from replguard.log.chain import BLOCK, MARK, SEALED, checkpoint, link, unsigned
from replguard.log.names import Header, Seal, Segment
from replguard.log.reader import Fault, Torn
from replguard.log.tree import Witness
from replguard.log.walk import difference

T = TypeVar("T")
OLD = "older than the chain"
OPEN = "not sealed"
CHANGED = "not what was sealed"
BESIDE = "in a block that was changed at line"
"""And its number follows."""
BEYOND = "behind the end that is proven"


@dataclass(slots=True)
class Block:
    """The lines of a block from the first one that is proven to its seal.

    ``before`` is the hash up to the first of them, ``first`` its number in the segment; the hash after the last is leaf
    ``leaf`` of the tree, from which ``way`` leads to the root.
    """

    segment: int
    first: int
    leaf: int
    before: bytes
    lines: list[bytes]
    way: list[bytes] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The number of the line after the last one, which is the seal."""
        return self.first + len(self.lines)


@dataclass(frozen=True, slots=True)
class Head:
    """The root to which everything is proven, and the signature of the seal that says it."""

    origin: str
    size: int
    root: bytes
    key: str
    signature: str

    @property
    def text(self) -> bytes:
        """What was signed."""
        return checkpoint(self.origin, self.size, self.root)


@dataclass(slots=True)
class Proofs:
    """``headers`` are the first lines of segments, each key vouched for by the one before, up to the key of ``head``.

    ``unproven`` says for a record (segment and line) why nothing proves it, ``troubles`` what is wrong with the log.
    """

    blocks: list[Block] = field(default_factory=list)
    head: Head | None = None
    headers: list[bytes] = field(default_factory=list)
    unproven: dict[tuple[int, int], str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def prove(folder: Path, wanted: Iterable[Line], kept: Checkpoint | None = None) -> Proofs:
    """Prove records of the evidence: at the newest seal, or at that of a checkpoint which was kept. Raises OSError."""
    lines: dict[int, set[int]] = {}
    for each in wanted:
        lines.setdefault(each.segment, set()).add(each.line)
    found = Proofs()
    segments = names.one_of_each(names.segments(folder, STREAM))
    walk = _Walk(found, lines, kept)
    for segment in segments:
        if lines and segment.number >= min(lines) and not walk.is_over:
            walk.along(names.there(segment))
    walk.end()
    if found.head is not None:
        found.headers = list(_headers(segments, found.head.key))
    return found


class _Walk:
    """Goes along the segments. Only blocks with a wanted line are hashed: the root vouches for the others."""

    def __init__(self, found: Proofs, wanted: dict[int, set[int]], kept: Checkpoint | None) -> None:
        self.is_over = False
        self._found, self._wanted, self._kept = found, wanted, kept
        self._tree: Witness | None = None
        self._header: Header | None = None
        self._chain = b""
        self._last: tuple[Header, Seal] | None = None

    def along(self, segment: Segment) -> None:
        """Go along a segment, up to where the log is broken or the end that was asked for."""
        wanted = self._wanted.get(segment.number, set())
        lines, first = list[bytes](), 2
        for number, line in self._lines(segment):
            if number == 1:
                self._begin(segment, line)
            elif line.startswith(SEALED):
                self._sealed(segment, first, lines, line, {each for each in wanted if first <= each < number})
                lines, first = [], number + 1
            elif len(lines) < BLOCK or self._header is None:
                lines.append(line)
            else:
                self._broken(f"{segment.path.name}:{number}: no seal covers the {BLOCK} lines before")
            if self.is_over:
                return
            if self._header is None:
                break
        for line in lines if self._header is not None else ():
            self._chain = link(self._chain, line)  # the writer ended before the seal; the next segment follows them
        why = OPEN if self._header is not None else OLD
        self._found.unproven.update({(segment.number, each): why for each in wanted if each >= first})

    def _lines(self, segment: Segment) -> Iterator[tuple[int, bytes]]:
        for found in reader.lines(segment.path):
            if isinstance(found, Fault):
                self._broken(str(found))
                return
            for number, line in enumerate(found[1], found[0]):
                if line is None:
                    self._broken(f"{segment.path.name}:{number}: the line is longer than any record")
                    return
                if not isinstance(line, Torn):
                    yield number, line

    def end(self) -> None:
        """Lead every proof to the root, if its signature holds."""
        found = self._found
        if self._tree is not None and self._last is not None:
            header, seal = self._last
            head = Head(header.origin or "", self._tree.tree.size, self._tree.end(), header.key or "", seal.signature)
            if not holds(head.key, head.text, head.signature):
                found.troubles.append("the last seal is not signed by the key of its segment: see `replguard verify`")
            elif self._is_kept(head):
                found.head = head
        if found.head is None:
            found.blocks = []
        proven = {(block.segment, line) for block in found.blocks for line in range(block.first, block.end)}
        for segment, lines in self._wanted.items():
            for place in {(segment, line) for line in lines} - proven:
                found.unproven.setdefault(place, BEYOND)

    def _is_kept(self, head: Head) -> bool:
        """Tell whether it is the checkpoint that was asked for; say why not."""
        kept = self._kept
        if kept is None or (kept.origin, kept.size, kept.root) == (head.origin, head.size, keys.text(head.root)):
            return True
        if kept.origin == head.origin and kept.size > head.size:
            why = f"the log is shorter than the checkpoint: {head.size} blocks of {kept.size}"
        else:
            why = "this is not the log of the checkpoint, or it was written anew"
        self._found.troubles.append(why)
        return False

    def _begin(self, segment: Segment, line: bytes) -> None:
        header = _decoded(line, Header)
        self._header = None
        if header is None:
            self._broken(f"{segment.path.name}: the first line is no header")
        elif header.key is None:
            if self._tree is not None:
                self._broken(f"{segment.path.name}: names no key, and the one before does")
        else:
            prev, edge = _bytes(header.prev or ""), [_bytes(each) for each in header.edge]
            known = self._tree.tree if self._tree is not None else None
            if None in edge or prev is None or header.size.bit_count() != len(edge):
                self._broken(f"{segment.path.name}: the header was changed")
            elif known is None and self._kept is not None and self._kept.size <= header.size:
                self._broken("the checkpoint is older than the incident: give a later one")
            elif known is not None and (known.size, known.edge, self._chain) != (header.size, edge, prev):
                self._broken(f"{segment.path.name}: does not follow the segment before")
            else:
                self._tree = self._tree or Witness(header.size, [each for each in edge if each is not None])
                self._header, self._chain = header, link(prev, line)

    def _sealed(self, segment: Segment, first: int, lines: list[bytes], line: bytes, wanted: set[int]) -> None:
        seal, tree = _decoded(line, Seal), self._tree
        chain = _bytes(seal.chain) if seal is not None else None
        if seal is None or chain is None or tree is None or self._header is None or seal.seal != tree.tree.size:
            self._found.unproven.update({(segment.number, each): CHANGED for each in wanted})
            self._broken(f"{segment.path.name}:{first + len(lines)}: the seal was changed, or is not the next one")
            return
        way = self._proven(segment, first, lines, seal, wanted) if wanted else None
        tree.append(chain, way)
        self._chain = link(chain, line)
        self._last = self._header, seal
        self.is_over = self._kept is not None and tree.tree.size == self._kept.size

    def _proven(
        self, segment: Segment, first: int, lines: list[bytes], seal: Seal, wanted: set[int]
    ) -> list[bytes] | None:
        """Note a block that is as it was sealed; return the way that is to be filled in."""
        begin = min(wanted) - first
        before = self._chain
        for line in lines[:begin]:
            before = link(before, line)
        end = before
        for line in lines[begin:]:
            end = link(end, line)
        if end != _bytes(seal.chain) or self._tree is None:
            self._changed(segment, first, lines, seal, wanted)
            return None
        block = Block(segment.number, first + begin, self._tree.tree.size, before, lines[begin:])
        self._found.blocks.append(block)
        return block.way

    def _changed(self, segment: Segment, first: int, lines: list[bytes], seal: Seal, wanted: set[int]) -> None:
        """Say which line of a block was changed, by its marks; where they do not tell, all of them may be."""
        chain, found = self._chain, bytearray()
        for line in lines:
            chain = link(chain, line)
            found += chain[:MARK]
        told = _marks(seal.marks)
        number, what = None, "a line from here on is not what was sealed"
        if told is not None and told != found:
            same, what = difference(len(lines), told, bytes(found))
            number = first + same
        whys = {each: CHANGED if number in (each, None) else f"{BESIDE} {number}" for each in wanted}
        self._found.unproven.update({(segment.number, each): why for each, why in whys.items()})
        self._found.troubles.append(f"{segment.path.name}:{number or first}: {what}: see `replguard verify`")

    def _broken(self, why: str) -> None:
        self._found.troubles.append(why)
        self.is_over = True


def reach(folder: Path, kept: Checkpoint) -> tuple[int, int] | None:
    """Return the segment and line of the seal that a checkpoint is of, None where there is none. Raises OSError."""
    last = None
    for segment in names.one_of_each(names.segments(folder, STREAM)):
        header = reader.header([names.there(segment).path])
        if header is not None and header.key is not None and header.size < kept.size:
            last = segment
    for found in reader.lines(names.there(last).path) if last is not None else ():
        for number, line in enumerate(found[1], found[0]) if isinstance(found, tuple) else ():
            seal = _decoded(line, Seal) if line is not None and line.startswith(SEALED) else None
            if last is not None and seal is not None and seal.seal == kept.size - 1:
                return last.number, number
    return None


def first_key(headers: list[bytes]) -> str | None:
    """Return the key that vouches for the first of some headers."""
    header = _decoded(headers[0], Header) if headers else None
    return header.by if header is not None else None


def host(headers: list[bytes]) -> Host | None:
    """Return the host that the first of some headers tells."""
    header = _decoded(headers[0], Header) if headers else None
    return header.host if header is not None else None


def _headers(segments: list[Segment], last: str) -> Iterator[bytes]:
    """Yield the longest row of headers that vouch for one another up to the one that tells a key."""
    row: list[tuple[bytes, Header]] = []
    for segment in segments:
        line = next(
            (found[1][0] for found in reader.lines(names.there(segment).path) if isinstance(found, tuple)), None
        )
        header = _decoded(line or b"", Header)
        if line is None or header is None or header.key is None or not _vouched(header, line):
            row = []
            continue
        if row and row[-1][1].key != header.by:
            row = []
        row.append((line, header))
        if header.key == last:
            break
    yield from (line for line, _ in row)


def _vouched(header: Header, line: bytes) -> bool:
    return wire.encode(header) == line and holds(header.by, unsigned(header), header.signature)


def holds(key: str | None, text: bytes, signature: str | None) -> bool:
    """Tell whether a signature is a key's and over the text; False for what is no key."""
    try:
        return keys.Verifier(key or "").holds(text, signature or "")
    except ValueError:
        return False


def _decoded(line: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except wire.UNREADABLE:
        return None


def _marks(written: str) -> bytes | None:
    try:
        return bytes.fromhex(written)
    except ValueError:
        return None


def _bytes(written: str) -> bytes | None:
    try:
        found = bytes.fromhex(written)
    except ValueError:
        return None
    return found if len(found) == len(link(b"", b"")) else None
