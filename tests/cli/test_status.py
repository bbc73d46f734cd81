import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest
from click.testing import CliRunner
from support import standings

from replguard import cli
from replguard.events import clock
from replguard.events.overview import Served
from replguard.events.standing import SensorLine
from replguard.metrics.page import Page
from replguard.metrics.table import Sheet
from replguard.standing import Status


def sheet():
    made = Sheet()
    for sensor, count in (("process", 1200), ("file", 34)):
        made.set("events_total", count, sensor, "evaluated")
    made.set("events_total", 7, "file", "dropped")
    made.set("events_dropped_total", 7, "file", "queue", "full")
    for level, count in (("low", 0), ("high", 2), ("critical", 1)):
        made.set("alerts_firing", count, level)
    made.set("incidents_open", 1, "critical")
    made.set("sink_delivered_total", 9, "jsonl")
    made.set("sink_dropped_total", 0, "jsonl", "full")
    return made


@pytest.fixture
def page():
    """Return a running metrics page."""
    made = Page("127.0.0.1:0", sheet, lambda _: None)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def ask(tmp_path):
    """Return a function that writes what the daemon says and asks for it."""
    (tmp_path / "c.yaml").write_text(f"state_dir: {tmp_path}\n")

    def run(*args, metrics="", pid=None, age=0.0, write=True, **more):
        status = Status(
            version="0.1.0",
            pid=pid or os.getpid(),
            started=clock.now(),
            written=clock.now() - timedelta(seconds=age),
            sensors=[
                SensorLine("process", "process", "portable", None, None),
                SensorLine("file", "file", "portable", None, None),
                SensorLine("nvml", "gpu", "off", "there is no GPU.", None),
            ],
            protecting="2 files of 1 models, 1.00 GiB",
            judging="80 in force",
            problems=["/etc/replguard/manifest.yaml:3: unknown \x1b[2J key"],
            metrics=metrics,
            mounts="3 watched, not watched: /mnt/\x1b[2Jnfs (nfs4)",
        )
        status = msgspec.structs.replace(status, **more)
        if write:
            (tmp_path / "status.json").write_bytes(msgspec.json.encode(status))
        return CliRunner().invoke(cli.group, ["status", "-c", str(tmp_path / "c.yaml"), *args])

    return run


def test_a_running_daemon(ask, page):
    """Sensors, what is protected, what fires and what was lost stand on one screen."""
    result = ask(metrics=f"127.0.0.1:{page.port}")
    assert "mounts: 3 watched, not watched: /mnt/" in result.output
    assert "\x1b[2J" not in result.output
    assert result.exit_code == 0, result.stderr
    words = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert words[0].startswith(f"replguard 0.1.0, running as pid {os.getpid()} since ")
    assert "process process portable 1,200 0" in words
    assert "file file portable 41 7" in words
    assert "nvml gpu off ? ?" in words
    assert "firing: 1 critical, 2 high; open incidents: 1" in words
    assert "sink jsonl: 9 sent, ? waiting, 0 lost" in words
    assert "\x1b[2J" not in result.stdout


def test_json(ask, page):
    """Programs get the same."""
    found = json.loads(ask("--json", metrics=f"127.0.0.1:{page.port}").stdout)
    assert found["status"]["version"] == "0.1.0"
    assert found["metrics"]["alerts_firing/critical"] == 1
    assert found["trouble"] is None


def test_without_metrics_the_rest_is_told(ask):
    """A page that is off or gone is named, and does not hide the rest."""
    for listen, told in (("", "there is no metrics page"), ("127.0.0.1:1", "does not answer")):
        result = ask(metrics=listen)
        assert result.exit_code == 0
        assert told in result.stdout
        assert "protected: 2 files" in result.stdout


def test_not_running(ask, tmp_path):
    """Nothing there, a daemon that is gone, or a broken file: exit 1, and what to do."""
    result = ask(write=False)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "systemctl start replguard" in result.stderr
    assert "--config" in result.stderr, "the usual reason: it runs with another one"
    child = subprocess.Popen(["true"])
    child.wait()
    assert f"pid {child.pid} is gone" in ask(pid=child.pid).stderr
    (tmp_path / "status.json").write_text("{")
    assert "cannot be read" in ask(write=False).stderr


def test_a_daemon_that_hangs(ask):
    """One that lives but no longer tells its state is exit 1."""
    result = ask(age=120)
    assert result.exit_code == 1
    assert "may hang" in result.stdout


def test_a_failed_sensor_is_something_wrong(ask):
    """Exit 1, as for a daemon that hangs: a script that asks need not read."""
    assert ask(sensors=[SensorLine("exec", "process", "failed", None, None)]).exit_code == 1


@pytest.mark.parametrize(
    "said", [b"x\r\n", b'HTTP/1.1 200 OK\r\n\r\na{=""} 1\n', b'HTTP/1.1 200 OK\r\n\r\na{x="y", ="\\n"} 1\n']
)
def test_whoever_took_the_port_may_say_anything(ask, said):
    """It is told that our page does not answer, and the rest is shown."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:

        def answer():
            with server.accept()[0] as client:
                client.recv(4096)
                client.sendall(said)

        done = thread.submit(answer)
        result = ask(metrics=f"127.0.0.1:{server.getsockname()[1]}")
        done.result()
    assert "does not answer: " in result.output
    assert "2 files of 1 models" in result.output


def test_incidents_and_instances_are_told_without_a_metrics_page(ask):
    """They are in the status file: the metrics must not name anybody."""
    told = standings.status(
        cases=(standings.case(1, sentence="it copied \x1b[2J"),),
        instances=(Served("chat", 2, 1, 0), Served("llama", None, 3, 1)),
    )
    result = ask(overview=told.overview)
    assert "incident inc1, critical, " in result.stdout
    assert "×4: it copied \\x1b[2J" in result.stdout
    assert "instances of chat: 1 of 2 allowed\n" in result.stdout
    assert "instances of llama: 3 in no deployment; 1 NOT ALLOWED\n" in result.stdout
    assert "log raw: 3.0 MiB, sealed " in result.stdout


def test_what_others_can_plant_is_not_believed(ask, tmp_path):
    """All could be well there that is not."""
    assert ask().exit_code == 0
    tmp_path.chmod(0o777)
    result = ask()
    assert result.exit_code == 1
    assert f"state_dir: {tmp_path} can be written to by everybody" in result.stderr
    assert "is not believed" in result.stderr
    assert result.stdout == ""
