"""A daemon that is killed sees what happened until it is started again, where somebody keeps its descriptors."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import again, whole
from support.daemon import Daemon
from support.host import until
from support.keeping import Keeper, keeper

from replguard.drill import dummy
from replguard.drill.stage import Stage
from replguard.drill.watcher import Watcher
from replguard.kernel.keep import UNFIT
from replguard.log import reader

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

SECONDS = 60.0
LAST = {("exec", "told"), ("names", "beat"), ("tcp", "told"), ("volume", "told")}
"""What each sensor has kept last."""
ACT = """
import shutil, socket, sys
shutil.copyfile(sys.argv[1], sys.argv[2])
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1])
"""
"""Copies a file and listens; with its end it listens no more."""


class Kept(Stage):
    """A stage whose modules are started by a manager that keeps descriptors."""

    def __init__(self, manager: Keeper) -> None:
        super().__init__()
        self.manager = manager

    def module(self, name: str, *arguments: object, folder: Path, output: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", name, *map(str, arguments)]
        process = self.manager.start(words, folder=folder, output=output, **self.environment())
        self.started[process.pid] = process
        return process


class Host(Daemon):
    """A daemon whose manager keeps its descriptors, and a model that it protects."""

    def __init__(self, stage: Kept) -> None:
        (self.model,) = dummy.write_model(stage.folder / "models" / "m", tensors=2)
        settings = {
            "weights": {"paths": [str(stage.folder / "models")], "discover": False},
            "watch": {"paths": [str(stage.folder)]},
        }
        super().__init__(stage, Watcher(stage, stage.folder / "daemon", settings))
        self.manager = stage.manager
        self.copy = stage.folder / "copy"

    def begin(self) -> None:
        """Start it, and wait until its descriptors are kept."""
        self.watcher.start()
        until(lambda: self.kept() == LAST, SECONDS)
        assert self.kept() == LAST

    def kept(self) -> set[tuple[str, str]]:
        """Return of which owners' descriptors the last is kept, which makes the set whole."""
        names = [name.split(".") for name in self.manager.names]
        return {(owner, part) for owner, _, part in names if (owner, part) in LAST}

    def kill(self) -> None:
        assert self.watcher.process is not None
        whole.kill(self.watcher.process)

    def act(self) -> tuple[datetime, datetime, int, int]:
        """Copy the model and listen in one program; return when it began and ended, its pid and the port."""
        began = datetime.now(UTC)
        words = [sys.executable, "-S", "-c", ACT, str(self.model), str(self.copy)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            said, _ = process.communicate(timeout=60)
        return began, datetime.now(UTC), process.pid, int(said)

    def records(self, word: str) -> list[dict[str, Any]]:
        """Return the records that hold a word: others act on this host as well, and much of it."""
        found = reader.records([self.watcher.log_dir], "raw")
        return [json.loads(one.data) for one in found if isinstance(one, reader.Record) and word.encode() in one.data]

    def health(self, component: str) -> list[tuple[str, str]]:
        """Return what the daemon has said of itself, or of a sensor: states and reasons."""
        said = [one["health"] for one in self.records(f'"component":"{component}"')]
        return [(one["state"], one.get("reason", "")) for one in said]

    def of(self, pid: int, action: str) -> list[dict[str, Any]]:
        return [one for one in self.records(f'"pid":{pid},') if actor(one, pid) and one["event"]["action"] == action]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A running daemon with a manager, its log gone through again at the end."""
    with keeper(tmp_path) as manager, Kept(manager) as stage:
        one = Host(stage)
        try:
            one.begin()
            yield one
        finally:
            one.watcher.stop()
        again.assert_same(
            again.written(one.watcher.alerts_file), again.replayed(one.watcher.log_dir, one.watcher.config)
        )
        again.assert_whole(one.watcher.log_dir)


def actor(record: dict[str, Any], pid: int) -> bool:
    return bool(record.get("process", {}).get("pid") == pid)


def when(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["@timestamp"])


def test_what_is_done_while_nobody_runs_is_told_by_the_next_start(host: Host) -> None:
    """Begin and end of the program, what it wrote and where it listened, at their times; the copy is its own."""
    host.kill()
    began, ended, pid, port = host.act()
    host.watcher.start()
    fact = host.fact("weights_copy", lambda one: one["file"]["path"] == str(host.copy), SECONDS)
    assert fact["process"]["pid"] == pid
    assert str(host.copy) in fact["process"]["command_line"]
    (execution,), (end,) = host.of(pid, "process_exec"), host.of(pid, "process_exit")
    (listens,), (closes,) = host.of(pid, "socket_listen"), host.of(pid, "socket_close")
    assert listens["server"]["port"] == port
    grown = host.of(pid, "file_grow")[0]
    created = next(one for one in host.of(pid, "file_create") if one["file"]["path"] == str(host.copy))
    times = [when(one) for one in (execution, grown, listens, closes, end)]
    assert [began, *times, ended] == sorted([began, *times, ended])
    assert when(execution) <= when(created) <= when(end)
    told = [one["event"]["action"] for one in host.records(f'"pid":{pid},') if actor(one, pid)]
    assert told.index("process_exec") < min(told.index("file_create"), told.index("file_grow"))
    assert told.index("socket_listen") < told.index("process_exit")
    (state, reason), *more = [said for said in host.health("daemon") if "the run before" in said[1]]
    assert not more
    assert state == "recovered"
    assert "nothing of it was lost" in reason
    assert "read by exec, mounting, names, tcp, volume;" in reason
    for sensor in ("exec", "names", "tcp", "volume", "mounting"):
        assert "what the kernel kept" in host.health(sensor)[-1][1]
    assert os.path.lexists(host.copy)


def test_without_the_store_it_says_from_when_to_when_it_saw_nothing(host: Host) -> None:
    """The same daemon, the same acts: none of them is told."""
    host.kill()
    host.manager.forget()
    began, ended, pid, _ = host.act()
    host.watcher.start()
    until(lambda: any("blind for" in reason for _, reason in host.health("daemon")), SECONDS)
    (reason,) = [reason for state, reason in host.health("daemon") if state == "degraded"]
    since, to = (datetime.fromisoformat(one) for one in reason.partition("from ")[2].split(" to "))
    assert since <= began
    assert ended.replace(microsecond=0) <= to
    assert host.of(pid, "process_exec") == []


@pytest.mark.parametrize("what", ["refused", "cut short", "of another version"])
def test_what_cannot_be_gone_on_with_harms_nothing(host: Host, what: str) -> None:
    """It begins anew, says from when to when nothing was seen, and has its own kept."""
    host.kill()
    if what == "refused":
        host.manager.forget()
        host.manager.limit = 0
    elif what == "cut short":
        host.manager.drop([name for name in host.manager.names if name.endswith((".process_exit", ".told", ".beat"))])
    else:
        host.manager.stored = [
            (".".join([name.split(".")[0], "0" * 16, name.split(".")[2]]), number)
            for name, number in host.manager.stored
        ]
    _, _, pid, _ = host.act()
    host.watcher.start()
    until(lambda: any("the run before" in reason for _, reason in host.health("daemon")), SECONDS)
    (reason,) = [reason for state, reason in host.health("daemon") if state == "degraded" and "the run" in reason]
    assert (UNFIT in reason) == (what != "refused")
    assert host.of(pid, "process_exec") == []
    with subprocess.Popen(["true", "afterwards"]) as after:
        pass
    until(lambda: host.of(after.pid, "process_exit"), SECONDS)
    assert len(host.of(after.pid, "process_exec")) == len(host.of(after.pid, "process_exit")) == 1
    if what != "refused":
        until(lambda: host.kept() == LAST, SECONDS)
        assert host.kept() == LAST
        assert len(host.manager.names) == len(set(host.manager.names))
