"""What provenance keeps on disk: of its parts the attributes that a start could not learn anew, and their types.

What sensors tell at their first look (sockets, device memory, who runs) is kept as well where a start without it would
tell an end that was none. What only saves work, or is over within a minute, is not.
"""

from collections import OrderedDict, deque
from datetime import datetime

import msgspec

from replguard.events.event import Event
from replguard.fair import Fair
from replguard.provenance.agents import Candidate
from replguard.provenance.derived import Finding, Origin, Reader, Writer
from replguard.provenance.egress import Charged, Touched
from replguard.provenance.instances import Held, Live
from replguard.provenance.ledger import Artefact, Inode
from replguard.provenance.making import Making
from replguard.provenance.planned import Work, Written
from replguard.provenance.processes import Proc

VERSION = 1
"""To be raised when a part keeps something else under the same name: what is on disk then is passed over."""

Actor = str | tuple[str, str]


class _Agents(msgspec.Struct):
    _candidates: dict[str, Candidate] = {}


class _Planned(msgspec.Struct):
    _work: OrderedDict[str, Work] = OrderedDict()
    _files: Fair[str, Written] = Fair(1)


class _Instances(msgspec.Struct):
    _holds: dict[str, dict[Inode, Held]] = {}
    _listens: dict[str, set[str]] = {}
    _gpu: dict[str, dict[str | None, int]] = {}
    _fronts: dict[str, set[str]] = {}
    _users: dict[tuple[str, str], bool | None] = {}
    _begun: int = 0
    live: dict[str, Live] = {}


class _Talks(msgspec.Struct):
    _ports: dict[int, set[str]] = {}
    _with: dict[str, set[str]] = {}


class _Ledger(msgspec.Struct):
    _artefacts: OrderedDict[Inode, Artefact] = OrderedDict()
    _names: OrderedDict[str, Artefact] = OrderedDict()
    _paths: dict[str, Inode] = {}
    _below: dict[str, dict[Inode, None]] = {}


class _Touches(msgspec.Struct):
    _touches: dict[str, Fair[str, tuple[Proc, datetime]]] = {}
    _touchers: OrderedDict[str, datetime] = OrderedDict()
    _opens: deque[tuple[datetime, Inode, Proc | None]] = deque()


class _Uses(msgspec.Struct):
    _accesses: dict[tuple[str, str, str | None], datetime] = {}
    _readers: dict[str, dict[Inode, Held]] = {}


class _Parts(msgspec.Struct):
    _told: OrderedDict[tuple[str, Inode, str], int] = OrderedDict()
    _sums: OrderedDict[tuple[Actor, Inode], tuple[datetime, int]] = OrderedDict()


class _Makings(msgspec.Struct):
    _touchers: Fair[Inode, Making] = Fair(1)


class _Derived(msgspec.Struct):
    _readers: Fair[str, Reader] = Fair(1)
    _writers: Fair[str, Writer] = Fair(1)
    _opened: OrderedDict[tuple[str, int], tuple[Inode, Origin]] = OrderedDict()
    _sent: OrderedDict[tuple[str, str], int] = OrderedDict()
    _spoken: OrderedDict[tuple[str, str], Finding] = OrderedDict()
    _last_read: datetime | None = None


class _Pipes(msgspec.Struct):
    _feeders: OrderedDict[str, dict[str, None]] = OrderedDict()
    _peers: OrderedDict[tuple[str, int], frozenset[str]] = OrderedDict()


class _Fragments(msgspec.Struct):
    _sums: Fair[tuple[str, str], OrderedDict[Inode, int]] = Fair(1)


class _Egress(msgspec.Struct):
    _touches: Fair[tuple[str, str], datetime] = Fair(1)
    _actors: Fair[str, frozenset[str]] = Fair(1)
    _recent: deque[Touched | Charged] = deque()
    _written: Fair[Inode, int] = Fair(1)


class _Serving(msgspec.Struct):
    _memory: dict[tuple[str, str | None], int] = {}


class _Signals(msgspec.Struct):
    _told: dict[tuple[str, str, str], datetime] = {}


class _Labels(msgspec.Struct):
    _recent: deque[Event] = deque()


PARTS: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "agents": ("agents", _Agents),
    "planned": ("planned", _Planned),
    "instances": ("instances", _Instances),
    "talks": ("instances._talks", _Talks),
    "artefacts": ("ledger", _Ledger),
    "touches": ("ledger", _Touches),
    "uses": ("uses", _Uses),
    "parts": ("uses._parts", _Parts),
    "forks": ("uses._forks", _Parts),
    "makings": ("copies._makings", _Makings),
    "derived": ("copies.derived", _Derived),
    "pipes": ("copies.derived.pipes", _Pipes),
    "fragments": ("copies._fragments", _Fragments),
    "egress": ("egress", _Egress),
    "serving": ("serving", _Serving),
    "signals": ("signals", _Signals),
    "labels": ("labels", _Labels),
}
"""Each part by a name of its own: where it hangs, and what of it is kept."""

OUTLIVING = frozenset({"artefacts"})
"""What is as true after a reboot: no process of before is there any more, what they made is."""
