"""Makes the fingerprint of one protected file, piece by piece: it can rest in between, and go on after a kill."""

from collections.abc import Iterator

import numpy as np

from replguard.weights import anchors, casts, formats, identity
from replguard.weights.anchors import PIECE, REACH, Bytes, Scheme, Words
from replguard.weights.fingerprint import RAW, Changed, Fingerprint, Stream, Target
from replguard.weights.reading import Reader, clip

REPEATS = 4
"""Places at which one anchor may stand in one file; what repeats more often is filling."""
_TOGETHER = 64
_AT_ONCE = PIECE // 2
_HOLDS = 4 * PIECE  # bytes of a large file over which its values keep their type: tensors are longer


class Building:
    """A fingerprint in the making. Only tensors are remembered where the format tells their range.

    Headers and tokenizers are shared by strangers.
    """

    def __init__(self, reader: Reader, target: Target, scheme: Scheme, begun: Fingerprint | None = None) -> None:
        """Plan the reading of a file, or the rest of it if it was ``begun``. Raises OSError."""
        self._reader, self._target, self._scheme = reader, target, scheme
        self._text = target.scaffold or target.format is None
        whole = (0, reader.size)
        low, high = (None if self._text else _payload(reader)) or whole
        self._parts = clip(reader.extents(), low, high)
        self._payload = high - low
        self._spacing = anchors.spacing(self._payload)
        self._every = casts.every(self._payload)
        self._found: dict[str, list[Words]] = {}
        self._units: dict[str, list[Bytes]] = {}
        self._guessed: tuple[tuple[str, int] | None, int] = (None, 0)
        self._fresh: dict[str, list[Bytes]] = {}
        self._read = 0
        self._buffer = np.empty(PIECE + REACH - 1, np.uint8)
        if begun is not None and begun.read is not None:
            self._read = begun.read
            self._found = {one.kind: [np.frombuffer(one.keys, "<u8")] for one in begun.streams}

    def pieces(self) -> Iterator[int]:
        """Read on, a MiB at a time; yields the bytes read. Raises OSError, and Changed if it was written to."""
        for start, end in self._parts:
            for at in range(max(start, self._read), end, PIECE):
                length = min(PIECE + REACH - 1, end - at)
                data = self._buffer[: self._reader.into(self._buffer.data[:length], at)]
                if len(data) < length:
                    raise Changed
                self._take(data, at)
                self._read = min(end, at + PIECE)
                yield min(PIECE, length)

    def done(self) -> Fingerprint:
        """Return the fingerprint when all pieces are read. Raises OSError, and Changed if it was written to."""
        whole = identity.of(self._reader, self._scheme.key)
        if self._reader.changed():
            raise Changed
        return Fingerprint(self._target, self._payload, whole, self._streams())

    def so_far(self) -> Fingerprint | None:
        """Return what there is to go on with after an interruption, None if the file has changed meanwhile."""
        if self._reader.changed():
            return None
        return Fingerprint(self._target, self._payload, None, self._streams(often=True), read=self._read)

    def _take(self, data: Bytes, at: int) -> None:
        self._keep(RAW, data, self._spacing)
        if self._text:
            return
        # Where every unit is taken, all of the piece is one.
        step, width = (1, PIECE) if self._every == 1 else (self._every, casts.unit(self._payload))
        for unit in range(-(at // width) % step, PIECE // width, step):
            part = data[unit * width : (unit + 1) * width]
            told = self._kind(part, at + unit * width)
            if told is not None:
                kind, start = told
                self._units.setdefault(kind, []).append(casts.aligned(part, kind, start).copy())
                if sum(map(len, self._units[kind])) >= _AT_ONCE:
                    self._cast(kind)

    def _kind(self, part: Bytes, at: int) -> tuple[str, int] | None:
        """Return the type of a unit's values and where one begins: of a large file, as it was a little before."""
        told, until = self._guessed
        if at >= until or told is None:
            told = casts.guess(part)
            if told is not None:
                told = told[0], (at + told[1]) % casts.WIDTH[told[0]]
            self._guessed = told, at + _HOLDS * (self._every == casts.SPARSEST)
        return told and (told[0], (told[1] - at) % casts.WIDTH[told[0]])

    def _cast(self, kind: str) -> None:
        """Take in the values of the units seen lately in the other types: those of many units at once cost less."""
        for other, values in casts.retyped(np.concatenate(self._units.pop(kind)), kind).items():
            for begin in range(0, len(values), PIECE):
                self._keep(other, values[begin : begin + PIECE + REACH - 1], casts.spacing(self._payload))

    def _keep(self, kind: str, data: Bytes, spacing: int) -> None:
        places, _ = self._scheme.find(data, anchors.ceiling(spacing))
        if len(places):
            rows = self._fresh.setdefault(kind, [])
            rows.append(anchors.blocks(data, places))
            if len(rows) >= _TOGETHER:
                self._settle(kind)

    def _settle(self, kind: str) -> None:
        """Take in what is evidence of the anchors found lately: to try many together is as cheap as one."""
        if kind in self._fresh:
            rows = np.concatenate(self._fresh.pop(kind))
            told = anchors.tell(rows, text=self._text)
            if told.any():
                self._found.setdefault(kind, []).append(self._scheme.entries(rows[told]))

    def _streams(self, *, often: bool = False) -> list[Stream]:
        """Return what was found, without what repeats too often unless that is still to be counted."""
        for kind in list(self._units):
            self._cast(kind)
        for kind in list(self._fresh):
            self._settle(kind)
        return [self._stream(kind, often=often) for kind in self._found]

    def _stream(self, kind: str, *, often: bool) -> Stream:
        found = np.concatenate(self._found[kind])
        keys, counts = np.unique(found, return_counts=True)
        keys = np.sort(found) if often else keys[counts <= REPEATS]
        every, spacing = (1, self._spacing) if kind == RAW else (self._every, casts.spacing(self._payload))
        return Stream(kind, every, spacing, len(keys), keys.astype("<u8").tobytes())


def _payload(reader: Reader) -> tuple[int, int] | None:
    verdict = formats.recognise(reader)
    if not isinstance(verdict, formats.Format):
        return None
    return formats.payload(reader, verdict)
