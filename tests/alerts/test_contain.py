import shlex
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.making import AGENT, NOBODY, SERVICE, copy_fact, detection, event, process, server_fact

from replguard.alerts.contain import commands
from replguard.alerts.story import tell
from replguard.events.fact import Context
from replguard.events.host import Container
from replguard.events.network import Endpoint


def of(*events):
    return commands(tell(detection(*events)))


def test_the_agent_is_stopped_first():
    """The agent, then the program that acted, each only if the pid is still theirs."""
    stop_agent, stop_cp = of(copy_fact(1))
    assert stop_agent.endswith(" && kill -STOP 4711")
    assert stop_cp.endswith(" && kill -STOP 4720")


def test_of_a_sequence_the_last_act_is_stopped_too():
    """The upload that completes it, before the reader that the alert is mainly about."""
    upload = event("process_exec", 2, 5, process=process(pid=4999, executable="/usr/bin/rclone"))
    assert [c.rpartition(" ")[2] for c in of(copy_fact(1), upload)] == ["4711", "4999", "4720"]


def test_a_server_is_stopped_whole():
    """All processes of an instance are stopped, and the unit is frozen."""
    found = of(server_fact(1, actor=SERVICE, unit="vllm.service/0123"))
    assert [c.rpartition(" ")[2] for c in found] == ["5000", "5001", "vllm.service"]
    assert found[-1] == "systemctl freeze -- vllm.service"


@pytest.mark.parametrize("unit", ["x; reboot", "../x.service", "$(id).service/1", "-x", "session-1.scope\n/1"])
def test_hostile_units_are_left_out(unit):
    """What is not a unit's name never reaches a command."""
    assert not any("freeze" in command for command in of(copy_fact(1, unit=unit)))


def test_containers_are_paused():
    """A container is paused by its runtime."""
    fact = replace(copy_fact(1, actor=NOBODY), container=Container(id="ab" * 32, runtime="podman"))
    assert of(fact) == (f"podman pause {'ab' * 32}",)
    assert of(replace(fact, container=Container(id="$(reboot)"))) == ()


def test_a_destination_is_blocked():
    """Egress is blocked by address; what is no address is not."""
    fact = event(
        "weights_egress",
        1,
        kind="enrichment",
        destination=Endpoint(ip="2001:db8::1", port=22),
        replguard=Context(actor=NOBODY),
    )
    (block,) = of(fact)
    words = shlex.split(block)
    assert words[0] == "nft"
    assert words[1].endswith("add rule inet replguard_block out ip6 daddr 2001:db8::1 drop")
    scoped = replace(fact, destination=Endpoint(ip="fe80::1%x; flush ruleset"))
    assert "flush" not in of(scoped)[0]
    assert of(replace(fact, destination=Endpoint(ip="evil; reboot"))) == ()
    assert of(replace(fact, destination=None)) == ()


@pytest.mark.skipif(not shutil.which("ps"), reason="ps is not installed")
def test_the_check_spares_a_reused_pid():
    """Run for real: a process older than the act is stopped, one that began after it is not."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        fact = copy_fact(1, actor=replace(AGENT, pid=child.pid))
        old = replace(fact, timestamp=datetime(2026, 1, 1, tzinfo=UTC), process=process(child.pid))
        (command,) = of(old)
        assert subprocess.run(["sh", "-c", command], check=False).returncode == 1
        assert state(child.pid) == "S"
        (command,) = of(replace(old, timestamp=datetime.now(UTC)))
        assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
        assert state(child.pid) == "T"
    finally:
        child.kill()
        child.wait()
    assert subprocess.run(["sh", "-c", command], check=False, stderr=subprocess.DEVNULL).returncode != 0


def state(pid):
    """Return the state letter of a process, after it had a moment to change."""
    time.sleep(0.05)
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
