"""What each kind of event says in words, from its verb on."""

import posixpath
from collections.abc import Callable
from typing import Any

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.network import Endpoint
from replguard.events.process import Process
from replguard.events.text import show

_TECHNIQUES = {
    "hardlink": "hard link",
    "symlink": "symbolic link",
    "bind": "bind mount",
    "copy": None,
    "write": None,
    "transform": None,
    "overwrite": "over another protected file",
}
_VERBS = {"rename": ("moved", "moved"), "transform": ("made", "is making")}
"""What was done, and what is still being done."""
_CHANGES = {"create": "created", "delete": "deleted", "link": "linked", "rename": "replaced", "write": "wrote"}
_STEPS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_NO_CONTEXT = Context()


def clause(event: Event) -> str:
    """Return what happened, beginning with the verb. What a process chose is escaped and cut in its middle."""
    tell = _CLAUSES.get(event.action)
    return tell(event, event.replguard or _NO_CONTEXT) if tell else f"caused {event.action}"


def program(process: Process | None) -> str:
    """Return the name of a program: of its image rather than the one it gave itself."""
    if process is None:
        return "an unknown program"
    return show(posixpath.basename(process.executable or "") or process.name or "an unknown program", 60)


def size(number: int | None) -> str | None:
    """Return bytes in binary units, None for unknown."""
    if number is None:
        return None
    for unit, step in _STEPS:
        if number >= step:
            return f"{number / step:.1f} {unit}"
    return f"{number} bytes"


def address(end: Endpoint | None) -> str:
    """Return one end of a connection as people write it."""
    if end is None:
        return "an unknown address"
    if end.path is not None:
        return show(end.path)
    host = show(end.domain or end.ip or "an unknown address")
    host = f"[{host}]" if ":" in host and end.port is not None else host
    return host if end.port is None else f"{host}:{end.port}"


def _model(context: Context) -> str:
    return f"model {show(context.model, 60)}" if context.model else "protected weights"


def _path(event: Event) -> str:
    return show(event.file.path) if event.file else "an unknown file"


def _in_brackets(*parts: str | None) -> str:
    known = [part for part in parts if part]
    return f" ({', '.join(known)})" if known else ""


def _word(text: str | None) -> str | None:
    return show(text, 30) if text else None


def _copy(event: Event, context: Context) -> str:
    technique = context.technique or ""
    started, moved, derived = context.status == "started", technique == "rename", context.confidence == "derived"
    verb = _VERBS.get(technique, ("copied", "is copying"))[started]
    shown = None if moved else _TECHNIQUES.get(technique, _word(technique))
    size_now = size(event.file.size if event.file and event.file.size is not None else context.bytes)
    part = "of its size" if derived else "of it"
    share = f"{context.share:.0%} {part}" if context.share is not None and context.share < 0.995 else None
    source = show(context.origin.path) if context.origin else "an unknown file"
    if moved and event.file and event.file.previous:
        source = show(event.file.previous)  # what was moved may be a copy, and its origin is where it was
    more = _in_brackets(f"{size_now} so far" if started and size_now else size_now, shown, None if started else share)
    return f"{verb} {'something derived from ' if derived else ''}{_model(context)}: {source} → {_path(event)}{more}"


def _arrival(event: Event, context: Context) -> str:
    source = f" from {show(context.source)}" if context.source else ""
    return f"brought in content of {_model(context)}{source}: {_path(event)}{_in_brackets(size(context.bytes))}"


def _access(event: Event, context: Context) -> str:
    verbs = {"map": "mapped", "link": "linked", "memory": "read from memory", "device": "read past the filesystem"}
    opened = "opened" if context.precision == "open" else "read"
    so_far = f"{size(context.bytes)} so far" if context.bytes else None
    return f"{verbs.get(context.mode or '', opened)} {_model(context)}: {_path(event)}{_in_brackets(so_far)}"


def _egress(event: Event, context: Context) -> str:
    much, end, count = size(context.bytes) or "data", event.destination, context.destinations
    where = address(end) if end and (end.ip or end.domain or end.path) else f"{count} hosts" if count else "many hosts"
    fetched = event.network is not None and event.network.initiated is False and event.source is not None
    port = event.source.port if event.source is not None else None
    verb = f"let {where} fetch {much}" if fetched else f"sent {much} to {where}"
    more = _in_brackets(
        f"from its port {port}" if fetched and port else None,
        f"by {', '.join(show(each, 20) for each in context.protocols[:4])}" if context.protocols else None,
        f"since {context.since:%Y-%m-%d %H:%M} UTC" if context.since else None,
    )
    return f"{verb} after using {_model(context)}{more}"


def _server(_: Event, context: Context) -> str:
    instance = context.instance
    status = context.status or ""
    verb = (
        "stopped serving"
        if status == "ended"
        else "changed its server of"
        if status == "changed"
        else "started a server of"
    )
    listen = ", ".join(show(each, 60) for each in instance.listen[:3]) if instance else ""
    memory = size(instance.gpu_bytes) if instance else None
    holding = ", ".join(
        part for part in (listen and f"listening on {listen}", memory and f"holding {memory} of GPU memory") if part
    )
    number = instance.count if instance else None
    more = _in_brackets(
        f"instance {number} of it" if number is not None and number > 1 else None,
        f"generation {context.generation}" if context.generation is not None else None,
        _leave(context),
    )
    return f"{verb} {_model(context)}{', ' + holding if holding else ''}{more}"


