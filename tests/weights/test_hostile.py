"""Bad input, as real files: nothing hangs, nothing crashes, and what came of it is told."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest
from support import deadmount, modelfiles
from support.examining import examined, indexed
from support.fingerprints import MIB, finish, model, target

from replguard.config import Weights
from replguard.events import clock
from replguard.weights import store
from replguard.weights.building import Building
from replguard.weights.examiner import Examiner, Request
from replguard.weights.fingerprint import Fingerprint
from replguard.weights.inventory import Inventory
from replguard.weights.library import Library
from replguard.weights.messages import Settings
from replguard.weights.reading import open_regular

SLOW = MIB // 2
"""Bytes per second at which a file of 6 MiB is still being read when something happens to it, on a busy machine."""


@pytest.fixture
def examiner(tmp_path: Path) -> Iterator[Examiner]:
    """An examiner."""
    made = Examiner(Settings(str(tmp_path / "state"), rate=0))
    yield made
    made.stop()


def reading(examiner: Examiner, path: Path) -> None:
    """Wait until a file is being read: the examiner's child has it open, and not only the order to read it."""
    end = clock.monotonic() + 30
    while str(path) not in _open_in(examiner.pid):
        assert clock.monotonic() < end
        threading.Event().wait(0.01)


def _open_in(pid: int | None) -> set[str]:
    """Return the paths that a process has open."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").glob("*") if pid is not None else ():
        with suppress(OSError):
            found.add(str(fd.readlink()))
    return found


def written_to(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"other values")


def replaced(path: Path) -> None:
    modelfiles.write(path.parent / "new", model(9, 6 * MIB)).rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "written to": written_to,
    "shrunk": lambda path: os.truncate(path, MIB),
    "grown": lambda path: os.truncate(path, 7 * MIB),
    "vanished": Path.unlink,
    "replaced": replaced,
}


def test_a_file_that_changes_while_it_is_read_is_told_and_read_again(tmp_path: Path) -> None:
    """A fingerprint of two halves would be of neither; when the file rests, its new content is known."""
    paths = {name: modelfiles.write(tmp_path / name / "m.safetensors", model(1, 6 * MIB)) for name in CHANGES}
    stock = Inventory(Weights(paths=tuple(map(str, paths.values())), discover=False), homes=[])
    targets = {one.path: one for one in stock.refresh().targets}
    with ExitStack() as running:
        examiners = {name: Examiner(Settings(None, rate=SLOW)) for name in CHANGES}
        for name, path in paths.items():
            running.callback(examiners[name].stop)
            examiners[name].start([targets[str(path)]])
            reading(examiners[name], path)
            CHANGES[name](path)
        told = {name: indexed(examiner, seconds=60)[0] for name, examiner in examiners.items()}
    for name, one in told.items():
        stock.mark(one)
        assert (name, one.state) == (name, "failed")
        assert "written to while it was read" in (one.reason or "")
    assert {file.state for file in stock.files()} == {"failed"}
    changes = stock.refresh()
    assert str(paths["vanished"]) in {file.path for file in changes.gone}
    library = Library(Settings(None))
    library.protect(changes.targets)
    assert {one.path: one.state for one in finish(library)} == {
        str(path): "fingerprinted" for name, path in paths.items() if name != "vanished"
    }
    copy = modelfiles.write(tmp_path / "copy", paths["replaced"].read_bytes())
    (match,) = library.examine(Request(str(copy))).matches
    assert (match.path, match.share) == (str(paths["replaced"]), 1.0)
    library.close()


def test_oddities_in_a_folder_of_models_are_passed_over(examiner: Examiner, tmp_path: Path) -> None:
    """A FIFO, a socket's and a device's like, a loop of links, a sparse terabyte: the model beside them is known."""
    folder = tmp_path / "models"
    path = modelfiles.write(folder / "m.safetensors", model(1, MIB))
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "loop").symlink_to(folder)
    (folder / "self.safetensors").symlink_to("self.safetensors")
    (folder / "zero.safetensors").symlink_to("/dev/zero")
    sparse = folder / "sparse.safetensors"
    with sparse.open("wb") as file:
        file.write(modelfiles.safetensors(b"")[:-2].replace(b"[0]", b"[9]"))
        file.write(modelfiles.noise(MIB))
        os.truncate(file.fileno(), 2**40)
    stock = Inventory(Weights(paths=(str(folder),), discover=False), homes=[])
    began = clock.monotonic()
    targets = stock.refresh().targets
    examiner.start(targets)
    done = {one.path: one.state for one in indexed(examiner, len(targets))}
    assert done[str(path)] == "fingerprinted"
    assert set(done) <= {str(path), str(sparse)}
    examiner.submit(Request(str(sparse)))
    examiner.submit(Request(str(folder / "pipe.safetensors")))
    examiner.submit(Request(str(folder / "self.safetensors")))
    answers = {Path(one.path).name: one.error for one in examined(examiner, 3)}
    assert answers["sparse.safetensors"] is None
    assert "FIFO" in (answers["pipe.safetensors"] or "")
    assert "link" in (answers["self.safetensors"] or "")
    assert clock.monotonic() - began < 30


@pytest.mark.root
def test_a_mount_that_is_dead_before_it_is_listed_is_told_as_missing(tmp_path: Path) -> None:
    """And the other path is protected, as is what was known of the dead one."""
    alive = modelfiles.write(tmp_path / "alive" / "m.safetensors", model(1, MIB))
    dead = tmp_path / "dead"
    known = modelfiles.write(dead / "k.safetensors", model(2, MIB))
    stock = Inventory(Weights(paths=(str(alive.parent), str(dead)), discover=False), homes=[])
    stock.refresh()
    with deadmount.mounted(dead):
        for _ in range(2):
            began = clock.monotonic()
            assert stock.refresh().gone == ()
            assert clock.monotonic() - began < 10
        states = {file.path: (file.state, file.reason or "") for file in stock.files()}
    assert {path for path, (state, _) in states.items() if state == "listed"} == {str(alive), str(known)}
    assert states[str(dead)][0] == "missing"
    assert "does not answer" in states[str(dead)][1]
    end = clock.monotonic() + 20
    while any(file.state == "missing" for file in stock.files()):
        assert clock.monotonic() < end
        stock.refresh()


@pytest.mark.root
def test_a_mount_that_dies_while_its_file_is_read_costs_that_file(tmp_path: Path) -> None:
    """The examiner's process is killed at the deadline, twice; then the file has failed, and the others are made."""
    alive = modelfiles.write(tmp_path / "m.safetensors", model(1, MIB))
    shared = tmp_path / "share" / deadmount.NAME
    examiner = Examiner(Settings(str(tmp_path / "state"), rate=0, scan_network=True), deadline=2.0)
    try:
        with deadmount.mounted(shared.parent, model(2, 6 * MIB), after=3 * MIB) as server:
            examiner.start([target(shared)])
            (done,) = indexed(examiner, seconds=60)
            assert server.dead.is_set()
            assert (done.path, done.state) == (str(shared), "failed")
            assert "ended the examiner 2 times" in (done.reason or "")
            examiner.protect([target(alive)])
            assert [one.path for one in indexed(examiner)] == [str(alive)]
            assert examiner.counts.unindexed == 0
            examiner.submit(Request(str(shared)))
            examiner.submit(Request(str(alive)))
            answers = {one.path: one for one in examined(examiner, 2, seconds=60)}
            assert answers[str(shared)].error == "timeout"
            assert answers[str(alive)].matches[0].share == 1.0
            # Who is killed while he hangs in the kernel is still there; of so many, the next leaves the mount alone.
            assert len(examiner._stuck) in {0, 4}
            examiner.submit(Request(str(shared)))
            (answer,) = examined(examiner)
            assert examiner._stuck == [] or "scan_network" in (answer.error or "")
    finally:
        examiner.stop()
    assert examiner._stuck == []


