"""What `sensors.memory_access: true` adds: who reads the memory of a serving process by a call."""

import pytest
from support import ground, ways

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
WAY = ways.ALL["peek"]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    with ground.running(tmp_path_factory.mktemp("ground"), {"sensors": {"memory_access": True}}, [WAY]) as laid:
        yield laid


def test_reading_a_servers_memory_by_call_is_told_where_it_is_watched(one):
    """`process_vm_readv` of a process that serves weights is a use of them, by who called it."""
    source, target = one.need(WAY)
    with one.served(WAY) as server:
        pid = one.run(one.programs["peek"], server, source, target, "call")

    def fits(fact):
        return fact["replguard"]["mode"] == "memory" and one.acted(fact, pid)

    assert one.fact("weights_access", fits, source)["replguard"]["model"].endswith(WAY.name)
