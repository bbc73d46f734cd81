import pytest

from replguard.drill import run
from replguard.drill.scenario import SCENARIOS


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_daemon_names_the_agent(name):
    """Each published replication raises a critical alert that names the agent's process and the model."""
    said = []
    result = run.play(SCENARIOS[name], said.append)
    assert result.detected, f"{result.reason}\n" + "\n".join(said)
    assert result.level == "critical"
    assert result.actor_pid == result.expected_pid
    if SCENARIOS[name].generation is not None:
        assert result.generation >= SCENARIOS[name].generation
