"""Whether a log is what was written: its segments one by one, on all cores, and each against the one before."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from replguard.forensics.trust import Checkpoint, Told
from replguard.log import keys, names, reader
from replguard.log.chain import START
from replguard.log.names import Segment
from replguard.log.reader import Fault, Torn
from replguard.log.walk import Part, part

SMALL = 4 * 2**20
"""Bytes of a log for which further processes take longer to start than they save."""


@dataclass(slots=True)
class Found:
    """What was found of one stream. ``parts`` are its segments in order, ``findings`` what is not as it was written.

    ``trusted`` says of each thing that is trusted what it proves; it is empty where nothing that stands elsewhere does.
    ``unproven``: something was given, and nothing of it does, though nothing is wrong; ``idle`` says why not.
    """

    stream: str
    parts: list[Part]
    findings: list[Fault] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)
    unproven: bool = False
    idle: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Records that were read."""
        return sum(one.records for one in self.parts)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What to keep elsewhere, so that nobody can write the log anew; None for a log without a chain."""
        last = next((one for one in reversed(self.parts) if one.header and one.header.origin), None)
        if last is None or last.header is None or last.header.origin is None or not last.end.tree.size:
            return None
        return Checkpoint(last.header.origin, last.end.tree.size, keys.text(last.end.tree.root()))


def size(path: Path) -> int:
    """Return the bytes of a file, 0 for one that is gone by now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def streams(folder: Path) -> list[str]:
    """Return the streams that have segments in a folder. Raises OSError."""
    return [stream for stream in ("raw", "evidence") if names.segments(folder, stream)]


def lacking(folder: Path, present: Iterable[str], told: Iterable[Told] = ()) -> Iterator[Fault]:
    """Yield what should be here besides and is not: a daemon writes evidence always, and that tells of the others."""
    for stream_ in sorted({"evidence", *(each.stream for each in told)} - set(present)):
        yield Fault(folder, 0, f"{stream_} has no segment here: it was removed, or not copied with the rest")
    for path in sorted(folder.iterdir()):
        if names.is_segment(path) and (path.is_symlink() or not path.is_file()):
            yield Fault(path, 0, "this is no regular file, and not read: it was put there in the place of a segment")


def stream(
    folder: Path, name: str, trust: Iterable[str | Checkpoint] = (), told: Iterable[Told] = ()
) -> Iterator[Part | Found]:
    """Yield the segments of a stream as they are gone through, and at last what was found. Raises OSError.

    ``told`` are checkpoints that stand in the log itself: one stream tells of the other, and of its own past.
    """
    trust, told = list(trust), [each for each in told if each.stream == name]
    known = [each for each in trust if isinstance(each, Checkpoint)] + [each.kept for each in told]
    sizes = frozenset(each.size for each in known)
    parts: list[Part] = []
    segments = names.segments(folder, name)
    for each in _parts(names.one_of_each(segments), sizes):
        parts.append(each)
        yield each
    found = judged(name, parts, trust)
    found.findings += _twice(segments)
    if not found.findings:  # what was changed is told already, and nearer to where it was
        found.findings += _contradicted(found, told)
    yield found


def judged(name: str, parts: list[Part], trust: Iterable[str | Checkpoint] = ()) -> Found:
    """Return what is found of a stream, by its segments in order and what is trusted."""
    oldest = next((each.header.oldest for each in reversed(parts) if each.header is not None), 1)
    there = [each for each in parts if not (each.gone and each.number < oldest)]
    found = Found(name, there, [finding for each in there for finding in each.findings])
    _join(found, oldest)
    trust = list(trust)
    for trusted in trust:
        if isinstance(trusted, Checkpoint):
            _against(found, trusted)
        else:
            _key(found, trusted)
    found.unproven = bool(trust) and not found.trusted and not found.findings
    return found


def _parts(segments: list[Segment], sizes: frozenset[int]) -> Iterator[Part]:
    work = partial(part, sizes=sizes)
    cores = min(len(os.sched_getaffinity(0)), len(segments))
    if cores < 2 or sum(size(segment.path) for segment in segments) < SMALL:
        yield from map(work, segments)
        return
    done = 0
    try:
        with ProcessPoolExecutor(cores, mp_context=get_context("forkserver")) as pool:
            for each in pool.map(work, segments):
                yield each
                done += 1
    except BrokenProcessPool:  # one was killed, for want of memory most likely: we need no more than one
        yield from map(work, segments[done:])


def _twice(segments: list[Segment]) -> Iterator[Fault]:
    """Yield where a segment stands twice, packed and not, and the two are not the same."""
    by_number: dict[int, list[Segment]] = {}
    for segment in segments:
        by_number.setdefault(segment.number, []).append(segment)
    for some in by_number.values():
        if len(some) > 1 and len({_content(one.path) for one in some if one.path.exists()}) > 1:
            yield Fault(some[0].path, 0, "the segment stands here twice, packed too, and the two are not the same")


def _content(path: Path) -> str:
    """Return what is in a file, as a hash; of one that cannot be read another one each time."""
    found = hashlib.sha256()
    for some in reader.lines(path):
        if isinstance(some, Fault):
            return str(some)
        for line in some[1]:
            found.update(b"long" if line is None else line)
            found.update(b"" if isinstance(line, Torn) else b"\n")
    return found.hexdigest()


