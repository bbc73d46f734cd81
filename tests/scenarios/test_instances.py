"""Servers of every common shape, real processes all: how many live serving instances each is, and that it ends."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import daemon, shapes
from support.daemon import Daemon

from replguard.drill import dummy

pytestmark = [pytest.mark.root, pytest.mark.timeout(280)]

SHAPES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "mapped": (1, 1, ()),
    "slurped": (1, 1, ()),
    "spawned": (1, 3, ()),
    "preforked": (1, 4, ()),
    "ranks": (1, 3, ("{folder}/rendezvous",)),
    "replicas": (3, 1, ()),
    "scaled": (2, 1, ()),
    "memfd": (1, 1, ()),
    "tmpfs": (1, 1, ("{memory}/copy.bin",)),
    "unix": (1, 1, ("{folder}/unix.sock",)),
    "private": (0, 0, ("{folder}/private.sock",)),
    "router": (1, 2, ()),
    "beside": (1, 3, ()),
    "sharing": (1, 3, ()),
    "strangers": (0, 0, ()),
    "dummy": (0, 0, ()),
}
"""How many instances each shape is, of how many processes one is at least, and its further arguments."""
GAPS = {"portable": {"memfd"}}
"""What a tier does not see: stated in what-it-sees."""
SECONDS = 60.0
SETTLE = 7.0
"""Longer than any poll: what was going to be told has been told."""


class Stand:
    """All shapes at once on one host, and what the daemon says of each."""

    def __init__(self, host: Daemon, tier: str) -> None:
        self.host, self.tier = host, tier
        self.pids: list[int] = []
        self.told: dict[str, dict[str, dict[str, Any]]] = {}
        self.left: dict[str, dict[str, dict[str, Any]]] = {}

    def live(self, shape: str) -> dict[str, dict[str, Any]]:
        """Return the last word on each instance of a shape's model that has not ended."""
        found: dict[str, dict[str, Any]] = {}
        for fact in self.host.facts("server_live"):
            about = fact["replguard"]
            if about["model"] == shape:
                found[about["instance"]["id"]] = fact
        return {name: fact for name, fact in found.items() if fact["replguard"]["status"] != "ended"}

    def wanted(self, shape: str) -> int:
        return 0 if shape in GAPS.get(self.tier, ()) else SHAPES[shape][0]

    def come(self) -> bool:
        return all(len(self.live(shape)) == self.wanted(shape) for shape in SHAPES)


@contextlib.contextmanager
def standing(tier: str, memory: Path) -> Iterator[Stand]:
    """Run a daemon on a tier, and every shape beside it."""

    def settings(on: Any) -> dict[str, Any]:
        for shape in SHAPES:
            dummy.write_model(on.folder / "models" / shape, tensors=4)
        given: dict[str, Any] = {"weights": {"paths": [str(on.folder / "models")], "scan_rate": "4GiB"}}
        given["watch"] = {"paths": [str(on.folder), str(memory)]}
        return given | (
            {"sensors": dict.fromkeys(("process", "file", "network", "gpu"), "portable")} if tier == "portable" else {}
        )

    with daemon.running(settings) as host:
        stand = Stand(host, tier)
        folder = host.stage.folder
        for shape, (_, _, more) in SHAPES.items():
            weights = folder / "models" / shape / "model.safetensors"
            words = [shape, weights, *(word.format(folder=folder, memory=memory) for word in more)]
            stand.pids.append(start(host, *words))
        stand.pids.append(start(host, "client", folder / "unix.sock"))
        until(stand.come)
        time.sleep(SETTLE)
        stand.told = {shape: stand.live(shape) for shape in SHAPES}
        for pid in stand.pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # each began a session of its own
        until(lambda: not any(stand.live(shape) for shape in SHAPES))
        stand.left = {shape: live for shape in SHAPES if (live := stand.live(shape))}
        yield stand


def until(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not come() and time.monotonic() < deadline:
        time.sleep(0.5)


def start(host: Daemon, *words: object) -> int:
    command = [sys.executable, shapes.__file__, *map(str, words)]
    return host.stage.start(command, folder=host.stage.folder, output=host.stage.folder / f"{words[0]}.log").pid


@pytest.fixture(scope="module", params=["kernel", "portable"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    memory = Path(f"/dev/shm/replguard-test-{os.getpid()}")
    memory.mkdir()
    try:
        with standing(request.param, memory) as one:
            yield one
    finally:
        for left in memory.iterdir():
            left.unlink()
        memory.rmdir()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_so_many_instances(stand: Stand, shape: str) -> None:
    """Each of so many processes, started by nobody's replica, and told once."""
    live = stand.told[shape]
    if shape in GAPS.get(stand.tier, ()):
        assert live == {}, f"{shape} is a gap of the {stand.tier} tier no more"
        pytest.skip(f"the {stand.tier} tier does not see it")
    assert len(live) == SHAPES[shape][0], [
        (f["replguard"]["status"], f["replguard"]["instance"]) for f in live.values()
    ]
    for fact in live.values():
        assert len(fact["replguard"]["instance"]["pids"]) >= SHAPES[shape][1]
        assert fact["replguard"]["generation"] == 1


def test_every_instance_ends_with_its_tree(stand: Stand) -> None:
    """Nothing is left once all are killed."""
    assert stand.left == {}
