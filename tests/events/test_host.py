"""Where a process runs is told as far as it is known."""

import msgspec
import pytest

from replguard.events.host import Container, Host, Orchestrator


@pytest.mark.parametrize("kind", [Host, Container, Orchestrator])
def test_nothing_known_is_nothing_written(kind):
    """No section is made up."""
    assert msgspec.json.encode(kind()) == b"{}"
    assert msgspec.json.decode(b"{}", type=kind) == kind()
