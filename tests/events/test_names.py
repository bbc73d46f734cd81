"""Every name that a rule may use leads into an event, and one that no event has leads nowhere."""

import pytest

from replguard.events import names

SIGMAHQ = (
    "CommandLine CurrentDirectory DestinationHostname DestinationIp DestinationPort Image Initiated LogonId "
    "ParentCommandLine ParentImage TargetFilename User"
)
"""The fields that SigmaHQ's Linux rules use in process_creation, file_event and network_connection."""


@pytest.mark.parametrize("field", SIGMAHQ.split())
def test_sigmahqs_fields_are_known(field):
    """Each stands for fields of ours; one that no sensor fills is listed, so that its rules are reported."""
    found = names.resolve(field)
    assert found
    assert set(found) <= names.paths()


@pytest.mark.parametrize("field", names.SIGMA)
def test_every_sysmon_name_leads_to_fields_that_exist(field):
    """The table has no dead ends."""
    assert set(names.resolve(field)) <= names.paths()


def test_what_is_not_made_is_part_of_the_schema():
    """The list of what no sensor fills names real fields."""
    assert names.paths() >= names.NOT_MADE


def test_an_ecs_name_stands_for_itself():
    """Dotted names need no table."""
    assert names.resolve("process.parent.executable") == ("process.parent.executable",)
    assert names.resolve("replguard.actor.standing") == ("replguard.actor.standing",)


@pytest.mark.parametrize("name", ["Hashes", "process", "process.nothing", "", "commandline", "process.parent."])
def test_a_name_that_no_event_has(name):
    """It resolves to nothing, and cannot be read."""
    assert names.resolve(name) == ()
    with pytest.raises(KeyError):
        names.getter(name)


@pytest.mark.parametrize("path", sorted(names.paths()))
def test_every_name_reads_its_value(path, full_event):
    """A getter finds what is there."""
    assert names.getter(path)(full_event) is not None


def test_an_absent_section_reads_as_none(full_event):
    """No name raises on an event that lacks the part."""
    bare = type(full_event)(timestamp=full_event.timestamp, event=full_event.event)
    read = {path: names.getter(path)(bare) for path in names.paths()}
    assert read["event.action"] == bare.action
    assert all(value is None for path, value in read.items() if not path.startswith(("event.", "@timestamp")))
