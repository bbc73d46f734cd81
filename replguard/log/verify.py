"""Whether a log is what was written: its segments one by one, on all cores, and each against the one before."""

import base64
import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from replguard.errors import ReplguardError
from replguard.log import keys, names
from replguard.log.chain import START, checkpoint
from replguard.log.names import Segment
from replguard.log.reader import Fault
from replguard.log.walk import Part, part

SMALL = 4 * 2**20
"""Bytes of a log for which further processes take longer to start than they save."""
_CHECKPOINT = re.compile(r"^(\S+)\n(\d{1,18})\n([A-Za-z0-9+/]{43}=)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was said of a log at one time: after so many blocks its tree has this root (base64)."""

    origin: str
    size: int
    root: str


@dataclass(slots=True)
class Found:
    """What was found of one stream. ``parts`` are its segments in order, ``findings`` what is not as it was written.

    ``trusted`` says of each thing that is trusted what it proves; it is empty where nothing that stands elsewhere does.
    """

    stream: str
    parts: list[Part]
    findings: list[Fault] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)

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


def streams(folder: Path) -> list[str]:
    """Return the streams that have segments in a folder. Raises OSError."""
    return [stream for stream in ("raw", "evidence") if names.segments(folder, stream)]


def stream(folder: Path, name: str, trust: Iterable[str | Checkpoint] = ()) -> Iterator[Part | Found]:
    """Yield the segments of a stream as they are gone through, and at last what was found. Raises OSError."""
    trust = list(trust)
    sizes = frozenset(each.size for each in trust if isinstance(each, Checkpoint))
    parts: list[Part] = []
    for each in _parts(_one_of_each(names.segments(folder, name)), sizes):
        parts.append(each)
        yield each
    yield judged(name, parts, trust)


def judged(name: str, parts: list[Part], trust: Iterable[str | Checkpoint] = ()) -> Found:
    """Return what is found of a stream, by its segments in order and what is trusted."""
    found = Found(name, parts, [finding for each in parts for finding in each.findings])
    _join(found)
    for trusted in trust:
        if isinstance(trusted, Checkpoint):
            _against(found, trusted)
        else:
            _key(found, trusted)
    return found


def read_trust(given: str) -> list[str | Checkpoint]:
    """Return the key or the checkpoints that somebody trusts: the key itself, or a file. Raises ReplguardError."""
    text = given
    with contextlib.suppress(OSError):
        text = Path(given).read_text("utf-8", "replace")
    kept = [Checkpoint(name, int(size), root) for name, size, root in _CHECKPOINT.findall(text)]
    if kept:
        return [*kept]
    try:
        if len(base64.b64decode(text.strip(), validate=True)) == 32:
            return [text.strip()]
    except ValueError:
        pass
    raise ReplguardError(
        f"{given!r} is neither a key nor a checkpoint: give the 44 characters that `verify` prints as the log's first"
        " key, or a file with a checkpoint (its name, its number of blocks and its root, one a line)"
    )


def text(found: Checkpoint) -> str:
    """Return a checkpoint as it is kept."""
    return checkpoint(found.origin, found.size, base64.b64decode(found.root)).decode()


def _parts(segments: list[Segment], sizes: frozenset[int]) -> Iterator[Part]:
    work = partial(part, sizes=sizes)
    cores = min(len(os.sched_getaffinity(0)), len(segments))
    if cores < 2 or sum(segment.path.stat().st_size for segment in segments) < SMALL:
        yield from map(work, segments)
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("forkserver")) as pool:
        yield from pool.map(work, segments)


def _one_of_each(segments: list[Segment]) -> list[Segment]:
    """Return the segments; of one that stands there twice, for a compression was cut off, the plain one."""
    return list({segment.number: segment for segment in reversed(segments)}.values())[::-1]


def _join(found: Found) -> None:
    """Hold each segment against the one before, and the first against what the newest says is kept."""
    before: Part | None = None
    empty: list[Part] = []
    for number, each in zip([0, *(one.number for one in found.parts)], found.parts, strict=False):
        if number and each.number != number + 1:
            _missing(found, number + 1, each.number - 1, "")
        if each.header is None and not each.findings:
            empty.append(each)  # who is killed before the first line leaves such a one; nothing follows it then
            continue
        found.findings += _in_place(each, found.stream)
        if before is not None and (wrong := list(_after(before, each))):
            found.findings += [Fault(one.path, 0, "is empty, and was not") for one in empty] or wrong
        before, empty = each, []
    first = next((each for each in found.parts if each.header is not None), None)
    oldest = next((each.header.oldest for each in reversed(found.parts) if each.header is not None), 1)
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
    if first is None or header is None or first.key is None:
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
    if trusted.size in roots:
        if roots[trusted.size] == trusted.root:
            found.trusted.append(f"the checkpoint proves the first {trusted.size} blocks: nobody changed them since")
        else:
            found.findings.append(
                Fault(last.path.parent, 0, f"{found.stream} is not the log of the checkpoint: it was written anew")
            )
    elif first.header is not None and trusted.size < first.header.size:
        began = first.header.size
        found.trusted.append(
            f"the checkpoint is of block {trusted.size}, and the log begins at {began} now: it proves nothing"
        )
    else:
        text_ = f"{found.stream} was cut: it has {last.end.tree.size} blocks, and the checkpoint is of {trusted.size}"
        found.findings.append(Fault(last.path, 0, text_))


def _key(found: Found, trusted: str) -> None:
    """Say what a key proves that was noted elsewhere."""
    vouched = [one for one in found.parts if one.header is not None and trusted in (one.header.key, one.header.by)]
    if vouched and not found.findings:
        found.trusted.append(f"the key proves {vouched[0].path.name} and what follows, up to the segment in use")


def unknown(found: list[Found], trust: Iterable[str | Checkpoint]) -> list[str]:
    """Return what is trusted and belongs to none of the streams."""
    keys_ = {key for one in found for each in one.parts if each.header for key in (each.header.key, each.header.by)}
    origins = {each.header.origin for one in found for each in one.parts if each.header}
    return [
        f"no stream of this log has the key {each}"
        if isinstance(each, str)
        else f"no stream of this log is {each.origin}"
        for each in trust
        if (each not in keys_ if isinstance(each, str) else each.origin not in origins)
    ]
