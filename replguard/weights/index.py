"""The index of all fingerprints: tells whether a file, or a part of it, is content of a protected one."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec
import numpy as np

from replguard.weights import casts, identity, sampling
from replguard.weights.anchors import SPACINGS, Scheme
from replguard.weights.fingerprint import FOREIGN, RAW, Fingerprint, Match, Stream
from replguard.weights.reading import Reader
from replguard.weights.sight import THIN, Sight
from replguard.weights.table import Table

NEEDED = 3
"""Anchors of one file that make a match; fewer are a trace."""
PURE = 0.9
"""Share of a file's anchors from which it is nothing but its origin: then its bytes tell more than their number."""
SURE = 16
"""Anchors from which a share is estimated well enough; while there are some and fewer, more of the file is read."""
COMMON = 2
"""Models that may share an anchor; one in more of them tells nothing, unless the file consists of such."""
MOST_MATCHES = 16
_FEW = 16
_HALF = 0.5
_LOOKED = 1024


class Index:
    """Fingerprints made with one key, and the lookup over their anchors. Not safe for threads."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.scheme = Scheme(key)
        self._files: dict[int, Fingerprint] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._streams: dict[int, tuple[int, Stream]] = {}
        self._sizes: defaultdict[int, set[int]] = defaultdict(set)
        self._table = Table()
        self._next = 0
        self._shared: dict[int, float] = {}

    def __iter__(self) -> Iterator[Fingerprint]:
        return iter(list(self._files.values()))

    def __len__(self) -> int:
        return len(self._files)

    def get(self, key: tuple[int, int]) -> Fingerprint | None:
        """Return the fingerprint of the file with this (device, inode), without its entries."""
        number = self._numbers.get(key)
        return None if number is None else self._files[number]

    def add(self, fingerprint: Fingerprint) -> None:
        """Take a fingerprint in, in place of an older one of the same inode."""
        self.remove(fingerprint.target.key)
        streams = []
        number = self._number()
        for stream in fingerprint.streams:
            which = self._number()
            self._table.add(which, np.frombuffer(stream.keys, "<u8").astype(np.uint64))
            streams.append(msgspec.structs.replace(stream, keys=b""))
            self._streams[which] = number, streams[-1]
        self._files[number] = msgspec.structs.replace(fingerprint, streams=streams)
        self._numbers[fingerprint.target.key] = number
        self._sizes[fingerprint.target.size].add(number)
        self._shared.clear()

    def _number(self) -> int:
        self._next += 1
        return self._next

    def remove(self, key: tuple[int, int]) -> None:
        """Forget the file with this (device, inode), if it is known."""
        number = self._numbers.pop(key, None)
        if number is None:
            return
        self._sizes[self._files.pop(number).target.size].discard(number)
        for which in [which for which, (owner, _) in self._streams.items() if owner == number]:
            self._table.remove(which)
            del self._streams[which]
        self._shared.clear()

    def move(self, key: tuple[int, int], fingerprint: Fingerprint) -> None:
        """Know a file by another inode, or with another state; its entries stay."""
        number = self._numbers.pop(key)
        old = self._files[number]
        self._numbers[fingerprint.target.key] = number
        self._files[number] = msgspec.structs.replace(fingerprint, streams=old.streams)

    def whole(self) -> list[Fingerprint]:
        """Return all fingerprints with their entries, as they are written to disk."""
        entries = self._table.by_owner()
        held: defaultdict[int, list[Stream]] = defaultdict(list)
        for which, (number, stream) in self._streams.items():
            keys = entries[which].astype("<u8").tobytes() if which in entries else b""
            held[number].append(msgspec.structs.replace(stream, keys=keys))
        return [msgspec.structs.replace(file, streams=held[number]) for number, file in self._files.items()]

    # -- a file is looked at ---------------------------------------------------------------------------------------

    def sight(self, expected: int) -> Sight:
        """Begin to look at a file of which so many bytes will be read."""
        finest = min((stream.spacing for _, stream in self._streams.values()), default=SPACINGS[0])
        scaffolds = any(file.target.scaffold or file.target.format is None for file in self._files.values())
        return Sight(self.scheme, self._table, finest, expected, text=scaffolds)

    def judge(self, sight: Sight, data: int, *, whole: bool) -> tuple[list[Match], list[Match]]:
        """Return what a file with ``data`` bytes of data holds, the largest share first; and the traces of less."""
        hits: defaultdict[int, Counter[int]] = defaultdict(Counter)
        own: Counter[int] = Counter()
        for owners, count in Counter(map(tuple, sight.found.values())).items():
            files = {self._streams[which][0] for which in owners}
            for which in owners:
                hits[self._streams[which][0]][which] += count
            if self._models(files) <= COMMON:
                own.update(dict.fromkeys(files, count))
        matches: list[Match] = []
        traces: list[Match] = []
        for number, streams in hits.items():
            enough = own[number] >= NEEDED or (streams.total() >= NEEDED and self._is_common(number))
            if enough or own[number]:
                match = self._match(number, streams, sight, data, whole=whole)
                (matches if enough else traces).append(match)
        return matches, traces

    def _match(self, number: int, streams: Counter[int], sight: Sight, data: int, *, whole: bool) -> Match:
        file, share, hits, samples = self._files[number], 0.0, 0, 0
        filled = sight.filled()
        for which, count in streams.items():
            stream = self._streams[which][1]
            seen = max(count, sight.anchors(stream.spacing))
            hits, samples = hits + count, samples + seen
            if whole and (filled < 1 or count < max(NEEDED, PURE * seen)):
                share += count / stream.count
            else:
                share += min(1.0, count * stream.every / seen) * data * filled / _filled(file, stream)
        return matched(file, min(1.0, share), hits, samples)

    def _models(self, numbers: set[int]) -> int:
        """Return of how many different models some files are; files of the same content count as one."""
        if len(numbers) <= COMMON:
            return len(numbers)
        alike: dict[object, str] = {}
        files = ((number, self._files[number]) for number in sorted(numbers))
        return len({alike.setdefault(file.identity or number, file.target.model) for number, file in files})

    def _is_common(self, number: int) -> bool:
        """Whether more than half of what is remembered of a file is shared by too many models."""
        if number not in self._shared:
            raw = [which for which, (owner, stream) in self._streams.items() if (owner, stream.kind) == (number, RAW)]
            keys = np.concatenate([np.empty(0, np.uint64), *(self._table.of(which)[:_LOOKED] for which in raw)])
            shared = (
                self._models({self._streams[which][0] for which in owners}) > COMMON
                for owners in self._table.owners(keys).values()
            )
            self._shared[number] = sum(shared) / max(1, len(keys))
        return self._shared[number] > _HALF

    def compare(self, reader: Reader, found: list[Match]) -> list[Match]:
        """Return what was found, better by what a digest tells of protected files of the very same size.

        It tells those that anchors cannot, tiny or of little entropy, and that a sample is of a copy and no less.
        """
        shares = {match.path: match.share for match in found}
        files = [self._files[number] for number in sorted(self._sizes.get(reader.size, ()))]
        files = [file for file in files if _is_poor(file) or file.target.path in shares]
        files = [file for file in files if file.identity and shares.get(file.target.path, 0) < 1]
        if not files:
            return found
        digest = identity.of(reader, self.key)
        whole = {file.target.path: matched(file, 1.0, 1, 1) for file in files if file.identity == digest}
        better = [
            msgspec.structs.replace(match, share=1.0) if match.path in whole else match for match in found
        ]  # fmt: skip
        return better + [match for path, match in whole.items() if path not in shares]


def sample(indexes: list[Index], reader: Reader, *, rounds: int = 4) -> tuple[list[Match], list[Match]]:
    """Return what protected content a file holds, the largest share first, and traces of less. Raises OSError.

    Reads at most 8 MiB, and up to four times as much where that found little and not nothing. Of a file of the very
    size of its origin, up to 4 MiB more are compared.
    """
    indexes = [index for index in indexes if len(index)]
    if not indexes:
        return [], []
    extents = reader.extents()
    data = sampling.size(extents)
    whole = data <= sampling.MOST
    sights = [index.sight(min(data, sampling.MOST)) for index in indexes]
    matches: list[Match] = []
    traces: list[Match] = []
    for _ in range(1 if whole else rounds):
        for piece in (sampling.whole if whole else sampling.windows)(reader, extents):
            for sight in sights:
                sight.look(piece)
        matches, traces = judged(indexes, sights, data, whole=whole)
        if not 0 < max((match.hits for match in matches + traces), default=0) < SURE:
            break
    for index in indexes:
        matches = index.compare(reader, matches)
    return _ordered(matches), _ordered(traces)


def search(indexes: list[Index], reader: Reader) -> tuple[list[Match], list[Match]]:
    """Return the same as ``sample``, of all that a file holds: it is read whole. Raises OSError."""
    extents = reader.extents()
    data = sampling.size(extents)
    sights = [index.sight(data) for index in indexes]
    for piece in sampling.whole(reader, extents):
        for sight in sights:
            sight.look(piece)
    matches, traces = judged(indexes, sights, data, whole=True)
    for index in indexes:
        matches = index.compare(reader, matches)
    return _ordered(matches), _ordered(traces)


def judged(indexes: list[Index], sights: list[Sight], data: int, *, whole: bool) -> tuple[list[Match], list[Match]]:
    """Return matches and traces of all indexes together."""
    pairs = [index.judge(sight, data, whole=whole) for index, sight in zip(indexes, sights, strict=True)]
    return [match for found, _ in pairs for match in found], [match for _, found in pairs for match in found]


def _ordered(matches: list[Match]) -> list[Match]:
    matches.sort(key=lambda match: (-match.share, not match.current, match.path))
    return matches[:MOST_MATCHES]


def matched(file: Fingerprint, share: float, hits: int, samples: int) -> Match:
    """Return the finding of a share of a protected file."""
    target = file.target
    here = target.device != FOREIGN
    return Match(
        model=target.model,
        path=target.path,
        device=target.device if here else None,
        inode=target.inode if here else None,
        share=round(share, 4),
        hits=hits,
        samples=samples,
        size=target.size,
        scaffold=target.scaffold,
        current=file.current,
    )


def _filled(file: Fingerprint, stream: Stream) -> float:
    """Return the bytes of a stream, or of its parts that have anchors where those are few."""
    width = 1.0 if stream.kind == RAW else _ratio(file, stream)
    size = file.payload * width
    dense = stream.count * stream.every * stream.spacing
    return size if dense >= THIN * size else max(1.0, dense)


def _ratio(file: Fingerprint, stream: Stream) -> float:
    """Return how many bytes a byte becomes in another type."""
    others = {one.kind for one in file.streams} - {RAW, stream.kind}
    origin = next(iter(set(casts.KINDS) - others - {stream.kind}), stream.kind)
    return casts.WIDTH[stream.kind] / casts.WIDTH[origin]


def _is_poor(file: Fingerprint) -> bool:
    """Whether so few anchors of a file tell anything that a copy of it might give no hits."""
    raw = next((stream for stream in file.streams if stream.kind == RAW), None)
    return raw is None or raw.count < _FEW or raw.count * raw.spacing * 4 < file.target.size
