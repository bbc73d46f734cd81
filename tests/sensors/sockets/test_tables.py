"""Where sockets are read from, and who tells of them."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from replguard.events import clock
from replguard.events.network import Endpoint
from replguard.events.process import Process
from replguard.kernel.sockdiag import ESTABLISHED, LISTEN, Socket
from replguard.sensors.sockets import tables as module
from replguard.sensors.sockets.tables import Ledger, Sources


@pytest.fixture
def sources() -> Iterator[Sources]:
    made = Sources()
    made.start()
    yield made
    made.close()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    def refuse() -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(module, "SockDiag", refuse)
    made = Sources()
    made.start()
    yield made
    made.close()


def client(inode: int, port: int = 40000) -> Socket:
    return Socket(socket.AF_INET, ESTABLISHED, ("127.0.0.1", port), ("127.0.0.1", 8000), inode, 0)


def test_one_socket_is_told_once() -> None:
    """The first to claim it tells, also of what is left when it is closed."""
    ledger = Ledger()
    assert ledger.claim(client(5))
    assert not ledger.claim(client(5))
    assert not ledger.claim_closed((("127.0.0.1", 40000), ("127.0.0.1", 8000)))
    assert ledger.claim_closed((("127.0.0.1", 40001), ("127.0.0.1", 8000)))
    assert ledger.claim(client(6))


def test_the_same_ends_may_connect_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the kernel has forgotten a closed connection, one between the same ends is another."""
    ledger = Ledger()
    ledger.claim(client(5))
    later = clock.monotonic() + module.CLOSED + 1
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert ledger.claim_closed((("127.0.0.1", 40000), ("127.0.0.1", 8000)))


def test_the_ledger_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was forgotten may be told again; memory does not grow."""
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    ledger = Ledger()
    for inode in (1, 2, 3):
        ledger.claim(client(inode, inode))
    assert ledger.claim(client(1, 1))
    assert not ledger.claim(client(3, 3))
    assert len(ledger._pairs) == 2


def test_listeners_and_connections(sources: Sources) -> None:
    """By port, with inodes that descriptors carry."""
    if sources.why:
        pytest.skip(sources.why)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = server.getsockname()[1]
        (listening,) = sources.tcp([LISTEN], [port])
        assert listening.inode == os.fstat(server.fileno()).st_ino
        assert os.fstat(client.fileno()).st_ino in {row.inode for row in sources.tcp([ESTABLISHED], [port])}


def test_psutil_stands_in_and_names_owners(refused: Sources) -> None:
    """Where sock_diag is refused the reason is told, and owners come with the sockets."""
    assert "psutil" in (refused.why or "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        (found,) = refused.tcp([LISTEN], [server.getsockname()[1]])
        assert found.inode < 0
        assert refused.owners[found.inode] == os.getpid()
        assert refused.tcp([LISTEN], [server.getsockname()[1]])[0].inode == found.inode
    refused.refresh()


def test_udp_and_unix(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound UDP sockets, and Unix sockets that accept."""
    monkeypatch.chdir(tmp_path)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        bound.bind(("127.0.0.1", 0))
        assert bound.getsockname() in {row.source for row in sources.udp_bound()}
        listener.bind("accepts")
        listener.listen()
        silent.bind("silent")
        found = dict(sources.unix())
        assert found[os.fstat(listener.fileno()).st_ino] == b"accepts"
        assert os.fstat(silent.fileno()).st_ino not in found


def test_our_addresses_and_the_ports_of_clients() -> None:
    """Loopback is ours; clients get ports from a range."""
    assert "127.0.0.1" in module.addresses()
    assert 1 < len(module.ephemeral()) < 65536


SERVER = Endpoint(ip="127.0.0.1", port=8000)


def test_a_listener_is_told_once_for_each_process_that_holds_it() -> None:
    """One whose holder nobody knows only if it was not told yet; its end is told once, for all of them."""
    ledger = Ledger()
    assert ledger.listens(7, SERVER, Process(pid=1))
    assert not ledger.listens(7, SERVER, Process(pid=1, name="other words"))
    assert ledger.listens(7, SERVER, Process(pid=2))
    assert not ledger.listens(7, SERVER, None)
    assert [(end, process.pid) for end, process in ledger.closes(7) if process] == [(SERVER, 1), (SERVER, 2)]
    assert ledger.closes(7) == []
    assert ledger.listens(8, SERVER, None)
    assert ledger.listens(8, SERVER, Process(pid=1))


def test_who_listens_at_an_address_is_known_if_it_is_one() -> None:
    """At it or at all addresses; of several, and of one that has ended, it is not."""
    ledger, web = Ledger(), Process(pid=7, entity_id="a")
    at = Endpoint(ip="10.0.0.1", port=80)
    assert ledger.server(at) is None
    ledger.listens(5, Endpoint(ip="10.0.0.2", port=80), Process(pid=6, entity_id="b"))
    ledger.listens(6, Endpoint(ip="10.0.0.1", port=81), Process(pid=6, entity_id="b"))
    ledger.listens(7, Endpoint(ip="::", port=80), None)
    assert ledger.server(at) is None
    ledger.listens(7, Endpoint(ip="::", port=80), web)
    assert ledger.server(at) is web
    ledger.listens(8, at, Process(pid=8, entity_id="c"))
    assert ledger.server(at) is None
    ledger.closes(8)
    assert ledger.server(at) is web
    ledger.closes(7)
    assert ledger.server(at) is None


def test_the_process_of_a_told_connection_is_remembered() -> None:
    """Where its teller knew it; who looks for replies needs it."""
    ledger = Ledger()
    assert not ledger.claimed(5)
    ledger.claim(client(5), Process(pid=1))
    ledger.claim(client(6))
    assert ledger.claimed(5)
    assert (ledger.owner(5), ledger.owner(6), ledger.owner(7)) == (Process(pid=1), None, None)


def test_the_listeners_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    ledger = Ledger()
    for inode in range(3):
        assert ledger.listens(inode, SERVER, None)
    assert ledger.closes(0) == []
    assert ledger.closes(2) == [(SERVER, None)]
