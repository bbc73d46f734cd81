"""What provenance adds uses the words of the table of meanings, and only those."""

import msgspec
import pytest

from replguard.events.fact import Actor, Context


def test_nothing_known_is_nothing_written():
    """An empty context is an empty object: unknown is absent, never zero."""
    assert msgspec.json.encode(Context()) == b"{}"


def test_zero_is_not_unknown():
    """Zero bytes written is a finding: the published replication wrote none."""
    made = Context(bytes=0, share=0.0, touched=False)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Context) == made
    assert msgspec.to_builtins(made) == {"bytes": 0, "share": 0.0, "touched": False}


@pytest.mark.parametrize(
    "record",
    [
        {"attribution": "certain"},
        {"tier": "ebpf"},
        {"confidence": "guess"},
        {"actor": {"kind": "person", "id": "a", "principal": "p"}},
        {"actor": {"kind": "agent"}},
    ],
)
def test_a_word_that_means_nothing_is_refused(record):
    """A log that holds another word was not written by us."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(record, Context)


def test_an_actor_without_standing_counts_as_unknown():
    """Unknown has the column of agents: silence is never the default."""
    assert Actor(kind="session", id="a", principal="p").standing == "unknown"
