"""The columns and the views by which the log is asked."""

import types
import typing

import msgspec
import pytest

from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.events.evidence import Cited, Taken
from replguard.forensics import views


def inner(kind):
    """Return the struct that a field holds, if any."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)


def leads(kind, place):
    """Tell whether a place is one of a record."""
    for name in place.split("."):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)} if kind else {}
        if name not in fields:
            return False
        kind = inner(fields[name])
    return True


@pytest.mark.parametrize("column", views.FOUND, ids=lambda column: column.name)
def test_a_column_comes_from_a_place_of_a_record(column):
    """Each of its places is one of an event, an alert or a state: a typing error would be an empty column."""
    for place in column.sources.split():
        assert any(leads(kind, place) for kind in (Event, Alert, Taken, Cited)), place


def test_columns_and_views_fit():
    """No name comes twice, each column of a view is there, and each has its sentence."""
    names = [column.name for column in (*views.COLUMNS, views.FAULT)]
    assert len(names) == len(set(names))
    for view in views.VIEWS:
        assert set(view.columns) <= set(names)
        assert len(view.columns) == len(set(view.columns))
    assert all(one.meaning.endswith(".") for one in (*views.COLUMNS, *views.VIEWS))


def test_the_shape_holds_the_type_of_each_place():
    """Places become nested objects, lists stay lists, and a time is taken as text first."""
    shape = msgspec.json.decode(views.structure())
    assert shape["@timestamp"] == "VARCHAR"
    assert shape["process"]["parent"]["pid"] == "BIGINT"
    assert shape["replguard"]["lineage"] == ["VARCHAR"], "made into a text"
    assert shape["replguard"]["instance"]["pids"] == ["BIGINT"]