def _join(found: Found, oldest: int) -> None:
    """Hold each segment against the one before, and the first against what the newest says is kept."""
    before: Part | None = None
    empty: list[Part] = []
    for number, each in zip([0, *(one.number for one in found.parts)], found.parts, strict=False):
        if number and each.number != number + 1:
            _missing(found, number + 1, each.number - 1, "")
        if each.gone:
            _missing(found, each.number, each.number, "")
        if each.header is None and not each.findings:
            empty.append(each)  # who is killed before the first line leaves such a one; nothing follows it then
            continue
        found.findings += _in_place(each, found.stream)
        if before is not None and (wrong := list(_after(before, each))):
            found.findings += [Fault(one.path, 0, "is empty, and was not") for one in empty] or wrong
        before, empty = each, []
    first = next((each for each in found.parts if each.header is not None), None)
    if first is not None and found.parts[0].number > oldest and first.header and first.header.key is not None:
        _missing(found, oldest, found.parts[0].number - 1, ": the newest segment tells that they are kept")


def _missing(found: Found, first: int, last: int, more: str) -> None:
    gone = f"segment {first} is" if first == last else f"segments {first} to {last} are"
    found.findings.append(Fault(found.parts[0].path.parent, 0, f"{found.stream} {gone} missing{more}"))


def _in_place(each: Part, stream_: str) -> Iterator[Fault]:
    """Yield what is wrong with where a segment stands."""
    header = each.header
    if header is None:
        return
    if (header.stream, header.segment) != (stream_, each.number):
        yield Fault(each.path, 1, f"this is segment {header.segment} of {header.stream}: the file was renamed")
    elif each.number == 1 and header.key is not None and (header.prev != START.hex() or header.size):
        yield Fault(each.path, 1, "the first segment follows another one, which is gone")


def _after(before: Part, each: Part) -> Iterator[Fault]:
    """Yield what is wrong with how a segment follows another."""
    first, header = before.header, each.header
    if first is None or header is None:
        return
    if first.key is None:
        if header.key is not None and (header.prev != START.hex() or header.size):
            yield Fault(
                before.path, 1, "the segment names no key, and the next one follows one that did: it was put there"
            )
        return
    if header.key is None:
        yield Fault(each.path, 1, "the segment names no key, and the one before does: it was put there")
        return
    edge = tuple(hash_.hex() for hash_ in before.end.tree.edge)
    if (header.prev, header.size, header.edge) != (before.end.chain.hex(), before.end.tree.size, edge):
        where = "after its last seal " if header.size == before.end.tree.size and before.open else ""
        yield Fault(before.path, 0, f"it was changed {where}or cut: the next segment follows another end than it has")
    if header.by != first.key:
        yield Fault(each.path, 1, "the key of the segment before does not vouch for the key of this one")
    if header.origin != first.origin:
        yield Fault(each.path, 1, f"the segment is of another log, {header.origin}")


def _against(found: Found, trusted: Checkpoint) -> None:
    """Hold a stream against a checkpoint that was kept elsewhere."""
    mine = [one for one in found.parts if one.header is not None and one.header.origin == trusted.origin]
    if not mine:
        return
    roots = {size: root for one in mine for size, root in one.roots.items()}
    first, last = mine[0], mine[-1]
    if trusted.size in roots and roots[trusted.size] != trusted.root:
        told = f"{found.stream} is not the log of the checkpoint: it was written anew, or that is not what was kept"
        found.findings.append(Fault(last.path.parent, 0, told))
    elif first.header is not None and trusted.size <= first.header.size:
        found.idle.append(
            f"the checkpoint of {trusted.size} blocks is of what was removed since: it proves nothing here"
        )
    elif trusted.size not in roots:
        told = f"{found.stream} was cut: it has {last.end.tree.size} blocks, and the checkpoint is of {trusted.size}"
        found.findings.append(Fault(last.path, 0, told))
    elif not found.findings:
        found.trusted.append(f"the checkpoint proves all up to block {trusted.size}: nobody changed it since")


def _contradicted(found: Found, told: list[Told]) -> Iterator[Fault]:
    """Yield what the log itself tells against a stream that is whole by itself: it was written anew, or cut."""
    origins = {one.header.origin for one in found.parts if one.header is not None}
    roots = {size: root for one in found.parts for size, root in one.roots.items()}
    blocks = found.checkpoint.size if found.checkpoint is not None else 0
    for each in told:
        if each.kept.origin not in origins:
            if each is told[-1]:
                yield Fault(each.path, each.line, f"{found.stream} is not the log that this tells of")
        elif roots.get(each.kept.size, each.kept.root) != each.kept.root:
            yield Fault(each.path, each.line, f"{found.stream} was written anew since: this tells of another one")
        elif each.kept.size > blocks:
            yield Fault(each.path, each.line, f"{found.stream} was cut: this tells of {each.kept.size} blocks")


def _key(found: Found, trusted: str) -> None:
    """Say what a key proves that was noted elsewhere: it has to have signed something here."""
    signed = [one for one in found.parts if one.header is not None and _signed(one, trusted)]
    if signed and not found.findings:
        found.trusted.append(f"the key proves {signed[0].path.name}, what it follows, and key by key what follows it")


def _signed(one: Part, key: str) -> bool:
    header = one.header
    return header is not None and one.vouched and (header.by == key or (header.key == key and one.blocks > 0))


def unknown(found: list[Found], trust: Iterable[str | Checkpoint]) -> list[str]:
    """Return what is trusted and belongs to none of the streams."""
    origins = {each.header.origin for one in found for each in one.parts if each.header}
    parts = [part_ for one in found for part_ in one.parts]
    return [
        f"no stream here has the key {each}: what it proves was removed, or is another log"
        if isinstance(each, str)
        else f"no stream here is {each.origin}, of which a checkpoint was kept: it was removed, or is in another log"
        for each in trust
        if (not any(_signed(one, each) for one in parts) if isinstance(each, str) else each.origin not in origins)
    ]
