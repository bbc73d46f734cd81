"""Our field names and everyone else's: Sysmon (Sigma) and ECS. One table; the way into an event by name."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args

import msgspec

from replguard.events.event import Event

Getter = Callable[[Event], Any]

SIGMA: dict[str, tuple[str, ...]] = {
    "Image": ("process.executable", "process.invoked"),
    "OriginalFileName": ("process.name",),
    "CommandLine": ("process.command_line",),
    "CurrentDirectory": ("process.working_directory",),
    "ProcessId": ("process.pid",),
    "ProcessGuid": ("process.entity_id",),
    "ParentImage": ("process.parent.executable",),
    "ParentCommandLine": ("process.parent.command_line",),
    "ParentProcessId": ("process.parent.pid",),
    "ParentProcessGuid": ("process.parent.entity_id",),
    "User": ("user.name",),
    "LogonId": ("user.audit",),
    "TargetFilename": ("file.path",),
    "SourceFilename": ("file.previous",),
    "DestinationIp": ("destination.ip",),
    "DestinationPort": ("destination.port",),
    "DestinationHostname": ("destination.domain",),
    "SourceIp": ("source.ip",),
    "SourcePort": ("source.port",),
    "Initiated": ("network.initiated",),
    "Protocol": ("network.transport",),
}
"""Sysmon field → the fields of ours that may hold it (a match on any is a match, a negation needs all to miss)."""

NOT_MADE = frozenset({"destination.domain"})
"""Fields that exist in the schema but that no sensor fills yet: a rule that needs one is not evaluable."""


def paths(struct: type[msgspec.Struct] = Event, prefix: str = "") -> frozenset[str]:
    """Return every dotted ECS name that an event can hold, such as ``process.parent.executable``."""
    found: set[str] = set()
    for field in msgspec.structs.fields(struct):
        name = prefix + field.encode_name
        inner = [
            t for t in (field.type, *get_args(field.type)) if isinstance(t, type) and issubclass(t, msgspec.Struct)
        ]
        found |= paths(inner[0], name + ".") if inner else {name}
    return frozenset(found)


def resolve(name: str) -> tuple[str, ...]:
    """Return the dotted names that a rule's field stands for; empty when no event can hold it."""
    if name in SIGMA:
        return SIGMA[name]
    return (name,) if name in _PATHS else ()


def getter(path: str) -> Getter:
    """Return a function that reads a dotted name from an event, None where any part is absent.

    Raises KeyError for a name that no event has.
    """
    if path not in _PATHS:
        raise KeyError(path)
    parts = tuple("timestamp" if part == "@timestamp" else part for part in path.split("."))

    if len(parts) == 2:
        section, field = map(attrgetter, parts)
        return lambda event: None if (inside := section(event)) is None else field(inside)
    if len(parts) == 3:
        section, middle, last = map(attrgetter, parts)

        def deep(event: Event) -> Any:
            inside = section(event)
            inner = None if inside is None else middle(inside)
            return None if inner is None else last(inner)

        return deep

    def get(event: Event) -> Any:
        value: Any = event
        for part in parts:
            value = getattr(value, part, None)
            if value is None:
                return None
        return value

    return get


_PATHS = paths()
