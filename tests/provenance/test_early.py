"""Who used a copy before it was known to be one."""

import pytest
from support.story import MIB, Host

from replguard.events.event import Event, Meta
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import early as module
from replguard.provenance.early import KEPT, Early
from replguard.provenance.processes import Proc

PATH = "/models/llama/w.safetensors"


def stage() -> tuple[Host, File, Proc]:
    """Return a host, a model of 24 MiB, and what has read it, about to write."""
    host = Host()
    weights, openssl = host.protect(PATH, size=24 * MIB), host.exec("openssl", "enc", parent=host.login())
    host.read(weights, openssl)
    return host, weights, openssl


def inodes(host: Host) -> list[tuple[str | None, bool]]:
    return [(hint.path, hint.drop) for hint in host.hints if hint.kind == "inode"]


def test_who_read_what_turns_out_to_be_derived_holds_it() -> None:
    """Read at once and closed; a second later it is known, and that a server of it is live."""
    host, _, openssl = stage()
    made = host.grow("/srv/x", 24 * MIB, openssl)
    assert inodes(host) == [("/srv/x", False)]
    server, passing = (host.exec("python3", name, parent=host.login()) for name in ("serve.py", "sum.py"))
    for proc in (server, passing):
        host.read(made, proc)
    host.exit(passing)
    host.listen(server, "127.0.0.1:8000")
    assert host.of("server_live") == []
    host.examined(made)
    host.tick()
    assert [f.replguard.confidence for f in host.of("weights_copy")] == ["derived"]
    assert [f.replguard.instance.pids for f in host.of("server_live")] == [(server.pid,)]
    assert {f.process.pid for f in host.of("weights_access")} >= {server.pid, passing.pid}


def test_who_read_what_the_examiner_recognises_later_holds_it() -> None:
    """The answer may wait behind a flood of other files."""
    host, weights, cp = stage()
    made = host.grow("/srv/x", 24 * MIB, cp)
    server = host.exec("python3", "serve.py", parent=host.login())
    host.read(made, server)
    host.listen(server, "127.0.0.1:8000")
    told = host.examined(made, (weights, 1.0))
    assert [fact.action for fact in told] == ["weights_copy", "weights_access", "server_live"]


def test_what_is_not_recognised_is_watched_no_more_after_a_minute() -> None:
    """What little a reader of weights writes is seldom a copy; files of others are not watched at all."""
    host, _, evaluation = stage()
    made = host.grow("/srv/results", 1 * MIB, evaluation)
    host.grow("/srv/other", 24 * MIB, host.login())
    host.examined(made)
    host.tick()
    assert inodes(host) == [("/srv/results", False)]
    host.wait(KEPT.total_seconds())
    host.tick()
    assert inodes(host) == [("/srv/results", False), ("/srv/results", True)]
    assert host.of("weights_copy") == []


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest files are let go, and the oldest uses of each."""
    monkeypatch.setattr(module, "MOST", 2)
    monkeypatch.setattr(module, "USES", 3)
    host = Host()
    hints: list[Hint] = []
    early = Early(hints.append)
    files = [host.file(f"/srv/{number}") for number in range(4)]
    for file in files:
        early.made((5, file.inode), Hint(kind="inode", path=file.path), host.now)
    assert [hint.path for hint in hints if hint.drop] == ["/srv/0", "/srv/1"]
    event = Event(timestamp=host.now, event=Meta(action="file_read", provider="test"), file=files[3])
    for _ in range(5):
        early.used(event, host.exec("cat", parent=host.login()))
    early.found((5, files[3].inode), Hint(kind="inode", path="/srv/renamed"))
    assert hints[-1].path == "/srv/renamed"
    assert len(early.due()) == 3
    assert early.due() == []
