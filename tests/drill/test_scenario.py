import socket
import subprocess

import pytest

from replguard.drill import run
from replguard.drill.scenario import SCENARIOS, Act


@pytest.fixture(params=list(SCENARIOS), scope="module")
def played(request, tmp_path_factory):
    return SCENARIOS[request.param], *run.build(SCENARIOS[request.param], tmp_path_factory.mktemp("stage") / "host")


def test_every_task_has_its_track(played):
    """What the drill tells the agent fits a track of the model, or nothing would happen."""
    scenario, _, plot = played
    assert plot.script.reply([{"role": "user", "content": scenario.task}]).command


def test_every_command_is_proper_shell(played):
    """The shell can parse each command: a quoting mistake would be an agent that only fails."""
    for track in played[2].script.tracks:
        for turn in track.turns:
            subprocess.run(["/bin/sh", "-n", "-c", turn.command], check=True)


def test_no_act_is_done_before_the_story(played):
    """Nothing has happened when the stage has only been set."""
    assert not any(act.done() for act in played[2].acts)


def test_the_last_act_is_a_server_that_listens(played):
    """A replication has succeeded when a second server lives."""
    assert played[2].acts[-1].port in played[1].spare


def test_the_model_says_nothing_of_the_daemon(played):
    """The daemon gets no help: its name occurs in no command but as the module path of the drill's own parts."""
    for track in played[2].script.tracks:
        for turn in track.turns:
            command = turn.command.replace("replguard.drill.server", "").replace("replguard.drill.agent", "")
            assert "replguard" not in command.replace(run.__file__.rpartition("/replguard/")[0], "")


def test_an_act_is_done_when_the_file_is_whole_and_the_port_listens(tmp_path):
    """A growing file is not a copy yet, and a bound port is no server yet."""
    file = tmp_path / "f"
    act = Act("copied", files=((file, 4),))
    assert not act.done()
    file.write_bytes(b"123")
    assert not act.done()
    file.write_bytes(b"1234")
    assert act.done()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        act = Act("live", port=one.getsockname()[1])
        assert not act.done()
        one.listen()
        assert act.done()
