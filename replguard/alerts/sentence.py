"""One sentence that a human understands at three in the morning: who did what, and how sure that is."""

from collections import Counter

from replguard.alerts.clauses import clause, program
from replguard.alerts.story import actor_of, is_fact, nobody
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.text import show

MOST = 4
"""Acts that a sentence tells; a correlation may hold more, and its evidence lists them all."""
_KINDS = {
    "service": "of service",
    "container": "in container",
    "scheduler": "of scheduler job",
    "timer": "of timer",
    "cron": "of a cron job",
    "at": "of an at job",
    "ci": "of CI job",
    "session": "in a login session",
    "unknown": "of unknown origin",
}
_NO_CONTEXT = Context()


def sentence(rule: str, events: tuple[Event, ...]) -> str:
    """Return what the events say together, in the order in which they came. ``rule`` is the name of the rule.

    Everything that a process could choose is shown with control characters escaped and cut in its middle.
    """
    acts = _acts(events)
    parts: list[str] = []
    before: str | None = None
    for event, times in acts:
        who = subject(event)
        verb = _probably(event) + clause(event) + (f" ({times} times)" if times > 1 else "")
        parts.append(verb if who == before else f"{who} {verb}")
        before = who
    text = ", then ".join(parts)
    text = f"{text}."
    text = text[0].upper() + text[1:] if text.startswith(("agent ", "someone ")) else text
    return text if any(is_fact(event) for event, _ in acts) else f"{show(rule)}: {text}"


def subject(event: Event) -> str:
    """Return who acted, as far as it is known."""
    context = event.replguard or _NO_CONTEXT
    actor, process = context.actor, event.process
    if event.health is not None:
        return f"replguard's {show(event.health.component)}"
    if actor is None or nobody(actor):
        return _process(event) if process is not None else _someone(event, context)
    if actor.agent:
        through = (
            "" if process is None or process.pid == actor.pid else f" through {program(process)} (pid {process.pid})"
        )
        return f"agent {show(actor.name or actor.principal)} ({_ids(actor.pid, event)}){through}"
    where = _KINDS.get(actor.kind, "")
    name = actor.principal.partition(":")[2] if actor.kind in ("service", "container", "ci", "timer") else ""
    where = f"{where} {show(name)}".rstrip()
    if process is None:
        name = show(actor.name) if actor.name else "someone" if where else show(actor.principal)
        return f"{name} {where} ({_ids(actor.pid, event)})".replace("  ", " ")
    return f"{_process(event)} {where}".rstrip()


def _acts(events: tuple[Event, ...]) -> list[tuple[Event, int]]:
    """Return the last event of each kind with how often its program did it: of facts, where there are, and the end.

    Of a sequence that ends in a plain event that one is the news: weights were used, and then a way out was opened.
    """
    told: dict[tuple[str, str | None], Event] = {}
    times: Counter[tuple[tuple[str, str | None], tuple[str | None, str]]] = Counter()
    copies: set[object] = set()
    facts = [event for event in events if is_fact(event) or event is events[-1]]
    for event in facts if any(map(is_fact, facts)) else events:
        key = (event.action, event.replguard.model if event.replguard else None)
        told.pop(key, None)
        told[key] = event
        copy = (_who(event), event.replguard.artefacts) if event.replguard and event.action == "weights_copy" else None
        if copy is None or copy not in copies:  # a copy that is told when it begins and when it is done is one
            copies.add(copy)
            times[key, _who(event)] += 1
    found = [(event, times[key, _who(event)]) for key, event in told.items()]
    return found if len(found) <= MOST else [found[0], *found[1 - MOST :]]


def _who(event: Event) -> tuple[str | None, str]:
    """Return by whom and through which program: what somebody did ten times is told as that, not what others did."""
    actor = actor_of(event)
    return (actor.id if actor is not None else None), program(event.process)


def _probably(event: Event) -> str:
    return "probably " if event.replguard is not None and event.replguard.attribution == "inferred" else ""


def _someone(event: Event, context: Context) -> str:
    tier = f" in the {context.tier} tier" if context.tier else ""
    return f"someone ({'writer' if event.file else 'process'} not seen{tier})"


def _process(event: Event) -> str:
    pid = event.process.pid if event.process else None
    return f"{program(event.process)} ({_ids(pid, event)})"


def _ids(pid: int | None, event: Event) -> str:
    uid = event.user.id if event.user else None
    known = [f"pid {pid}" if pid is not None else None, f"uid {uid}" if uid is not None else None]
    return ", ".join(part for part in known if part) or "pid unknown"
