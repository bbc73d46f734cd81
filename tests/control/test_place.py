"""Where the control socket lies, and who may connect to it."""

import socket
import stat
from pathlib import Path

import pytest

from replguard.control import place
from replguard.kernel.reach import reach


def test_its_folder_is_the_one_of_the_service_manager_or_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of several."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert place.folder("/var/lib/replguard") == Path("/var/lib/replguard")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/replguard:/run/other")
    assert place.folder("/var/lib/replguard") == Path("/run/replguard")


def test_a_client_looks_where_the_daemon_says_and_where_it_would_be() -> None:
    """Each place once."""
    found = place.candidates("/s", "/run/replguard/control.sock")
    assert [str(one) for one in found] == ["/run/replguard/control.sock", "/s/control.sock"]
    assert [str(one) for one in place.candidates("/s", None)] == ["/s/control.sock", "/run/replguard/control.sock"]


def test_only_its_owner_may_connect_however_long_its_path_is(tmp_path: Path) -> None:
    """An old one makes room."""
    path = tmp_path / ("d" * 120) / "control.sock"
    path.parent.mkdir()
    path.write_text("old")
    with place.listen(path) as listener:
        found = path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
        with reach(path) as address, socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
            listener.accept()[0].close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """Which the server tells, and tries again."""
    (tmp_path / "file").write_text("")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"."):
        place.listen(tmp_path / "file" / "s")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
