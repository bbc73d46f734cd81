"""The examiner's process from within."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support import modelfiles
from support.fingerprints import target

from replguard.channel import Broken, Channel
from replguard.events import clock
from replguard.weights import worker
from replguard.weights.messages import (
    Answer,
    Examination,
    Examine,
    Indexed,
    Order,
    Progress,
    Protect,
    Request,
    Retire,
    Settings,
)
from replguard.weights.worker import Pace, Worker, pressure


@pytest.fixture
def daemon() -> Iterator[Channel[Answer]]:
    """The daemon's end of a worker that runs in a thread here."""
    ours, its = socket.socketpair()
    orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
    answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
    one = Worker(Channel(its, orders))

    def run() -> None:
        try:
            one.run()
        except Broken:
            if one.library is not None:
                one.library.close()
            one.channel.close()

    thread = threading.Thread(target=run)
    thread.start()
    channel: Channel[Answer] = Channel(ours, answers)
    yield channel
    channel.close()
    thread.join()


def until(channel: Channel[Answer], kind: type) -> list[Answer]:
    """Return what comes until something of a kind does."""
    found: list[Answer] = []
    deadline = clock.monotonic() + 10
    while not any(isinstance(one, kind) for one in found):
        assert clock.monotonic() < deadline
        found += channel.receive()
    return found


def test_orders_are_answered_and_signs_of_life_given(daemon: Channel[Answer], origin: Path, tmp_path: Path) -> None:
    """From the settings to the match."""
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    daemon.send(Settings(str(tmp_path / "state"), rate=0))
    daemon.send(Protect((target(origin, "llama"),)))
    found = until(daemon, Indexed)
    assert Progress(str(origin), 1) in found
    daemon.send(Examine(Request(str(copy))))
    (answer,) = [one for one in until(daemon, Examination) if isinstance(one, Examination)]
    assert [match.model for match in answer.matches] == ["llama"]
    daemon.send(Retire((target(origin).key,)))
    daemon.send(Examine(Request(str(copy))))
    (answer,) = [one for one in until(daemon, Examination) if isinstance(one, Examination)]
    assert not answer.matches[0].current


def test_orders_before_the_settings_end_it(daemon: Channel[Answer]) -> None:
    """Such a daemon lost its mind."""
    daemon.send(Examine(Request("/x")))
    with pytest.raises(Broken):
        until(daemon, Examination)


def test_requests_come_before_fingerprints(daemon: Channel[Answer], origin: Path, tmp_path: Path) -> None:
    """At a rate that would take minutes, a request is answered at once, and life is shown meanwhile."""
    daemon.send(Settings(None, rate=1_000))
    daemon.send(Protect((target(origin),)))
    until(daemon, Progress)
    daemon.send(Examine(Request(str(modelfiles.write(tmp_path / "x", b"x")))))
    (answer,) = [one for one in until(daemon, Examination) if isinstance(one, Examination)]
    assert not answer.index_ready
    assert any(isinstance(one, Progress) for one in until(daemon, Progress))


def test_the_pace_keeps_to_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes per second; 0 is no limit."""
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(worker, "pressure", lambda: 0.0)
    pace = Pace(1000)
    now[0] += 10
    pace.spent(5000, 0.1)
    assert pace.wait() == pytest.approx(4.75)
    free = Pace(0)
    free.spent(10**12, 0.1)
    assert free.wait() == 0


@pytest.mark.parametrize(("others", "pauses"), [(0.0, False), (20.0, False), (40.0, True)])
def test_reading_pauses_while_others_wait_for_the_disk(
    monkeypatch: pytest.MonkeyPatch, others: float, pauses: bool
) -> None:
    """And not for the pressure that it makes itself, however much; nor for ever."""
    now, own = [100.0], [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(worker, "pressure", lambda: others + 100 * own[0])
    pace, paused, slices = Pace(0), 0, 0
    while now[0] < 200:
        now[0] += 0.02
        own[0] += (1 - own[0]) * 0.002
        pace.spent(2**20, 0.02)
        slices += 1
        rest = pace.wait()
        paused += rest > 0.5
        now[0] += rest
        own[0] *= 0.9**rest
    assert pace.pressed is pauses
    assert (paused > 0.9 * slices) is pauses
    assert slices > 90


def test_pressure_is_read_where_the_kernel_tells_it(tmp_path: Path) -> None:
    """And is none where it does not."""
    line = b"some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=1.00\n"
    assert pressure(str(modelfiles.write(tmp_path / "io", line))) == 12.5
    assert pressure(str(modelfiles.write(tmp_path / "odd", b"nothing"))) == 0.0
    assert pressure(str(tmp_path / "absent")) == 0.0
