"""The client finds the daemon, believes nobody else, and says what to do when there is none."""

import socket
import threading
from pathlib import Path

import pytest

from replguard.config import Config
from replguard.control import client, messages, place
from replguard.control.messages import Answer, Question, Status
from replguard.errors import ReplguardError


def answering(listener: socket.socket, *answers: bytes | Answer) -> threading.Thread:
    def run() -> None:
        with listener.accept()[0] as one:
            messages.receive(one, Question, largest=1024, seconds=10)
            for answer in answers:
                if isinstance(answer, bytes):
                    one.sendall(answer)
                else:
                    messages.send(one, answer)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_place_that_the_status_tells_is_tried_first(tmp_path: Path) -> None:
    """A runtime folder is nowhere in the configuration."""
    (tmp_path / "status.json").write_text(f'{{"control": "{tmp_path}/run/control.sock", "pid": 1}}')
    with place.listen(tmp_path / "run" / "control.sock") as listener:
        thread = answering(listener, Answer(ok=True, text="here"), Answer(ok=True, text="more"))
        with client.connected(Config(state_dir=str(tmp_path))) as daemon:
            assert daemon.ask(Status()).text == "here"
            assert daemon.next(10).text == "more"
        thread.join()


@pytest.mark.parametrize("status", [None, "{", '{"control": 3}'])
def test_without_a_daemon_it_says_what_to_do(tmp_path: Path, status: str | None) -> None:
    """Whatever stands in the status file."""
    if status is not None:
        (tmp_path / "status.json").write_text(status)
    with (
        pytest.raises(ReplguardError, match="systemctl start replguard"),
        client.connected(Config(state_dir=str(tmp_path))),
    ):
        pass


def test_nonsense_and_silence_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """Not a traceback."""
    with place.listen(tmp_path / "control.sock") as listener:
        thread = answering(listener, b"\0\0\0\2[]")
        with (
            client.connected(Config(state_dir=str(tmp_path))) as daemon,
            pytest.raises(ReplguardError, match="replguard status"),
        ):
            daemon.ask(Status())
        thread.join()


def test_a_socket_that_another_user_serves_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He could have planted it."""
    monkeypatch.setattr(client.os, "geteuid", lambda: 4242)
    with place.listen(tmp_path / "control.sock"), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(tmp_path / "control.sock"))
        monkeypatch.setattr(client.struct, "unpack", lambda *_: (1, 4343, 1))
        with pytest.raises(PermissionError):
            client._trust(one)
