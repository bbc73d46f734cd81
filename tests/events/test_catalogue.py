"""The catalogue names every kind once, with sections that an event has and categories that rules can ask for."""

import re

import msgspec
import pytest

from replguard.events.catalogue import KINDS, by_category
from replguard.events.event import Event

OWN = (
    "process_signal file_access file_rename network_volume host_shutdown sensor_health weights_access weights_copy "
    "weights_egress server_live gpu_memory network_listen"
)
FACTS = (
    "agent_seen weights_access weights_copy weights_arrival weights_egress server_live gpu_memory network_listen "
    "serving_signal authority_change watcher_tampering"
)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_complete(kind):
    """Its name is a word, its parts exist on the event, and its sentence is one."""
    sections = {field.name for field in msgspec.structs.fields(Event)}
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", kind.action)
    assert set(kind.sections) <= sections
    assert kind.area in {"process", "file", "network", "gpu", "host", "fact"}
    assert kind.doc[0].isupper()
    assert kind.doc.endswith(".")
    assert kind.fact == (kind.area == "fact")


def test_every_fact_is_there():
    """The facts of the table of meanings, no more and no less."""
    assert {action for action, kind in KINDS.items() if kind.fact} == set(FACTS.split())


@pytest.mark.parametrize("category", OWN.split())
def test_own_categories_stand_for_something(category):
    """Each of our logsource categories is made by at least one kind."""
    assert by_category(category)


def test_sigmas_categories_are_those_of_its_linux_rules():
    """The three categories of SigmaHQ's Linux rules, so that they work unmodified."""
    assert by_category("process_creation") == {"process_exec"}
    assert by_category("network_connection") == {"network_connection"}
    assert {"file_create", "file_close_write"} <= by_category("file_event")


def test_a_category_that_nothing_makes_is_empty():
    """A rule for it is reported as not evaluable."""
    assert by_category("registry_set") == frozenset()