def _leave(context: Context) -> str:
    """Return what allows a server: nothing, an entry, or one that allows fewer than there are."""
    instance, allowed = context.instance, context.authorised
    if context.status == "over_limit":
        most = instance.max_instances if instance else None
        return "more than are allowed" if most is None else f"of at most {most} that may be"
    return f"allowed by {show(allowed.entry, 60)}" if allowed else "not authorised"


def _gpu(event: Event, context: Context) -> str:
    memory = size(event.gpu.memory_bytes) if event.gpu else None
    used = f" after using {_model(context)}" if context.touched else ""
    return f"holds {memory or 'an unknown amount'} of GPU memory{used}"


def _listen(event: Event, context: Context) -> str:
    return f"listens on {address(event.server)}{_in_brackets('reachable from outside' if context.exposed else None)}"


def _target(event: Event, unknown: str) -> str:
    return f"{program(event.target)} (pid {event.target.pid})" if event.target else unknown


def _sent(event: Event, context: Context) -> str:
    return f"sent {show(context.status or 'a signal', 20)} to {_target(event, 'a process')}"


def _peeked(event: Event, context: Context) -> str:
    much = f"{size(context.bytes)} of " if context.bytes else ""
    verb = "began to trace" if context.technique == "ptrace" else f"read {much}the memory of"
    return f"{verb} {_target(event, 'a process')}"


def _signal(event: Event, context: Context) -> str:
    more = _in_brackets(_word(context.status))
    return f"told {_target(event, 'a server')}, which serves {_model(context)}, to end{more}"


def _authority(_: Event, context: Context) -> str:
    if context.status == "refused":
        return f"was refused what it asked of the daemon: {show(context.difference or 'it is not known what')}"
    return f"changed what is allowed: {show(context.difference) if context.difference else 'the difference is unknown'}"


def _tampering(event: Event, context: Context) -> str:
    part = show(context.source or "a part", 20)
    if context.technique == "signal":
        return f"sent {show(context.status or 'a signal', 20)} to replguard's {part}"
    if context.mode == "memory":
        return f"{'began to trace' if context.technique == 'ptrace' else 'opened the memory of'} replguard's {part}"
    verb = _CHANGES.get(context.technique or "", "changed")
    return f"{verb} {_path(event)}, which belongs to replguard ({part})"


def _agent(_: Event, context: Context) -> str:
    more = _in_brackets(f"{context.turns} turns" if context.turns else None, _word(context.status))
    return f"drives a language model at {show(context.endpoint or 'an unknown endpoint', 60)}{more}"


def _exec(event: Event, _: Context) -> str:
    process = event.process or Process()
    return f"ran `{show(process.command_line or process.executable or process.name or '?')}`"


def _rename(event: Event, _: Context) -> str:
    before = show(event.file.previous) if event.file and event.file.previous else "a file"
    return f"renamed {before} to {_path(event)}"


def _health(event: Event, _: Context) -> str:
    health = event.health
    if health is None:
        return "changed its state"
    state = "has failed" if health.state == "failed" else f"is {health.state}"
    return state + (f": {show(health.reason)}" if health.reason else "")


_CLAUSES: dict[str, Callable[[Event, Context], Any]] = {
    "weights_copy": _copy,
    "weights_arrival": _arrival,
    "weights_access": _access,
    "weights_egress": _egress,
    "server_live": _server,
    "gpu_memory": _gpu,
    "gpu_usage": _gpu,
    "network_listen": _listen,
    "socket_listen": _listen,
    "serving_signal": _signal,
    "process_signal": _sent,
    "process_access": _peeked,
    "authority_change": _authority,
    "watcher_tampering": _tampering,
    "agent_seen": _agent,
    "process_exec": _exec,
    "process_fork": lambda *_: "started a child process",
    "socket_used": lambda event, _: f"uses {address(event.server)} of {program(event.target)}",
    "process_joined": lambda event, _: f"works together with {program(event.target)}",
    "socket_close": lambda event, _: f"stopped listening on {address(event.server)}",
    "process_children": lambda *_: "ended child processes that were too short to be seen",
    "process_exit": lambda *_: "ended",
    "file_create": lambda event, _: f"created {_path(event)}",
    "file_close_write": lambda event, _: f"wrote {_path(event)}",
    "file_grow": lambda event, _: f"is writing {_path(event)}",
    "file_link": lambda event, _: f"made the link {_path(event)}",
    "file_rename": _rename,
    "file_delete": lambda event, _: f"deleted {_path(event)}",
    "file_open": lambda event, _: f"opened {_path(event)}",
    "file_read": lambda event, context: f"read {size(context.bytes) or 'some'} of {_path(event)}",
    "file_map": lambda event, _: f"mapped {_path(event)}",
    "network_connection": lambda event, _: f"connected to {address(event.destination)}",
    "network_volume": lambda event, _: f"sent data to {address(event.destination)}",
    "host_shutdown": lambda *_: "is shutting the host down",
    "host_mount": lambda event, _: f"mounted {_path(event)}",
    "sensor_health": _health,
    "control_request": lambda *_: "asked something of replguard over its control socket",
}
