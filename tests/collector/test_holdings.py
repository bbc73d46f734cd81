"""What is protected is kept in step with the disk, and what the examiner found waits for its turn."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import convert

from replguard.collector.holdings import Holdings
from replguard.config import Config, dec_hook
from replguard.drill import dummy
from replguard.events.hint import Hint
from replguard.weights.examiner import Examination, Request


@pytest.fixture
def told() -> list[tuple[str, str, str]]:
    """What was put into the pipeline, as component, state and reason."""
    return []


def holdings(folder: Path, told: list[tuple[str, str, str]]) -> Holdings:
    """The holdings of a host whose models lie in a folder."""
    config = convert(
        {"state_dir": str(folder / "state"), "weights": {"paths": [str(folder / "models")], "discover": False}},
        Config,
        dec_hook=dec_hook,
    )

    def put(item: object) -> bool:
        health = item.health  # type: ignore[attr-defined]
        told.append((health.component, health.state, health.reason or ""))
        return True

    return Holdings(config, put)


def test_weights_that_come_are_watched_and_that_go_are_told(tmp_path: Path, told: list[tuple[str, str, str]]) -> None:
    """A path that is not there is told once, and again when it is; what lies there is given to the sensors."""
    held, hints = holdings(tmp_path, told), list[Hint]()
    for _ in range(2):
        held.refresh(hints.append)
    assert [each[:2] for each in told] == [("weights", "degraded")]
    dummy.write_model(tmp_path / "models" / "m", shards=1)
    held.refresh(hints.append)
    assert [each[:2] for each in told] == [("weights", "degraded"), ("weights", "recovered")]
    (hint,) = hints
    (weights,) = (tmp_path / "models" / "m").glob("*.safetensors")
    assert (hint.kind, hint.path, hint.size) == ("inode", str(weights), weights.stat().st_size)


def test_an_examiner_that_was_lost_is_told_once(tmp_path: Path, told: list[tuple[str, str, str]]) -> None:
    """And so is what it had no room for."""
    held = holdings(tmp_path, told)
    held.examiner._counts["restarted"] = 2
    held.look_after()
    held.look_after()
    assert [(component, state) for component, state, _ in told] == [("examiner", "degraded")]
    assert "2x" in told[0][2]


def test_what_was_found_waits_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would ask for it again."""
    tries, stop = list[object](), threading.Event()

    def put(item: object) -> bool:
        tries.append(item)
        if len(tries) == 3:
            stop.set()
        return len(tries) == 3

    held = holdings(tmp_path, [])
    held._put = put
    result = Examination(request=Request("/srv/copy"), time=datetime.now(UTC), path="/srv/copy")
    with Path("/dev/zero").open("rb") as always:  # a descriptor that can always be read from
        monkeypatch.setattr(held.examiner, "fileno", always.fileno)
        monkeypatch.setattr(held.examiner, "results", lambda: [result])
        thread = threading.Thread(target=held.carry, args=(stop,))
        thread.start()
        deadline = time.monotonic() + 10
        while thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        thread.join(1)
    assert tries == [result] * 3


def test_a_guest_is_protected_while_it_is_there(tmp_path: Path, told: list[tuple[str, str, str]]) -> None:
    """Who brings a folder waits until it is listed; afterwards it is known no more."""
    (tmp_path / "models").mkdir()
    one, guest = holdings(tmp_path, told), tmp_path / "guest"
    dummy.write_model(guest)
    stop = threading.Event()

    def refresh() -> None:
        while not stop.wait(0.01):
            one.refresh(lambda _: None)

    thread = threading.Thread(target=refresh)
    thread.start()
    one.guest(str(guest), True)
    listed = [file for file in one.inventory.files() if file.path.startswith(str(guest))]
    one.guest(str(guest), False)
    stop.set()
    thread.join()
    one.refresh(lambda _: None)
    assert listed
    assert not [file for file in one.inventory.files() if file.path.startswith(str(guest)) and file.state != "missing"]
