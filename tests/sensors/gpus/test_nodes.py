"""Who holds the node of a GPU, by fake processes."""

import os
from pathlib import Path

from support.host import FakeHost

from replguard.sensors.gpus.nodes import EVERY, YOUNG, Nodes


def hold(host: FakeHost, pid: int, *nodes: str) -> None:
    folder = Path(host.root, str(pid), "fd")
    folder.mkdir(exist_ok=True)
    for number, node in enumerate(nodes):
        (folder / str(number)).symlink_to(node)


def test_holders_are_found_and_let_go(tmp_path: Path) -> None:
    """By the nodes of NVIDIA's and DRM drivers, and never we ourselves."""
    host = FakeHost(tmp_path)
    for pid in (10, 11, 12, os.getpid()):
        host.process(pid)
    hold(host, 10, "/dev/nvidia0", "/dev/null")
    hold(host, 11, "/dev/dri/renderD128")
    hold(host, 12, "/tmp/dev/nvidia0")
    hold(host, os.getpid(), "/dev/nvidia0")
    nodes = Nodes(host.root)
    assert nodes.look() == {10: {b"/dev/nvidia0"}, 11: {b"/dev/dri/renderD128"}}
    host.end(10)
    assert nodes.look() == {11: {b"/dev/dri/renderD128"}}


def test_an_old_process_is_found_when_all_are_searched_or_it_is_named(tmp_path: Path) -> None:
    """A young one each time; one that has run for long when it was seen to open a device, at the latest in a while."""
    host = FakeHost(tmp_path)
    host.process(10)
    host.process(11)
    nodes = Nodes(host.root)
    for _ in range(YOUNG + EVERY - YOUNG % EVERY + 1):
        assert nodes.look() == {}
    hold(host, 10, "/dev/nvidia0")
    hold(host, 11, "/dev/nvidia0")
    nodes.name(10)
    assert list(nodes.look()) == [10]
    assert [list(nodes.look()) for _ in range(EVERY)][-1] == [10, 11]
