"""The server of the control socket: a few connections, each for a short time, whatever a client does."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.host import until

from replguard.config import Config
from replguard.control import client, messages, server
from replguard.control.messages import Answer, Question, Refused, Reload, Status
from replguard.control.peer import Peer
from replguard.control.server import Server


@contextlib.contextmanager
def served(path: Path, answers: server.Answers) -> Iterator[Server]:
    made = Server(path, answers)
    made.start()
    assert until(path.is_socket)
    try:
        yield made
    finally:
        made.stop(10)
    assert not path.exists()


def yes(question: Question, peer: Peer, _: Callable[[], bool]) -> Iterator[Answer]:
    assert not isinstance(question, Reload), "what nobody thought of"
    yield Answer(ok=True, text=f"{type(question).__name__} by {peer.process.pid if peer.process else 'nobody'}")


def link(path: Path) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.connect(str(path))
    return one


def answer(one: socket.socket) -> Answer:
    found: Answer = messages.receive(one, Answer, largest=1024, seconds=10)
    return found


def test_a_question_is_answered_and_a_fault_ends_only_its_own(tmp_path: Path) -> None:
    """The next one is answered as if nothing had been."""
    path = tmp_path / "control.sock"
    with served(path, yes):
        with client.connected(Config(state_dir=str(tmp_path))) as daemon:
            assert daemon.ask(Status()).text.startswith("Status by ")
        with link(path) as bad:
            messages.send(bad, Reload())
            with pytest.raises(Refused):
                answer(bad)
        with client.connected(Config(state_dir=str(tmp_path))) as daemon:
            assert daemon.ask(Status()).ok


def test_who_says_nothing_is_dropped_and_more_than_a_few_are_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there is room again."""
    monkeypatch.setattr(server, "SPEAKS", 1.0)
    path = tmp_path / "control.sock"
    with served(path, yes), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(link(path)) for _ in range(server.MOST)]
        time.sleep(0.1)
        with link(path) as late:
            assert until(lambda: late.recv(1) == b"")
        assert "in time" in answer(silent[0]).text
        assert until(lambda: threading.active_count() < server.MOST)
        with link(path) as next_one:
            messages.send(next_one, Status())
            assert answer(next_one).ok


def test_a_socket_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    """Within a moment."""
    path = tmp_path / "control.sock"
    with served(path, yes):
        path.unlink()
        assert until(path.is_socket)
        with link(path) as one:
            messages.send(one, Status())
            assert answer(one).ok


def test_a_folder_that_comes_later_is_used_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its absence ends nothing."""
    monkeypatch.setattr(server, "AGAIN", 0.05)
    (tmp_path / "run").write_text("")
    made = Server(tmp_path / "run" / "control.sock", yes)
    made.start()
    time.sleep(0.1)
    (tmp_path / "run").unlink()
    assert until(made.path.is_socket)
    made.stop(10)


def test_what_goes_on_ends_when_the_other_end_has_gone_or_the_server_stops(tmp_path: Path) -> None:
    """A drill is over when its command is."""
    ended = threading.Semaphore(0)

    def drill(_: Question, __: Peer, is_there: Callable[[], bool]) -> Iterator[Answer]:
        yield Answer(ok=True)
        while is_there():
            time.sleep(0.01)
        ended.release()

    path = tmp_path / "control.sock"
    with served(path, drill):
        with link(path) as one:
            messages.send(one, Status())
            assert answer(one).ok
        assert ended.acquire(timeout=10)
        two = link(path)
        messages.send(two, Status())
        assert answer(two).ok
    assert ended.acquire(timeout=10)
    two.close()