@pytest.mark.root
def test_a_remote_mount_is_not_even_looked_at_unless_asked(tmp_path: Path) -> None:
    """However dead it is: the answer comes at once."""
    with deadmount.mounted(tmp_path / "share"):
        examiner = Examiner(Settings(None))
        try:
            examiner.start()
            examiner.submit(Request(str(tmp_path / "share" / deadmount.NAME)))
            (answer,) = examined(examiner)
            assert "scan_network" in (answer.error or "")
            assert examiner.counts.restarted == 0
        finally:
            examiner.stop()


READER = """
import sys, time
from pathlib import Path
from replguard.weights import library
from replguard.weights.messages import Settings
from support.fingerprints import target
library.SAVE_EVERY = library._SAVE_COSTS = 0.0
one = library.Library(Settings(sys.argv[2]))
one._save_every = 0.0
one.protect([target(Path(sys.argv[1]))])
while True:
    one.work(0.001, 1)
    one._save_every = 0.0
    time.sleep(0.2)
"""


def test_a_process_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    """What it had read by its last save is not read again, and the fingerprint is the whole one."""
    path = modelfiles.write(tmp_path / "m.safetensors", model(1, 40 * MIB))
    state = tmp_path / "state"
    child = subprocess.Popen(
        [sys.executable, "-c", READER, path, state], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        end = clock.monotonic() + 60
        while not unfinished(state):
            assert clock.monotonic() < end
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    came = unfinished(state)
    assert 0 < came < 40 * MIB
    library = Library(Settings(str(state)))
    library.protect([target(path)])
    read = 0
    while library.todo:
        read += library.work(1.0)[0]
    library.close()
    assert read <= path.stat().st_size - came + MIB
    (made,) = library.index.whole()
    assert made == msgspec.structs.replace(whole(path, library), seen=made.seen)


def unfinished(state: Path) -> int:
    """Return how far the last save says that the file was read."""
    cache = state / store.CACHE
    begun = store.load(cache)[1] if cache.exists() else []
    return max((one.read or 0 for one in begun), default=0)


def whole(path: Path, library: Library) -> Fingerprint:
    """Return the fingerprint as one makes it that was never interrupted."""
    with open_regular(str(path)) as reader:
        making = Building(reader, target(path), library.index.scheme)
        list(making.pieces())
        return making.done()
