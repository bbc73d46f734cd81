"""The manifest entry that would allow exactly this principal to do exactly this: to paste if it was meant."""

import re
from typing import Any

import yaml

from replguard.alerts.story import Story, actor_of, nobody
from replguard.events.text import printable

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


def hint(story: Story) -> str | None:
    """Return the entry as YAML under a warning, None where nothing identifies the principal or no entry could help."""
    if nobody(actor_of(story.main)):
        return None
    who = _who(story)
    acts = {event.action for event in story.events}
    may = sorted({item for action in acts for item in _MAY.get(action, ())}, key=_ORDER.index)
    if not who or not (may or "server_live" in acts):
        return None
    agent = story.actor is not None and story.actor.agent
    if agent:
        who["agent"] = True
    found: dict[str, Any] = {}
    if "server_live" in acts:
        found["deployments"] = [{"name": _name(who), **_weights(story), **who, **_limits(story)}]
    if may and (may != ["access"] or not found):
        found["jobs"] = [{"name": _name(who), **_weights(story), **who, "may": may}]
    text = yaml.safe_dump(found, sort_keys=False, default_flow_style=None, width=1 << 20)
    return f"{AGENT_WARNING if agent else WARNING}\n{text}"


def _who(story: Story) -> dict[str, Any]:
    """Return the keys that name the principal, the most stable ones that are known."""
    event, actor = story.main, story.actor
    pods = event.orchestrator
    if pods is not None and pods.namespace and pods.workload:
        return {"namespace": _exact(pods.namespace), "workload": _exact(pods.workload)}
    if event.container is not None and event.container.id:
        return {"container": _exact(event.container.id)}
    unit = (event.replguard.unit if event.replguard else None) or ""
    unit = unit.partition("/")[0] if unit.partition("/")[0].endswith(".service") else ""
    if not unit and actor is not None and actor.kind == "service":
        unit = actor.principal.partition(":")[2]
    if unit:
        return {"unit": _exact(unit)}
    uid = event.user.id if event.user else None
    executable = event.process.executable if event.process else None
    if uid is None or executable is None:
        return {}
    return {"user": uid, "executable": _exact(executable)}


def _limits(story: Story) -> dict[str, Any]:
    instance = story.context(lambda context: context.instance)
    if instance is None:
        return {}
    ports = sorted({int(port) for each in instance.listen if (port := each.rpartition(":")[2]).isdigit()})
    return {**({"ports": ports} if ports else {}), "max_instances": max(1, instance.count or 1)}


def _weights(story: Story) -> dict[str, list[str]]:
    """Return the files that the acts were about: originals where they are known, else what an instance holds."""
    origin = story.context(lambda context: context.origin)
    instance = story.context(lambda context: context.instance)
    if origin is not None:
        paths = [origin.path]
    elif instance is not None and instance.weights:
        paths = list(instance.weights)
    else:
        paths = [path for path in [story.find(lambda event: event.file.path if event.file else None)] if path]
    return {"weights": [printable(path) for path in paths]} if paths else {}


def _name(who: dict[str, Any]) -> str:
    first = str(who.get("unit") or who.get("workload") or who.get("container") or who.get("executable"))
    word = re.sub(r"[^A-Za-z0-9]+", "-", first.rpartition("/")[2]).strip("-").lower()
    return f"allow-{word[:40] or 'this'}"


def _exact(text: str) -> str:
    """Return a glob that means only ``text``: a program may be called ``/tmp/*``."""
    return re.sub(r"([*?[])", r"[\1]", printable(text))
