"""What the flags of `replguard query` ask for, as SQL: what somebody wrote is a parameter of it, never its text."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

from replguard.config import Seconds
from replguard.forensics.store import STREAMS
from replguard.forensics.views import COLUMNS

Given = dict[str, Any]
"""Parameters of a question by their names."""
Ask = Callable[[str, Given], list[tuple[Any, ...]]]
_INODE = re.compile(r"(\d{1,19})[:,](\d{1,19})")
_PID = re.compile(r"[0-9]{1,18}")
_ENTITY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the records that are asked for have in common; None where it does not matter.

    ``actor`` is an actor's id, principal or name, the pid of its entry point, or the pid or entity id of a process.
    ``artefact`` is a path (or a folder above it), ``device:inode``, or the id of something made or of a server.
    ``rule`` is an id or a name, perhaps with ``*``; ``incident`` an id: its alerts, what they name and what was kept
    with them; ``text`` a part of any text, in whatever case.
    """

    actor: str | None = None
    artefact: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    rule: str | None = None
    incident: str | None = None
    text: str | None = None


def moment(text: str, now: datetime) -> datetime:
    """Return a time that somebody wrote: in ISO 8601, UTC unless it says otherwise, or as a time span before now.

    Raises ValueError with the forms that are understood.
    """
    try:
        return now - timedelta(seconds=Seconds.parse(text))
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: write 2026-11-27, 2026-11-27T07:55 (UTC), or 2h, 3d before now"
        ) from None


def source(wanted: Wanted, ask: Ask) -> tuple[str, Given]:
    """Return what stands behind FROM, and its parameters; ``ask`` tells first which actors and processes are meant."""
    given: Given = {}
    conditions = list(_conditions(wanted, given))
    if wanted.actor is None:
        return _where("records", conditions), given
    acted = _acted(wanted.actor, wanted, given, ask)
    parts = [acted]
    if ask("SELECT 1 FROM segments.evidence WHERE kind = 'state' LIMIT 1", {}):
        # Snapshots and ancestors name no actor: they are of whoever their process acted for.
        theirs = f"entity_id IN (SELECT entity_id FROM records WHERE {acted})"
        parts.append(f"kind = 'state' AND {theirs} AND ({acted}) IS NOT true")
    found = (f"SELECT * FROM {_where('records', [*conditions, f'({part})'])}" for part in parts)
    return f"({' UNION ALL '.join(found)})", given


def _where(name: str, conditions: list[str]) -> str:
    return f"{name} WHERE {' AND '.join(conditions)}" if conditions else name


def _conditions(wanted: Wanted, given: Given) -> Iterator[str]:
    if wanted.since is not None:
        given["since"] = _utc(wanted.since)
        yield "time >= $since"
    if wanted.until is not None:
        given["until"] = _utc(wanted.until)
        yield "time < $until"
    if wanted.artefact is not None:
        yield _touched(wanted.artefact, given)
    if wanted.rule is not None:
        given["rule"] = wanted.rule
        yield "(rule_id GLOB $rule OR rule_name GLOB $rule) AND kind = 'alert'"
    if wanted.incident is not None:
        given["incident"] = wanted.incident
        named = "SELECT unnest(evidence) FROM segments.evidence WHERE kind = 'alert' AND incident = $incident"
        yield f"(incident = $incident OR id IN ({named}))"
    if wanted.text is not None:
        given["text"] = wanted.text
        looked = (f"contains(lower({column.name}), lower($text))" for column in COLUMNS if column.text)
        yield f"({' OR '.join(looked)})"


