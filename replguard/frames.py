"""What collector and analyser say to each other: frames of plain types, so that neither can do more to the other.

The collector tells what happened (`Told`). The analyser asks for what evidence an alert needs, and says what it found
of the operator's rules (`Asked`): nothing in it is run, opened or written by the collector.
"""

from datetime import datetime

import msgspec

from replguard.config import Config, dec_hook, enc_hook
from replguard.events import wire
from replguard.events.alert import Alert
from replguard.events.clock import Time
from replguard.events.event import Event
from replguard.events.evidence import Taken
from replguard.events.host import Host
from replguard.events.overview import Overview
from replguard.events.standing import SensorLine
from replguard.log.ending import Kept


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first frame of a connection. ``run`` names one run of the collector; it numbers its events anew.

    ``makes`` are the kinds of events that are made here.

    ``config`` is the configuration in force, of the file ``path`` (None: the default one), the last good one where that
    is broken. ``operators`` are the users, by number, whose configuration it is. ``names`` of model APIs are looked up
    by the analyser: the collector asks no network.
    """

    run: str
    version: str
    host: Host
    config: Config
    path: str | None
    operators: tuple[int, ...]
    makes: tuple[str, ...]
    names: tuple[str, ...] = ()


class Events(msgspec.Struct, frozen=True, tag="events"):
    """Events and facts, in the order in which rules are to see them.

    ``number`` counts these frames from 1 on, in one ``run`` of the collector.
    """

    run: str
    number: int
    events: tuple[Event, ...]


class Looked(msgspec.Struct, frozen=True, tag="looked"):
    """What a witness took down of an acting process."""

    taken: Taken


class Lineage(msgspec.Struct, frozen=True, tag="lineage"):
    """The answer to `Evidence`: the acting processes and their ancestors, one event each, the nearest first."""

    incident: str
    timestamp: Time
    events: tuple[Event, ...]


Number = tuple[str, float, tuple[str, ...]]
"""Name of a metric without its prefix, value, labels."""


class Standing(msgspec.Struct, frozen=True, tag="standing"):
    """How the collector stands, said every few seconds. ``ready``: every sensor had its first look.

    ``waiting`` counts events that it has not told yet, ``allowed`` the instances that each deployment may have;
    ``maintenance`` is until when the window lasts that is open.
    """

    ready: bool
    sensors: tuple[SensorLine, ...]
    protecting: str
    problems: tuple[str, ...]
    waiting: int
    numbers: tuple[Number, ...]
    allowed: dict[str, int] = {}
    maintenance: Time | None = None


class Meanwhile(msgspec.Struct, frozen=True, tag="meanwhile"):
    """What the kernel kept of the time before this run of the collector (see `log.ending.Kept`)."""

    kept: Kept


class Reread(msgspec.Struct, frozen=True, tag="reread"):
    """Somebody asked for everything to be read again; the rules are the analyser's."""


class Evidence(msgspec.Struct, frozen=True, tag="evidence"):
    """Wish for what an alert needs: the lineage of ``entities`` (their ids), and a look at who acts in it."""

    alert: Alert
    entities: tuple[str, ...]


class Wanted(msgspec.Struct, frozen=True, tag="wanted"):
    """What rules in force look for in names of files: texts at places (see `rules.paths`); everything if None."""

    signs: tuple[tuple[str, str], ...] | None


class Changed(msgspec.Struct, frozen=True, tag="changed"):
    """The operator's rules were changed; ``path`` is the file that was written to last."""

    path: str | None
    difference: str


class Resolved(msgspec.Struct, frozen=True, tag="resolved"):
    """The addresses that the names in ``agents.endpoints`` stand for now."""

    addresses: tuple[str, ...]


class Written(msgspec.Struct, frozen=True, tag="written"):
    """All frames of events of a run up to this number are in the log, and were judged."""

    run: str
    number: int


class Judging(msgspec.Struct, frozen=True, tag="judging"):
    """How the analyser stands, said when it was told how the collector stands.

    ``metrics`` is the address of the page, '' without one. ``overview`` is of both, None before it was first made.
    """

    pid: int
    judging: str
    problems: tuple[str, ...]
    metrics: str
    overview: Overview | None = None


Told = Hello | Events | Looked | Lineage | Standing | Meanwhile | Reread
Asked = Evidence | Wanted | Changed | Resolved | Written | Judging

_ENCODER = msgspec.msgpack.Encoder(enc_hook=enc_hook)


def encode(frame: Told | Asked) -> bytes:
    """Return a frame's bytes. What UTF-8 cannot hold becomes a visible escape, as in the log."""
    try:
        return _ENCODER.encode(frame)
    except UnicodeEncodeError:
        return _ENCODER.encode(wire.clean(msgspec.to_builtins(frame, enc_hook=enc_hook, builtin_types=(datetime,))))


def told() -> msgspec.msgpack.Decoder[Told]:
    """Return a decoder of what the collector tells."""
    return msgspec.msgpack.Decoder(Told, dec_hook=dec_hook)


def asked() -> msgspec.msgpack.Decoder[Asked]:
    """Return a decoder of what the analyser asks."""
    return msgspec.msgpack.Decoder(Asked, dec_hook=dec_hook)
