"""The egress ledger: how many bytes each principal sent to where after touching weights, told at each threshold.

What counts is what leaves the host: on connections that were opened, on accepted ones unless an allowed server answers
at its own port, and what goes to network and FUSE mounts. What a proxy of this host passes on is its feeder's.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Attribution, FileRef
from replguard.events.network import Endpoint, Network
from replguard.fair import Fair
from replguard.provenance import entry
from replguard.provenance.accounts import EVERYWHERE, Account, Accounts, Line
from replguard.provenance.answers import Answers
from replguard.provenance.authority import Authority
from replguard.provenance.egress_store import Store
from replguard.provenance.endpoints import MAPPED, Endpoints, stays
from replguard.provenance.entry import Entry
from replguard.provenance.facts import fact
from replguard.provenance.instances import Instances
from replguard.provenance.ledger import Inode
from replguard.provenance.processes import Proc
from replguard.provenance.relays import Relays
from replguard.weights.inventory import Protected

FRESH = timedelta(minutes=10)
"""How long after a touch what is written to a network or FUSE mount may be protected: a taint lasts as long."""
REFEED = timedelta(hours=2)
"""How far back what was counted is laid on a lineage that turns out to be an agent's."""
SETTLES = timedelta(seconds=5)
"""How long after a first touch it is known whether an allowed server has begun: its answers are no egress."""
AGAIN = timedelta(seconds=30)
"""A touch is noted anew after so long: thirty days are not a matter of seconds."""
MOST_ACTORS, MOST_RECENT, MOST_WRITTEN = 4096, 16_384, 4096
SEVERAL = "several"
"""What the kernel had no room to tell apart."""
FUSE = "fuse"
"""The transport of what a probe saw go to the server of a FUSE mount."""
_DOORS = frozenset({"sshd", "sshd-session", "dropbear"})
_OF_A_KIND = frozenset({"service", "timer", "ci"})
"""Kinds of principals whose names only root can make more of."""


class Settings(NamedTuple):
    """What the configuration says of egress, and where the ledger is kept."""

    limit: int = 50 * 2**20
    ignore: tuple[str, ...] = ()
    path: Path | None = None


class Touched(msgspec.Struct, eq=False, tag=True):
    """A touch that was noted of an actor, and when he had touched the model before: to note it of another."""

    when: datetime
    proc: Proc
    actor: Entry
    model: str
    before: datetime | None


class Charged(msgspec.Struct, eq=False, tag=True):
    """Bytes that were counted as an actor's: what is needed to count them as another's."""

    when: datetime
    proc: Proc
    actor: Entry
    event: Event
    amount: int
    models: tuple[str, ...]
    attribution: Attribution | None


