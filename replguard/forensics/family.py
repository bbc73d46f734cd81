"""The processes of an incident as a tree: who started whom, and what each did."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from replguard.events.event import Event
from replguard.events.evidence import Snapshot
from replguard.events.host import Container
from replguard.events.process import Parent, Process, User
from replguard.forensics.incident import Incident

Tell = Callable[[Event], str]
"""What an event says in words, from its verb on."""


@dataclass(slots=True)
class Act:
    """What was done, ``count`` times in a row. ``action`` is the kind of the event."""

    first: datetime
    last: datetime
    action: str
    text: str
    count: int = 1


@dataclass(slots=True)
class Member:
    """A process. ``depth`` counts those above it in the tree; ``alerts`` are the ids of those that name it."""

    entity: str
    process: Process = field(default_factory=Process)
    user: User | None = None
    container: Container | None = None
    depth: int = 0
    acts: list[Act] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)

    @property
    def did(self) -> bool:
        """Whether it is here for something that it did, and not as somebody's ancestor."""
        return bool(self.acts or self.alerts)


def tree(incident: Incident, tell: Tell) -> list[Member]:
    """Return the processes, each before those that it started, and those in the order of their first act."""
    members: dict[str, Member] = {}
    parents: dict[str, str] = {}
    for entry in incident.lineage:
        _know(members, parents, entry.what)
    for event in incident.events:
        member = _know(members, parents, event.what)
        if member is not None:
            _act(member, event.what, tell)
    for alert in incident.alerts:
        process = alert.what.process
        if process is not None and process.entity_id is not None:
            member = _member(members, parents, process, alert.what.user, alert.what.container)
            member.alerts.append(alert.what.event.id)
    for taken in incident.snapshots:
        if taken.what.process.entity_id is not None:
            _member(members, parents, taken.what.process, taken.what.user, taken.what.container).snapshots.append(
                taken.what.snapshot
            )
    return list(_ordered(members, parents))


def _know(members: dict[str, Member], parents: dict[str, str], event: Event) -> Member | None:
    """Note what an event says of its process and of those above it."""
    process, about = event.process, event.replguard
    if process is None or process.entity_id is None:
        return None
    member = _member(members, parents, process, event.user, event.container)
    lineage = about.lineage if about is not None else ()
    for child, parent in pairwise(lineage):
        members.setdefault(child, Member(child))
        members.setdefault(parent, Member(parent))
        parents.setdefault(child, parent)
    return member


def _member(
    members: dict[str, Member],
    parents: dict[str, str],
    process: Process,
    user: User | None,
    container: Container | None,
) -> Member:
    entity = process.entity_id or ""
    member = members.setdefault(entity, Member(entity))
    if _known(process) >= _known(member.process):
        member.process = process
    member.user, member.container = user or member.user, container or member.container
    above = process.parent
    if above is not None and above.entity_id is not None and above.entity_id != entity:
        parent = members.setdefault(above.entity_id, Member(above.entity_id))
        if _known(parent.process) == 0:
            parent.process = _as_process(above)
        parents.setdefault(entity, above.entity_id)
    return member


def _known(process: Process) -> int:
    """Return how much is said of a process."""
    return sum(each is not None for each in (process.pid, process.executable, process.command_line, process.start))


def _as_process(parent: Parent) -> Process:
    return Process(
        pid=parent.pid,
        entity_id=parent.entity_id,
        executable=parent.executable,
        command_line=parent.command_line,
        name=parent.name,
    )


def _act(member: Member, event: Event, tell: Tell) -> None:
    text = tell(event)
    last = member.acts[-1] if member.acts else None
    if last is not None and (last.action, last.text) == (event.action, text):
        last.count, last.last = last.count + 1, event.timestamp
    else:
        member.acts.append(Act(event.timestamp, event.timestamp, event.action, text))


def _ordered(members: dict[str, Member], parents: dict[str, str]) -> Iterator[Member]:
    """Yield each process once, below the one that started it. What is its own ancestor stands at the top."""
    children: dict[str, list[Member]] = {}
    for entity, member in members.items():
        children.setdefault(parents.get(entity, ""), []).append(member)
    seen: set[str] = set()
    for start in (*sorted(children.get("", []), key=_when), *members.values()):
        waiting = [(start, 0)]
        while waiting:
            member, depth = waiting.pop()
            if member.entity in seen:
                continue
            seen.add(member.entity)
            member.depth = depth
            yield member
            below = sorted(children.get(member.entity, []), key=_when, reverse=True)
            waiting += [(each, depth + 1) for each in below]


def _when(member: Member) -> tuple[str, int]:
    began = member.process.start or (member.acts[0].first if member.acts else None)
    return began.isoformat() if began else "", member.process.pid or 0
