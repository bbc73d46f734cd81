"""What is told of weights that leave the host in a story."""

from typing import Any

from support.story import MIB

from replguard.events.event import Event
from replguard.events.fact import Context

FAR = "203.0.113.9"
LIMIT = 50 * MIB


def about(fact: Event) -> Context:
    """Return what a fact says, which it has to."""
    assert fact.replguard is not None
    return fact.replguard


def told(facts: list[Event]) -> list[tuple[Any, ...]]:
    """Return of each `weights_egress` where to, how much in MiB and of which model."""
    return [
        (f.destination and (f.destination.ip or f.destination.path), about(f).bytes // MIB, about(f).model)
        for f in facts
        if f.action == "weights_egress"
    ]
