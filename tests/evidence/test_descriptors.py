"""Where descriptors point and what sockets connect, without opening any of it."""

import os
import select
import socket
import subprocess
from pathlib import Path

import pytest
from support.targets import held, target

from replguard.events.evidence import Descriptor, Socket
from replguard.evidence import descriptors
from replguard.kernel import netns

FAR = 1e12


def opened(pid: int, by: float = FAR) -> tuple[descriptors.Open, list[str]]:
    missing: list[str] = []
    with held(pid) as folder:
        return descriptors.descriptors(folder, missing.append, by), missing


def connected(pid: int, by: float = FAR) -> tuple[list[Socket], list[str]]:
    missing: list[str] = []
    with held(pid) as folder:
        has = descriptors.descriptors(folder, missing.append, FAR)
        return list(descriptors.sockets(folder, has.sockets, missing.append, by).values()), missing


def test_a_descriptor_tells_how_it_was_opened_and_where_it_is(tmp_path: Path) -> None:
    """Files with their position; pipes by the end that is held."""
    code = (
        "import os; os.chdir(sys.argv[1]); d = os.O_RDWR | os.O_CREAT; a = os.open('a', d); os.write(a, b'12345');"
        "b = os.open('a', os.O_RDONLY); c = os.open('b', os.O_WRONLY | os.O_CREAT); r, w = os.pipe()"
    )
    with target(code, str(tmp_path)) as process:
        found, missing = opened(process.pid)
    by_path = {each.path: each for each in found.descriptors if each.path.startswith(str(tmp_path))}
    assert by_path[f"{tmp_path}/b"].access == "w"
    assert by_path[f"{tmp_path}/b"].inode == (tmp_path / "b").stat().st_ino
    assert {
        (each.access, each.position) for each in found.descriptors if each.path == f"{tmp_path}/a"
    } == {("rw", 5), ("r", 0)}  # fmt: skip
    assert {each.access for each in found.descriptors if each.path.startswith("pipe:")} >= {"r", "w"}
    assert not missing


def test_a_fifo_and_a_symlink_are_not_followed(tmp_path: Path) -> None:
    """To open the FIFO would wake who waits at its other end, and could wait for ever."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "file").write_text("x")
    code = (
        "import os; a = os.open(sys.argv[1] + '/fifo', os.O_RDONLY | os.O_NONBLOCK); f = sys.argv[1] + '/file';"
        "b = os.open(f, os.O_RDONLY); os.unlink(f); os.symlink(sys.argv[1] + '/fifo', f)"
    )
    with target(code, str(tmp_path)) as process:
        found, _ = opened(process.pid)
    poll = select.poll()
    poll.register(reader)
    assert poll.poll(0) == []  # it would tell of a writer that came and went
    os.close(reader)
    assert {each.path for each in found.descriptors} >= {f"{tmp_path}/fifo", f"{tmp_path}/file (deleted)"}


def test_of_very_many_files_come_before_what_has_no_name() -> None:
    """Whoever opens hundreds of other things first does not hide his files behind them; the others are counted."""
    code = "import os; k = [(os.eventfd(0), open('/dev/null')) for _ in range(300)]; f = open('/etc/passwd')"
    with target(code) as process:
        found, missing = opened(process.pid)
    assert len(found.descriptors) == descriptors.DESCRIPTORS
    assert "/etc/passwd" in {each.path for each in found.descriptors}
    assert missing[0].endswith(" more were looked at and left out")


def test_a_look_that_takes_too_long_is_told_in_part() -> None:
    """It says how far it came."""
    with target() as process:
        found, missing = opened(process.pid, 0.0)
    assert found == descriptors.Open([], {})
    assert missing == ["only the first 0 were looked at"]


def test_sockets_are_told_with_both_ends(tmp_path: Path) -> None:
    """Of TCP, UDP and Unix sockets; a Unix socket tells by its other end to which service it is connected."""
    server = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "service"))
    unix.listen()
    code = (
        "import socket; c = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "l = socket.create_server(('', 0)); u = socket.socket(type=socket.SOCK_DGRAM); u.connect(('127.0.0.1', 9));"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2]); a = socket.socket(socket.AF_UNIX);"
        "a.bind('\\0replguard-abstract-' + sys.argv[1]); a.listen()"
    )
    with (
        server,
        unix,
        target(code, str(server.getsockname()[1]), str(tmp_path / "service")) as process,
        unix.accept()[0],
    ):
        found, missing = connected(process.pid)
        port = server.getsockname()[1]
    told = {(each.transport, each.state, each.remote) for each in found}
    assert told == {
        ("tcp", "ESTAB", f"127.0.0.1:{port}"),
        ("tcp", "LISTEN", None),
        ("udp", "ESTAB", "127.0.0.1:9"),
        ("unix", "ESTAB", str(tmp_path / "service")),
        ("unix", "LISTEN", None),
    }
    assert f"@replguard-abstract-{port}" in {each.local for each in found}
    assert len({each.fd for each in found}) == 5
    assert not missing


def test_an_address_of_ipv6_is_bracketed() -> None:
    """Its colons are not taken for that of the port."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with target("import socket; s = socket.create_server(('::1', 0), family=socket.AF_INET6)") as process:
        ((one,), _) = connected(process.pid)
    assert one.local.startswith("[::1]:")
    assert one.remote is None


def test_what_is_not_found_in_time_is_missed() -> None:
    """A host may have a hundred thousand connections."""
    with target("import socket; s = socket.create_server(('127.0.0.1', 0))") as process:
        found, missing = connected(process.pid, 0.0)
    assert (found, missing) == ([], ["not whole: the host has too many"])


def test_a_netlink_socket_stays_a_descriptor() -> None:
    """Nothing is told of it; a process without sockets costs no question."""
    code = "import socket; s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)"
    with target(code) as process:
        found, _ = opened(process.pid)
        assert connected(process.pid) == ([], [])
    assert len(found.sockets) == 1
    assert all(isinstance(each, Descriptor) for each in found.descriptors)


@pytest.mark.root
def test_sockets_of_another_network_namespace_are_told() -> None:
    """As they are in that namespace; the thread is home again afterwards."""
    code = (
        "import socket; s = socket.create_server(('0.0.0.0', 8123)); u = socket.socket(socket.AF_UNIX); u.bind('\\0x')"
    )
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no new network namespace may be made here")
    with target(code, by=("unshare", "-n")) as process:
        home = netns.namespace("thread-self")
        found, missing = connected(process.pid)
        assert netns.namespace("thread-self") == home
    assert {(each.transport, each.local) for each in found} == {("tcp", "0.0.0.0:8123"), ("unix", "@x")}
    assert not missing