def _acted(who: str, wanted: Wanted, given: Given, ask: Ask) -> str:
    """Return the condition that an actor acted, or a process or what it started.

    Before an agent was known for one, what it did was laid on whoever had started it: the lineage tells it.
    """
    known: Given = {"who": who, "first": f"{who}#", "last": f"{who}$"}  # an id is PRINCIPAL#ENTRY, and $ follows #
    mine = ["actor_id = $who"]
    if "#" not in who:
        mine += ["actor_id >= $first AND actor_id < $last", "actor_name = $who"]
    if _ENTITY.fullmatch(who):
        mine.append("ends_with(actor_id, '#' || $who)")
    actors = set(_each(ask, "actor_id, agent", mine, known))
    entities = {who}
    if _PID.fullmatch(who):
        known["pid"] = int(who)
        entities |= (owners := _owners(known, wanted, ask))
        named = _each(ask, "actor_id, agent", ["actor_pid = $pid"], known)
        actors |= {(actor, agent) for actor, agent in named if _entry(actor) in owners}
    entities |= {_entry(actor) for actor, agent in actors if agent}
    parts = ["false"]
    if names := sorted({actor for actor, _ in actors if actor}):
        given["actors"] = names
        parts.append("actor_id IN (SELECT unnest($actors))")
    if some := sorted(filter(_ENTITY.fullmatch, entities)):
        given["theirs"] = some
        above = "SELECT DISTINCT ancestors, unnest(string_split(ancestors, ' ')) AS one FROM segments"
        lines = (f"SELECT ancestors FROM ({above}.{stream}) SEMI JOIN theirs USING (one)" for stream in STREAMS)
        theirs = "WITH theirs AS (SELECT unnest($theirs) AS one)"
        parts.append("entity_id IN (SELECT unnest($theirs))")
        parts.append(f"ancestors IN ({theirs} {' UNION ALL '.join(lines)})")
    return " OR ".join(parts)


def _owners(known: Given, wanted: Wanted, ask: Ask) -> set[str]:
    """Return the processes, by their entity ids, that had a pid at some time that is asked for.

    Each had it from its start, or from when it is seen first, to its end, or to the start of the next.
    """
    own = "entity_id, min(least(started, time)), max(time) FILTER (action = 'process_exit' AND kind <> 'alert')"
    lives = _each(ask, own, ["pid = $pid GROUP BY ALL"], known)
    entries = _each(ask, "actor_id, min(time)", ["actor_pid = $pid GROUP BY ALL"], known)
    began: dict[str, datetime] = {}
    ended = {entity: end for entity, _, end in lives if end is not None}
    for entity, start in [
        *((entity, start) for entity, start, _ in lives),
        *((_entry(a), start) for a, start in entries),
    ]:
        if entity and start is not None:
            began[entity] = min(start, began.get(entity, start))
    owners = sorted(began, key=began.__getitem__)
    since, until = (_utc(when) if when is not None else None for when in (wanted.since, wanted.until))
    found = set()
    for one, following in zip_longest(owners, owners[1:]):
        end = ended.get(one, began.get(following))
        if (until is None or began[one] < until) and (since is None or end is None or end >= since):
            found.add(one)
    return found


def _entry(actor: str | None) -> str:
    """Return the entity id of the entry point of an actor."""
    return (actor or "").rpartition("#")[2]


def _each(ask: Ask, columns: str, conditions: list[str], given: Given) -> list[tuple[Any, ...]]:
    """Return what any of the conditions holds for.

    A question for each: one for all would have to look at each of their columns in each record.
    """
    found: list[tuple[Any, ...]] = []
    for condition in conditions:
        used = {name: value for name, value in given.items() if f"${name}" in condition}
        for stream in STREAMS:
            found += ask(f"SELECT DISTINCT {columns} FROM segments.{stream} WHERE {condition}", used)
    return found


def _touched(what: str, given: Given) -> str:
    """Return the condition that something was made or used."""
    if (found := _INODE.fullmatch(what)) is not None:
        given["device"], given["inode"] = int(found[1]), int(found[2])
        return "((device = $device AND inode = $inode) OR (origin_device = $device AND origin_inode = $inode))"
    given["what"], given["below"] = what, what.rstrip("/") + "/"
    at = "{0} = $what OR starts_with({0}, $below)"
    paths = " OR ".join(at.format(name) for name in ("path", "host_path", "previous_path", "origin_path"))
    held = f"len(list_filter(instance_weights, lambda held: {at.format('held')})) > 0"
    return f"({paths} OR {held} OR list_contains(artefacts, $what) OR instance_id = $what)"


def _utc(when: datetime) -> datetime:
    """Return a time as it stands in a column."""
    return when.astimezone(UTC).replace(tzinfo=None)
