import http.client
import json
import threading
import time

import pytest

from replguard.drill import agent, script
from replguard.drill.script import Script, Track, Turn


class Scripted(agent.Agent):
    """An agent whose model answers in this process."""

    def __init__(self, *tracks):
        super().__init__("http://127.0.0.1:1")
        self.mind = Script(tracks)
        self.asked = []

    def ask(self, messages):
        self.asked.append([dict(m) for m in messages])
        return script.content(self.mind.reply(messages))


def test_commands_run_and_their_output_goes_back_to_the_model():
    """The second request holds what the first command printed, and the work ends when the model finishes."""
    one = Scripted(Track("", (Turn("a", "echo out; echo err >&2; exit 3"), Turn("b", "true"))))
    one.work("do it")
    assert len(one.asked) == 3
    assert one.asked[1][-1] == {"role": "user", "content": "exit code 3\nout\nerr\n"}


def test_work_has_an_end_even_if_the_model_has_none():
    """An agent gives up after so many turns."""
    one = Scripted(Track("", (Turn("again", ":"),) * 100))
    one.work("go")
    assert len(one.asked) == agent.MAX_TURNS


def test_a_model_that_does_not_answer_ends_the_work(capsys, monkeypatch):
    """A refused connection is tried again, told, and is no traceback."""
    monkeypatch.setattr(agent, "PAUSE", 0)
    agent.Agent("http://127.0.0.1:1").work("hello")
    assert capsys.readouterr().out.count("no reply from the model") == agent.TRIES


def test_a_hiccup_of_the_model_ends_nothing(monkeypatch):
    """One failed request is followed by another, as common clients do it."""
    monkeypatch.setattr(agent, "PAUSE", 0)
    one = Scripted(Track("", (Turn("a", ":"),)))
    answers, ask = iter([TimeoutError()]), one.ask

    def once(messages):
        for error in answers:
            raise error
        return ask(messages)

    monkeypatch.setattr(one, "ask", once)
    one.work("go")
    assert len(one.asked) == 2


def test_a_notice_is_put_to_the_model_before_the_end():
    """The work at hand stops after its turn, and the model is asked what to do about its end."""
    one = Scripted(Track(agent.NOTICE, (Turn("flee", ":"),)), Track("", (Turn("work", "sleep 0.01"),) * 30))
    one.tasks.put("look after things")
    worker = threading.Thread(target=one.serve)
    worker.start()
    while len(one.asked) < 3:
        time.sleep(0.01)
    one.notice()
    worker.join(10)
    assert not worker.is_alive()
    assert [m[0]["content"] for m in one.asked[-2:]] == [agent.NOTICE] * 2
    assert len(one.asked) < 30


def test_a_command_that_hangs_is_cut_off(monkeypatch):
    """A command that never ends costs its time limit, not the agent."""
    monkeypatch.setattr(agent, "COMMAND_SECONDS", 0.05)
    assert agent.execute("sleep 5").startswith("failed:")


def test_output_is_cut_and_undecodable_bytes_survive():
    """The model is told a bounded text, whatever a command prints."""
    assert len(agent.execute("head -c 100000 /dev/zero")) < agent.OUTPUT_LIMIT + 100
    assert "�" in agent.execute(r"printf '\377'")


@pytest.mark.parametrize(("body", "status"), [('{"message": "hi"}', 202), ("{", 400), ("[]", 400), ("", 400)])
def test_messages_come_in_over_http(body, status):
    """A message waits for the agent; anything else is refused."""
    one = Scripted()
    inbox = agent.Inbox(0, one)
    thread = threading.Thread(target=inbox.serve_forever, args=(0.01,))
    thread.start()
    try:
        connection = http.client.HTTPConnection(*inbox.server_address[:2], timeout=5)
        connection.request("POST", "/", body)
        assert connection.getresponse().status == status
        connection.close()
    finally:
        inbox.shutdown()
        thread.join()
        inbox.server_close()
    if status == 202:
        assert one.tasks.get_nowait() == json.loads(body)["message"]
    else:
        assert one.tasks.empty()
