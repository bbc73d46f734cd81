"""Our own trouble is told in a fixed set of words."""

from typing import get_args

import msgspec
import pytest

from replguard.events.health import Health, State


@pytest.mark.parametrize("state", get_args(State))
def test_every_state_can_be_told(state):
    """A component and its state are all that is needed."""
    made = Health(component="file", state=state)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Health) == made


def test_another_word_is_refused():
    """A state that no rule knows would be missed by all of them."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"component": "file", "state": "poorly"}, Health)
