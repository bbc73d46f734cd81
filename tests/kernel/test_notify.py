"""The service manager hears of our state, and its absence stops nothing."""

import os
import socket
from pathlib import Path

import pytest

from replguard.kernel.notify import notify


def test_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a service there is no one to tell."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify("READY=1") is False


def test_states_arrive_in_one_datagram(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Several states of one call belong together."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert notify("READY=1", "STATUS=watching") is True
        assert manager.recv(256) == b"READY=1\nSTATUS=watching"


def test_descriptors_go_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What arrives is the same open file."""
    address, counter = str(tmp_path / "notify"), os.eventfd(41)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert notify("FDSTORE=1", "FDNAME=x", descriptors=[counter]) is True
        said, descriptors, _, _ = socket.recv_fds(manager, 256, 4)
    assert said == b"FDSTORE=1\nFDNAME=x"
    assert [os.eventfd_read(descriptor) for descriptor in descriptors] == [41]
    for descriptor in (counter, *descriptors):
        os.close(descriptor)


def test_an_abstract_socket_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Systemd may name an abstract socket with a leading @."""
    name = f"replguard-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify("STOPPING=1") is True
        assert manager.recv(256) == b"STOPPING=1"


def test_a_manager_that_is_gone_is_false_and_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A socket path that nobody listens on must not stop the daemon."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert notify("READY=1") is False
