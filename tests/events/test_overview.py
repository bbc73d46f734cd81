"""What `status` and `top` are told goes through the file and comes back as it was."""

import msgspec
from support.standings import status

from replguard.events.overview import Overview


def test_it_is_read_as_it_was_written() -> None:
    """Also from a daemon of another version that says more."""
    told = status().overview
    text = msgspec.json.encode(told)
    assert msgspec.json.decode(text, type=Overview) == told
    more = msgspec.json.encode(msgspec.json.decode(text) | {"news": 1})
    assert msgspec.json.decode(more, type=Overview) == told
