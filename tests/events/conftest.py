"""An event and an alert with every field of every section filled, made from their types."""

from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest

from replguard.events.alert import Alert
from replguard.events.event import Event

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
PLAIN = {str: "text", int: 7, float: 0.5, bool: True, datetime: WHEN}


def filled(kind: Any) -> Any:
    """Return a value of a type, never a default and never empty."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field.name: filled(field.type) for field in msgspec.structs.fields(kind)})
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        return filled(arguments[0])
    if get_origin(kind) is Literal:
        return arguments[-1]
    if get_origin(kind) in {Union, UnionType}:
        return filled(next(argument for argument in arguments if argument is not NoneType))
    if get_origin(kind) is tuple:
        return (filled(arguments[0]), filled(arguments[0]))
    return PLAIN[kind]


@pytest.fixture
def full_event() -> Event:
    return filled(Event)


@pytest.fixture
def full_alert() -> Alert:
    return filled(Alert)
