"""A socket is opened and found however long its path is."""

import socket
from pathlib import Path

from replguard.kernel.reach import reach


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
