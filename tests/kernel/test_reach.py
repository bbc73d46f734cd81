"""A socket is opened and found however long its path is, and who opened it is known."""

import os
import socket
from pathlib import Path

from replguard.kernel.reach import is_ours, other_end, reach


def test_a_path_of_any_length_is_an_address(tmp_path: Path) -> None:
    """The folder is held open meanwhile, and the socket has its whole name in it."""
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        with reach(deep / "s") as address:
            one.bind(address)
            one.listen()
        assert (deep / "s").is_socket()
        with reach(deep / "s") as address:
            other.connect(address)


def test_who_opened_the_other_end_is_known() -> None:
    """Root and our own user are ours; the numbers are the kernel's word, whatever the other end says."""
    one, other = socket.socketpair()
    with one, other:
        assert other_end(one) == (os.getpid(), os.geteuid())
    assert is_ours(0)
    assert is_ours(os.geteuid())
    assert not is_ours(os.geteuid() + 12345)
