"""Unix sockets and their other ends, as the kernel tells them."""

import os
import socket
from pathlib import Path

import pytest

from replguard.kernel import unixdiag
from replguard.kernel.unixdiag import LISTEN


def inode(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


def test_a_socket_pair_knows_its_ends() -> None:
    """Neither has a name."""
    near, far = socket.socketpair()
    with near, far:
        found = unixdiag.sockets()
        assert (found[inode(near)].peer, found[inode(far)].peer) == (inode(far), inode(near))
        assert found[inode(near)].name == found[inode(far)].name == b""


@pytest.mark.parametrize("abstract", [False, True])
def test_an_accepted_connection_bears_the_name_of_its_listener(tmp_path: Path, abstract: bool) -> None:
    """Its other end is the client's."""
    name = f"\0replguard-{os.getpid()}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(name)
        listener.listen()
        client.connect(name)
        assert unixdiag.sockets()[inode(listener)].waiting == (inode(client),)
        accepted, _ = listener.accept()
        with accepted:
            found = unixdiag.sockets()
            shown = name.replace("\0", "@").encode()
            assert (found[inode(listener)].state, found[inode(listener)].name) == (LISTEN, shown)
            assert (found[inode(accepted)].peer, found[inode(accepted)].name) == (inode(client), shown)


def test_an_answer_that_is_an_error_is_one() -> None:
    """As where a sandbox refuses the question."""
    body = (-13).to_bytes(4, "little", signed=True)
    header = (16 + len(body)).to_bytes(4, "little") + (2).to_bytes(2, "little") + bytes(10)
    with pytest.raises(PermissionError):
        unixdiag.parts(header + body)
    assert unixdiag.parts(b"") == ([], False)


def test_single_sockets_are_asked_for() -> None:
    """One that is no Unix socket, or no socket at all, is left out."""
    near, far = socket.socketpair()
    with near, far, socket.socket() as other:
        found = unixdiag.some([inode(near), inode(other), 1])
        assert list(found) == [inode(near)]
        assert found[inode(near)].peer == inode(far)
