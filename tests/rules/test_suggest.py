import pytest
from sigma.modifiers import modifier_mapping

from replguard.events import names
from replguard.events.catalogue import KINDS
from replguard.rules import suggest


def test_a_field_like_no_other_gets_no_hint():
    """A wrong hint is worse than none."""
    assert suggest.field("qqqq") == "no event has the field 'qqqq'"
    assert suggest.field("commandline") == "no event has the field 'commandline', did you mean 'CommandLine'?"


def test_a_choice_names_the_nearest_or_all():
    """A short list is told whole where nothing in it is near."""
    assert suggest.choice("hihg", ("low", "high")) == ", did you mean 'high'?"
    assert suggest.choice("zzz", ("low", "high")) == "; it is one of low, high"


@pytest.mark.parametrize(
    "name", ["Imgae", "Commandline", "TargetFileName", "proces.command_line", "DestinationPrt", "Usre"]
)
def test_a_slip_is_one(name):
    """Letters that changed places, a letter too few, another case."""
    assert suggest.is_slip(name)


@pytest.mark.parametrize("name", sorted({*suggest.FOREIGN_FIELDS, "", "a0", "exe", "comm", "proctitle", "SYSCALL"}))
def test_names_of_other_sources_are_no_slips(name):
    """Sysmon has many that are nearly ours."""
    assert not suggest.is_slip(name)


@pytest.mark.parametrize(
    ("category", "product", "ours"),
    [
        ("process_creation", "linux", True),
        ("process_creation", None, True),
        ("proces_creation", "linxu", True),
        ("process_termination", "linux", False),
        ("process_creation", "windows", False),
        (None, "linux", False),
        (7, "linux", False),
        (["process_creation"], "linux", False),
        ("process_creation", ["linux"], False),
    ],
)
def test_a_log_source_is_ours(category, product, ours):
    """Also where it is misspelt, and never where Sigma knows another of that name."""
    assert suggest.is_ours(category, product) is ours


def test_the_words_are_those_that_loading_knows():
    """And no log source or field is ours and foreign."""
    assert set(suggest.MODIFIERS) == set(modifier_mapping)
    assert set(suggest.CATEGORIES) == {kind.category for kind in KINDS.values()} - {None}
    assert not suggest.FOREIGN_CATEGORIES & set(suggest.CATEGORIES)
    assert not suggest.FOREIGN_FIELDS & set(names.SIGMA)


def test_fields_that_have_one_of_few_words():
    """Those of the structs; any other may hold anything, and what no event has is none of them."""
    assert suggest.words("replguard.actor.standing") == ("allowed", "service", "session", "agent", "unknown")
    assert suggest.words("replguard.mode") == ("read", "map", "link", "memory", "device")
    assert [suggest.words(path) for path in ("process.command_line", "process.nothing", "Image", "")] == [None] * 4
