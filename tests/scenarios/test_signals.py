"""A serving process that somebody else ends: who it was is told, before the process is gone from the table."""

import subprocess
import sys
import time

import pytest
from support import daemon

from replguard.drill import dummy, stage
from replguard.errors import Unavailable
from replguard.kernel import libbpf

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def host():
    """A host that serves a model."""
    try:
        libbpf.check()
        libbpf.find()
    except Unavailable as error:
        pytest.skip(str(error))
    (port,) = stage.free_ports(1)

    def settings(on):
        model = on.folder / "models" / "chat"
        dummy.write_model(model, tensors=8)
        words = [sys.executable, "-m", "replguard.drill.server", "--weights", model, "--port", port]
        on.server = on.start([*map(str, words)], folder=on.folder, output=on.folder / "server.log")
        deadline = time.monotonic() + 30
        while not stage.listening(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return {"weights": {"paths": [str(model)]}, "watch": {"paths": [str(on.folder)]}}

    with daemon.running(settings) as one:
        yield one


def test_a_signal_to_a_server_names_its_sender(host):
    """The program that sent it lived a millisecond and is known with its arguments and its parent."""
    server = host.stage.server
    host.fact("server_live", lambda fact: server.pid in fact["replguard"]["instance"]["pids"], 15)
    killer = subprocess.Popen(["sh", "-c", f"/bin/kill -TERM {server.pid}; true"])
    killer.wait()
    fact = host.fact("serving_signal", lambda fact: fact["target"]["pid"] == server.pid, 10)
    assert fact["process"]["args"] == ["/bin/kill", "-TERM", str(server.pid)]
    assert fact["process"]["parent"]["pid"] == killer.pid
    assert (fact["replguard"]["status"], fact["replguard"]["signal"]) == ("TERM", 15)
    assert fact["replguard"]["tier"] == "kernel"
    assert fact["replguard"]["attribution"] in {"kernel", "inferred"}  # whose session the tests run in may be a guess
    raised = [alert["rule"]["name"] for alert in host.alerts("low")]
    deadline = time.monotonic() + 10
    while not any(name.startswith("serving-signal") for name in raised) and time.monotonic() < deadline:
        time.sleep(0.1)
        raised = [alert["rule"]["name"] for alert in host.alerts("low")]
    assert any(name.startswith("serving-signal") for name in raised)