class Egress:
    """Turns `network_volume` and writes to network mounts into `weights_egress`. Only touchers have an account."""

    def __init__(
        self,
        settings: Settings,
        instances: Instances,
        authority: Authority,
        files: Callable[[], Iterable[Protected]],
        remote: Callable[[str], tuple[str, str] | None] = lambda _: None,
    ) -> None:
        """``remote`` returns the kind and the source of the network or FUSE mount that a path lies on."""
        self._limit = settings.limit
        self._ignored = Endpoints(settings.ignore)
        self._instances = instances
        self._authority = authority
        self._files = files
        self._remote = remote
        self.accounts = Accounts()
        self.store = Store(settings.path, self.accounts)
        self._relays = Relays()
        self._touches: Fair[tuple[str, str], datetime] = Fair(MOST_ACTORS)
        self._actors: Fair[str, frozenset[str]] = Fair(MOST_ACTORS)
        self._recent: deque[Touched | Charged] = deque(maxlen=MOST_RECENT)
        self.answers = Answers(instances)
        self._written: Fair[Inode, int] = Fair(MOST_WRITTEN)
        self._late: deque[tuple[datetime, str, datetime]] = deque(maxlen=MOST_ACTORS)
        self._probed = False
        self.bytes: Counter[bool] = Counter({False: 0, True: 0})
        """Bytes off the host, by whether they were counted as those of somebody who had touched weights."""

    @property
    def evicted(self) -> int:
        """How many accounts and lines were forgotten for want of room."""
        return self.accounts.evicted

    def tick(self, now: datetime) -> list[Event]:
        """Once a second: keep the ledger on disk, and return what has to be told of that, and late."""
        return self.settle(now) + self.store.tick(now)

    def settle(self, now: datetime | None = None) -> list[Event]:
        """Return what has to be told late, and by now is: all of it without a time, for a restart must not lose it."""
        told: list[Event] = []
        while self._late and (now is None or now - self._late[0][0] >= SETTLES):
            told += self._made_up(*self._late.popleft()[1:])
        return told

    # -- touches -------------------------------------------------------------------------------------------------

    def touched(self, proc: Proc, model: str, when: datetime, since: datetime) -> None:
        """Note that a process touched a model: what its principal sends counts, ``since`` then if told before too."""
        last = self._touches.get((proc.entity, model))
        if last is not None and when - last < AGAIN:
            return
        path = self._path(model)
        if path is None and self._scaffold(model):
            return
        found = entry.find(proc)
        owner = _owner(found)
        self._touches.put((proc.entity, model), when, owner)
        known = self._actors.get(found.proc.entity) or frozenset()
        self._actors.put(found.proc.entity, known | {model}, owner)
        first = self.accounts.find(found.principal, when) is None
        before = self.accounts.touch(found.principal, owner, model, path, when)
        self._recent.append(Touched(when, proc, found, model, before))
        self.store.changed()
        if first and since < when:
            self._late.append((when, found.principal, since))

    def _made_up(self, principal: str, since: datetime) -> Iterator[Event]:
        """Count what was sent before it was told that anything was touched, but for what a server answered."""
        for sent in self._relays.taken_back(principal, since):
            if not self._wanted(sent.event, sent.proc, sent.event.destination or Endpoint()):
                self.bytes[False] -= sent.left
                self.bytes[True] += sent.left
                yield from self._charge(sent.event, sent.proc, sent.left)

    def _path(self, model: str) -> str | None:
        """Return one file of a model: what the manifest says of it is said of all."""
        return min((known.path for known in self._files() if known.model == model and not known.scaffold), default=None)

    def _scaffold(self, model: str) -> bool:
        return any(known.model == model and known.scaffold for known in self._files())

    # -- what was sent -------------------------------------------------------------------------------------------

    def sent(self, event: Event, proc: Proc | None) -> list[Event]:
        """Take in the bytes that a process sent to one destination."""
        network, end = event.network, event.destination
        amount = network.bytes if network is not None else None
        if network is None or not amount or end is None or self._ignored.covers(end):
            return []
        self._probed = self._probed or network.transport == FUSE
        if stays(event):
            return self._passed(event, proc, amount) if proc is not None else []
        if proc is None or self._wanted(event, proc, end):
            self.bytes[False] += amount
            return []
        account = self.accounts.find(entry.find(proc).principal, event.timestamp)
        if account is None and (inside := self._let_in(proc, event.timestamp)) is not None:
            self.bytes[True] += amount
            return self._charge(event, inside, amount, "lineage")
        if account is None or (end.path is not None and not self._fresh(account, event.timestamp)):
            return self._of_others(event, proc, amount)
        self.bytes[True] += amount
        return self._charge(event, proc, amount)

    def _let_in(self, proc: Proc, now: datetime) -> Proc | None:
        """Return whom a program that lets people in sends for, if he touched anything just now.

        Whoever fetches a file by ssh reads it there; what he sees on his screen all month is no weights.
        """
        for inside in map(self._instances.process, sorted(proc.children)) if proc.image in _DOORS else ():
            account = self.accounts.find(entry.find(inside).principal, now) if inside is not None else None
            if account is not None and self._fresh(account, now):
                return inside
        return None

    def _wanted(self, event: Event, proc: Proc, end: Endpoint) -> bool:
        """Whether bytes are what a deployment is for: tensors for its other hosts, and answers."""
        return self._authority.exchanges(proc, entry.find(proc), end, event.timestamp) or self.answers.given(
            event, proc
        )

    def wrote(self, event: Event, proc: Proc | None) -> list[Event]:
        """Take in that a file was written: on a network mount it has left the host."""
        file, about = event.file, event.replguard
        if proc is None or file is None or file.inode is None:
            return []
        account = self.accounts.find(entry.find(proc).principal, event.timestamp)
        if account is None or not self._fresh(account, event.timestamp):
            return []
        place = self._remote(about.host_path if about is not None and about.host_path else file.path)
        if place is None or (self._probed and place[0].startswith(FUSE)):
            return []
        key, so_far = (file.device or 0, file.inode), about.bytes if about is not None and about.bytes else file.size
        before = self._written.get(key) or 0
        amount = (so_far or 0) - before
        if amount <= 0:
            return []
        self._written.put(key, before + amount, account.principal)
        self.bytes[True] += amount
        kind, source = place
        network = Network(transport=kind, initiated=True, bytes=amount)
        return self._charge(
            msgspec.structs.replace(event, destination=Endpoint(path=source), network=network), proc, amount
        )

    def _fresh(self, account: Account, now: datetime) -> bool:
        """Whether a principal touched anything just now: what it writes may be protected."""
        return any(now - touch.when <= FRESH for touch in account.touched.values())

    # -- what others pass on -------------------------------------------------------------------------------------

    def _of_others(self, event: Event, proc: Proc, amount: int) -> list[Event]:
        """Count what a program sends that touched nothing as its feeders'; the rest may turn out to be somebody's."""
        told: list[Event] = []
        for feeder, taken in self._relays.taken(proc, amount, event.timestamp):
            amount -= taken
            told += self._relayed(event, feeder, taken)
        self.bytes[False] += amount
        self._relays.sent(event, proc, amount)
        return told

    def _passed(self, event: Event, proc: Proc, amount: int) -> list[Event]:
        """Take in bytes that stay on this host: who gets them may send them off it."""
        if self.answers.given(event, proc):
            return []
        when = event.timestamp
        if self.accounts.find(entry.find(proc).principal, when) is not None:
            fed = [(proc, amount)]
        else:
            fed = self._relays.taken(proc, amount, when)
        relays = self._receivers(event) - {proc.entity} if fed else set()
        told: list[Event] = []
        for feeder, part in fed:
            for sent, taken in self._relays.fed(feeder, relays, part, when):
                self.bytes[False] -= taken
                told += self._relayed(sent.event, feeder, taken)
        return told

    def _receivers(self, event: Event) -> set[str]:
        """Return who may have got what was sent to a port of this host, or answered from one."""
        opened = event.network is None or event.network.initiated is not False
        end = event.destination if opened else event.source
        port = end.port if end is not None else None
        if port is None:
            return set()
        return self._instances.at_port(port, calling=not opened)

    def _relayed(self, event: Event, feeder: Proc, amount: int) -> list[Event]:
        if self.accounts.find(entry.find(feeder).principal, event.timestamp) is None:
            return []
        self.bytes[True] += amount
        return self._charge(event, feeder, amount, "inferred")

    # -- accounts ------------------------------------------------------------------------------------------------

    def _charge(
        self, event: Event, proc: Proc, amount: int, attribution: Attribution | None = None, *, again: bool = False
    ) -> list[Event]:
        """Count bytes in the lines of their destination, and return the facts of thresholds that they pass."""
        found, now = entry.find(proc), event.timestamp
        account = self.accounts.find(found.principal, now)
        models = self._models(account, found, now) if account is not None else ()
        if account is None or not models:
            return []
        self._recent.append(Charged(now, proc, found, event, amount, models, attribution))
        self.store.changed()
        lines = [(model, self._line(account, model, event)) for model in models]
        news = [(model, line) for model, line in lines if self._add(line, event, amount)]
        if self._add(account.total, event, amount) and not news:
            news = [(models[0], account.total)]
        rest = self.accounts.rest(account.owner)
        if rest is not None and rest.news(now, self._limit):
            news.append((models[0], rest))
        return [self._fact(event, proc, account, model, line, attribution, again=again) for model, line in news]

    def _line(self, account: Account, model: str, event: Event) -> Line:
        return self.accounts.line(account, model, _name(event.destination))

    def _add(self, line: Line, event: Event, amount: int) -> bool:
        """Count bytes; True if a threshold was passed."""
        protocol = event.network.transport if event.network is not None else None
        return line.count(amount, protocol, event.timestamp, self._limit)

    def _models(self, account: Account, found: Entry, now: datetime) -> tuple[str, ...]:
        """Return what this run of the principal touched, or else what any run of it did; the last first."""
        held, own = account.models(now), self._actors.get(found.proc.entity) or frozenset()
        return tuple(model for model in held if model in own) or tuple(held)

    def _fact(
        self, event: Event, proc: Proc, account: Account, model: str, line: Line, attribution: Attribution | None,
        *, again: bool,
    ) -> Event:  # fmt: skip
        now, touch = event.timestamp, account.touched[model]
        path = touch.path or ""
        self.store.soon()
        if line.destination == EVERYWHERE:
            event = msgspec.structs.replace(event, destination=Endpoint(), source=None)
        more: dict[str, Attribution] = {"attribution": attribution} if attribution is not None else {}
        return fact(
            "weights_egress", event, proc, file=None, model=model, bytes=line.total(now), since=line.since(now),
            protocols=tuple(sorted(line.protocols)), destinations=self._destinations(account, line, now),
            origin=FileRef(path=path) if path else None, relabelled=again,
            authorised=self._authority.act(proc, entry.find(proc), "egress", path, model, now), **more,
        )  # fmt: skip

    def _destinations(self, account: Account, line: Line, now: datetime) -> int:
        if line.destination != EVERYWHERE:
            return 1
        mine = (each for each in self.accounts.lines() if each.principal == account.principal and each.total(now))
        return len({each.destination for each in mine})

    # -- labels --------------------------------------------------------------------------------------------------

    def confirmed(self, agent: Proc, now: datetime) -> list[Event]:
        """Lay on an agent what its lineage did before it was known as one; return the facts with the new label."""
        mine = [one for one in self._recent if now - one.when <= REFEED and _moves(one, agent)]
        if not mine:
            return []
        kept = (one for one in self._recent if now - one.when > REFEED or not _moves(one, agent))
        self._recent = deque(kept, maxlen=MOST_RECENT)
        for one in reversed(mine):
            self._take_back(one)
        told: list[Event] = []
        for one in mine:
            if isinstance(one, Touched):
                self.touched(one.proc, one.model, one.when, one.when)
            else:
                told += self._charge(one.event, one.proc, one.amount, one.attribution, again=True)
        return told

    def _take_back(self, one: Touched | Charged) -> None:
        """Undo what was noted of a principal: the last first."""
        account = self.accounts.find(one.actor.principal, one.when)
        if account is None:
            return
        if isinstance(one, Touched):
            account.untouch(one.model, one.when, one.before)
            self._touches.pop((one.proc.entity, one.model))
            return
        for line in (account.total, *(self._line(account, model, one.event) for model in one.models)):
            line.take_back(one.amount, one.when, self._limit)


def _moves(one: Touched | Charged, agent: Proc) -> bool:
    """Whether a label that has just come makes what was noted another's."""
    return one.actor.kind != "agent" and entry.find(one.proc).proc is agent


def _owner(found: Entry) -> str:
    """Return whom a principal is counted with where room is short: a user has as many principals as he likes."""
    if found.kind in _OF_A_KIND:
        return found.principal
    uid = found.proc.user.id if found.proc.user is not None else None
    return f"{'container' if found.kind == 'container' else 'user'}:{'?' if uid is None else uid}"


def _name(end: Endpoint | None) -> str:
    """Return how a destination is called in the ledger: by its address, whatever the port."""
    name = (end.ip or "").removeprefix(MAPPED) or end.path if end is not None else None
    return name or SEVERAL
