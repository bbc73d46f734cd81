"""The hash chain through a stream: from line to line, and block by block into a signed tree."""

import hashlib
from dataclasses import dataclass, field

import msgspec

from replguard.events import wire
from replguard.log import keys
from replguard.log.keys import Keys
from replguard.log.names import Header, Seal
from replguard.log.tree import Tree

START = bytes(32)
"""What the first line of a log follows."""
BLOCK = 1024
"""Lines of one block at most; fewer where a second ends it."""
OWN = b'{"log":"replguard",'
"""How a line of the log itself begins, a header or a seal; records never do."""
SEALED = OWN + b'"seal":'
MARK = 4
"""Bytes of a line's hash that its seal tells: a change is named by its line but once in four billion times."""


def link(before: bytes, line: bytes) -> bytes:
    """Return the hash up to a line (without its newline)."""
    return hashlib.sha256(before + line).digest()


def checkpoint(origin: str, size: int, root: bytes) -> bytes:
    """Return what a seal signs: the text of a checkpoint (C2SP tlog-checkpoint)."""
    return f"{origin}\n{size}\n{keys.text(root)}\n".encode()


def unsigned(header: Header) -> bytes:
    """Return what the signature of a header is over."""
    return wire.encode(msgspec.structs.replace(header, signature=None))


@dataclass(slots=True)
class Place:
    """Where a stream stands: the hash up to its last line, the tree of its blocks, and the marks of the open block."""

    chain: bytes = START
    tree: Tree = field(default_factory=Tree)
    marks: bytearray = field(default_factory=bytearray)

    def take(self, line: bytes) -> None:
        """Go on by a line."""
        self.chain = link(self.chain, line)
        self.marks += self.chain[:MARK]

    def turn(self, line: bytes) -> None:
        """Go on by a header or a seal: what comes after it is another block."""
        self.chain = link(self.chain, line)
        self.marks = bytearray()

    def copy(self) -> "Place":
        """Return one that goes on by itself."""
        return Place(self.chain, self.tree.copy(), bytearray(self.marks))


class Chain:
    """Goes through the lines of one stream as they are written, and seals their blocks.

    ``place`` is where it stands; who fails to write puts back the copy from before.
    """

    def __init__(self, keys_: Keys, place: Place, origin: str | None) -> None:
        self.place = place
        self._keys = keys_
        self._origin = origin

    @property
    def is_open(self) -> bool:
        """Whether there are lines that no seal covers."""
        return bool(self.place.marks)

    @property
    def is_full(self) -> bool:
        """Whether the block has as many lines as one may have."""
        return len(self.place.marks) >= BLOCK * MARK

    def header(self, header: Header) -> bytes:
        """Return the first line of a segment, with a new key that the old one vouches for.

        ``begin`` goes on by it, and ``begun`` takes the new key into use: once the line is on the disk.
        """
        origin = self._origin = self._origin or f"replguard/{header.stream}/{keys.short(self._keys.public)}"
        told = msgspec.structs.replace(
            header,
            origin=origin,
            prev=self.place.chain.hex(),
            size=self.place.tree.size,
            edge=tuple(each.hex() for each in self.place.tree.edge),
            key=self._keys.succeed(),
            by=self._keys.public,
        )
        return wire.encode(msgspec.structs.replace(told, signature=self._keys.sign(unsigned(told))))

    def follow(self, lines: list[bytes]) -> int:
        """Go on by lines as they were written, each with its newline; return how many of them are records."""
        place, records = self.place, 0
        for line in lines:
            if not line.startswith(OWN):
                place.take(line[:-1])
                records += 1
                continue
            if line.startswith(SEALED):
                place.tree.append(place.chain)
            place.turn(line[:-1])
        return records

    def begin(self, line: bytes) -> None:
        """Go on by the first line of a segment. What was not sealed before it is not any more."""
        self.place.turn(line)

    def begun(self) -> None:
        """Sign by the key that the first line told from now on: it was written."""
        self._keys.taken_over()

    def note(self) -> tuple[int, str, str] | None:
        """Return a checkpoint of all blocks: how many, the key that signs it, and the signed note (C2SP)."""
        size = self.place.tree.size
        if self._origin is None or not size:
            return None
        text = checkpoint(self._origin, size, self.place.tree.root())
        return size, self._keys.public, keys.note(text, self._origin, self._keys.public, self._keys.sign(text))

    def seal(self) -> bytes:
        """End the block; return the line that says so."""
        place = self.place
        place.tree.append(place.chain)
        signature = self._keys.sign(checkpoint(self._origin or "", place.tree.size, place.tree.root()))
        seal = Seal(seal=place.tree.size - 1, chain=place.chain.hex(), marks=place.marks.hex(), signature=signature)
        line = wire.encode(seal)
        place.turn(line)
        return line
