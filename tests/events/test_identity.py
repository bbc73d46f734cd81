"""Ids derive from what they name, so that live and replay, both tiers and a second host agree."""

from hypothesis import given
from hypothesis import strategies as st

from replguard.events.identity import entity_id, entity_ids, short_hash


def test_an_id_is_the_same_everywhere():
    """A known answer: a change of it would break every id in every log written so far."""
    assert short_hash("a", 1) == "839e11a421d370be"
    assert entity_id("m", "b", 1, 2) == short_hash("m", "b", 1, 2)
    assert entity_ids("m", "b\udcff")(1, 2) == entity_id("m", "b\udcff", 1, 2)


def test_pid_reuse_gives_a_new_id():
    """The same pid with another start time, boot or machine is another process."""
    ids = {entity_id("m", "b", 1, 2), entity_id("m", "b", 1, 3), entity_id("m", "c", 1, 2), entity_id("n", "b", 1, 2)}
    assert len(ids) == 4


def test_parts_do_not_run_together():
    """Where one part ends and the next begins is part of the id."""
    assert short_hash("ab", "c") != short_hash("a", "bc")
    assert short_hash("a") != short_hash("a", "")


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_has_an_id(text):
    """Surrogates too: a path may hold any byte. The id is that of the text as the log can hold it."""
    written = text.encode("utf-8", "backslashreplace").decode()
    assert short_hash(text) == short_hash(written)
    assert len(short_hash(text)) == 16
