from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rulebook import event

from replguard.rules.fields import (
    KEYWORDS,
    MAX_TEXT,
    Layout,
    event_field,
    every_text,
    fold,
    mapping_field,
    text,
    together,
)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        ("", ""),
        (0, "0"),
        (True, "true"),
        (False, "false"),
        (2.0, "2"),
        (0.25, "0.25"),
        ((), None),
        (("a", 1), ("a", "1")),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00+00:00"),  # noqa: DTZ001 - what a foreign event may hold
    ],
)
def test_values_are_compared_by_their_text(value, told):
    """Numbers, truth values and times have one text each; nothing stays nothing, and an empty list is nothing."""
    assert text(value) == told


@given(st.text(), st.text())
def test_a_part_of_a_text_folds_to_a_part(left, right):
    """Folding is per character: `contains` may be asked of folded texts."""
    assert fold(left + right) == fold(left) + fold(right)


def test_sigma_ends_a_word_like_any_other_letter():
    """Greek has two small sigmas; a search for one finds the other."""
    assert fold("ΟΔΟΣ") in fold("ΟΔΟΣΑ")


def test_image_is_the_resolved_and_the_invoked_path():
    """Both paths are read when they differ, one when they agree, none when none is known."""
    read = event_field("Image")
    assert read(event(process__executable="/usr/bin/dash", process__invoked="/bin/sh")) == ("/usr/bin/dash", "/bin/sh")
    assert read(event(process__executable="/bin/a", process__invoked="/bin/a")) == "/bin/a"
    assert read(event(process__pid=1)) is None
    assert read(event()) is None


def test_a_layout_reads_each_field_once():
    """Two rules that ask for one field share its place; an unknown field is a KeyError."""
    layout = Layout()
    assert layout.slot("CommandLine") == layout.slot("CommandLine") == 0
    assert layout.slot("process.pid") == 1
    assert layout.rows(event(process__command_line="A", process__pid=7)) == (["A", "7"], ["a", "7"])
    with pytest.raises(KeyError):
        layout.slot("Nonsense")


def test_keywords_see_every_text_of_an_event():
    """A value without a field is looked for everywhere, in lists and numbers too."""
    layout = Layout()
    place = layout.slot(KEYWORDS)
    plain, _ = layout.rows(event(process__args=["one", "two"], process__pid=77, user__name="root"))
    assert {"one", "two", "77", "root"} <= set(plain[place])


def test_a_mapping_that_nests_without_end_is_searched_to_a_depth():
    """An event that is not ours may hold itself; the search ends all the same."""
    endless: dict = {"a": "found"}
    endless["again"] = endless
    assert "found" in every_text(endless)


def test_plain_mappings_are_read_by_their_keys():
    """Events that are not ours, such as Windows', are read by the field's own name."""
    assert mapping_field("Image")({"Image": "x"}) == "x"
    assert mapping_field("Image")({}) is None


def test_the_middle_of_a_giant_text_is_left_out():
    """Both ends are searched; the time for an event does not grow with what a program was given."""
    layout = Layout(mapping_field)
    place, many = layout.slot("a"), layout.slot("b")
    giant = "head" + "x" * 10 * MAX_TEXT + "tail"
    plain, low = layout.rows({"a": giant, "b": ["short", giant]})
    assert len(plain[place]) <= MAX_TEXT + 1
    assert plain[place].startswith("head")
    assert low[place].endswith("tail")
    assert plain[many] == ("short", plain[place])


def test_several_fields_are_read_as_one_value():
    """Each attribute once, None where a section is missing; what differs in any of them differs."""
    read = together(["Image", "ParentImage", "@timestamp", "Image", "event.action", KEYWORDS])
    full = event(process__executable="/a", process__invoked="/b", process__parent={"executable": "/p"})
    assert read(full) == ("/a", "/b", "/p", full.timestamp, "process_exec")
    assert read(event(process__pid=1)) == (None, None, None, full.timestamp, "process_exec")
    assert read(event()) == (None, None, None, full.timestamp, "process_exec")
    assert together([])(full) == ()
