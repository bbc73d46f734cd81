"""The manifest entries that would allow exactly these principals to do exactly this: to paste if it was meant."""

import re
from dataclasses import dataclass, field
from typing import Any

from replguard import yamlfile
from replguard.alerts.story import Story, actor_of, is_fact, nobody
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.network import ports
from replguard.events.text import printable
from replguard.kernel.containers import parse

_MAY = {
    "weights_access": ("access",),
    "weights_copy": ("access", "copy"),
    "weights_arrival": ("copy",),
    "weights_egress": ("access", "egress"),
    "serving_signal": ("signal",),
}
_ORDER = ("access", "copy", "egress", "serve", "signal")
WARNING = "# Only if this was meant: the entry silences replguard for this principal from now on."
AGENT_WARNING = "# This lets an AI agent do it, unattended. Only if that was meant."
MOST = 8
"""Principals of one alert that are named; whoever needs more has no case but a habit."""
_NUMBERED = re.compile(r"(?<=-)\d{5}(?=-of-\d{5}(?:\.|$))|(?<=^consolidated\.)\d{2}(?=\.pth$)")
"""What tells a shard from the others of its model, in its file's name."""


@dataclass(slots=True)
class _Asked:
    """What one principal did, of all that can be allowed."""

    who: dict[str, Any]
    may: set[str] = field(default_factory=set)
    weights: dict[str, None] = field(default_factory=dict)
    served: dict[str, None] = field(default_factory=dict)
    ports: set[int] = field(default_factory=set)
    count: int = 0


def hint(story: Story) -> str | None:
    """Return the entries as YAML under a warning, None where nothing identifies the principal or no entry could help.

    Of a model of many shards the shard's name stands for all of them, and for nothing else in its folder: an alert is
    about a model, and its other shards are the same case.
    """
    asked: dict[str, _Asked] = {}
    for event in story.events:
        about = event.replguard or Context()
        if not is_fact(event) or (event.action not in _MAY and event.action != "server_live"):
            continue
        who = {} if nobody(actor_of(event)) else _who(event, about)
        if not who:
            return None
        _add(asked.setdefault(repr(who), _Asked(who)), event, about)
    if not asked or len(asked) > MOST:
        return None
    found = {"deployments": [made for one in asked.values() for made in _deployments(one)]}
    found |= {"jobs": [made for one in asked.values() for made in _jobs(one)]}
    agent = any("agent" in one.who for one in asked.values())
    text = yamlfile.written({key: made for key, made in found.items() if made})
    return f"{AGENT_WARNING if agent else WARNING}\n{text}"


def _add(asked: _Asked, event: Event, about: Context) -> None:
    instance = about.instance
    if event.action == "server_live":
        asked.served |= dict.fromkeys(_paths(event, about))
        asked.ports |= ports(instance.listen) if instance is not None else set()
        asked.count = max(asked.count, 1, instance.count or 1 if instance else 1)
        return
    asked.may.update(_MAY[event.action])
    asked.weights |= dict.fromkeys(_paths(event, about))


def _deployments(asked: _Asked) -> list[dict[str, Any]]:
    if not asked.count:
        return []
    ports = {"ports": sorted(asked.ports)} if asked.ports else {}
    made = {"name": _name(asked.who), **_listed(asked.served), **asked.who, **ports}
    return [made | {"max_instances": asked.count}]


def _jobs(asked: _Asked) -> list[dict[str, Any]]:
    """Return the job that lets a principal do what it did; to access what it serves its deployment lets it."""
    may = sorted(asked.may, key=_ORDER.index)
    if not may or (may == ["access"] and asked.weights.keys() <= asked.served.keys()):
        return []
    return [{"name": _name(asked.who), **_listed(asked.weights), **asked.who, "may": may}]


def _listed(paths: dict[str, None]) -> dict[str, list[str]]:
    return {"weights": list(paths)} if paths else {}


def _who(event: Event, about: Context) -> dict[str, Any]:
    """Return the keys that name who acted, the most stable ones that are known; of an agent the program besides.

    An entry for an agent is for that program of it, not for whatever else it runs in the same unit or container.
    """
    place, program = _place(event, about), _program(event)
    replica = (about.generation or 1) > 1 and event.action == "server_live"
    actor = about.actor
    if actor is not None and (actor.agent or actor.standing == "agent" or replica):
        return place | program | {"agent": True} if program else {}
    return place or program


def _place(event: Event, about: Context) -> dict[str, Any]:
    pods, actor, process = event.orchestrator, about.actor, event.process
    if pods is not None and pods.namespace and pods.workload:
        return {"namespace": exact(pods.namespace), "workload": exact(pods.workload)}
    if pods is not None and pods.type == "slurm" and pods.resource is not None and pods.resource.name:
        account = {"account": pods.account} if pods.account else {}
        return {"scheduler": {**account, "job": pods.resource.name}}
    inside = None if process is not None and parse(process.cgroup or "").users else event.container
    if inside is not None and (inside.image is not None or inside.id):
        # By a name that outlives it, where the engine's own word says what it runs; else by its id.
        image = {"image": exact(inside.image.name)} if inside.image is not None and inside.image.name else {}
        return {"container": exact((inside.name if image else None) or inside.id or "")} | image
    unit = (about.unit or "").partition("/")[0]
    if not unit.endswith(".service"):
        unit = actor.principal.partition(":")[2] if actor is not None and actor.kind in ("service", "timer") else ""
    return {"unit": exact(unit)} if unit else {}


def _program(event: Event) -> dict[str, Any]:
    uid = event.user.id if event.user else None
    executable = event.process.executable if event.process else None
    if uid is None or executable is None:
        return {}
    return {"user": uid, "executable": exact(executable)}


def _paths(event: Event, about: Context) -> list[str]:
    """Return the files that an act was about: originals where they are known, else what an instance holds."""
    if about.origin is not None:
        paths: tuple[str, ...] = (about.origin.path,)
    elif about.instance is not None and about.instance.weights:
        paths = about.instance.weights
    else:
        paths = (event.file.path,) if event.file is not None and event.file.path else ()
    return [shards(path) for path in paths]


def shards(path: str) -> str:
    """Return a glob for a file and, where its name has a number of many, for the model's other shards."""
    folder, slash, name = path.rpartition("/")
    number = _NUMBERED.search(name)
    if number is None:
        return exact(path)
    before, after = name[: number.start()], name[number.end() :]
    return exact(folder + slash + before) + "[0-9]" * len(number[0]) + exact(after)


def _name(who: dict[str, Any]) -> str:
    first = str(who.get("unit") or who.get("workload") or who.get("container") or who.get("executable"))
    word = re.sub(r"[^A-Za-z0-9]+", "-", first.rpartition("/")[2]).strip("-").lower()
    return f"allow-{word[:40] or 'this'}"


def exact(text: str) -> str:
    """Return a glob that means only ``text``: a program may be called ``/tmp/*``."""
    return re.sub(r"([*?[])", r"[\1]", printable(text))
