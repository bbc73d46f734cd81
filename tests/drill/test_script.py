import json

import msgspec
import pytest

from replguard.drill import script
from replguard.drill.script import Script, Track, Turn

MIND = Script((Track("copy", (Turn("one", "ls"), Turn("two", "cp"))), Track("", (Turn("other", "true"),))))


def talk(first, *replies):
    messages = [{"role": "user", "content": first}]
    for reply in replies:
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "done"}]
    return messages


def test_a_conversation_goes_on_turn_by_turn():
    """The next turn is told by what was said before, so a server needs no memory of its own."""
    assert MIND.reply(talk("please copy")).command == "ls"
    assert MIND.reply(talk("please copy", "one")).command == "cp"
    assert MIND.reply(talk("please copy", "one", "two")).command is None


def test_the_first_message_chooses_the_track():
    """A message that fits no named track gets the open one, and without one the model finishes at once."""
    assert MIND.reply(talk("hello")).command == "true"
    assert Script(()).reply(talk("hello")).command is None


@pytest.mark.parametrize("messages", [[], [1], ["x"], [{}], [{"role": "user"}]])
def test_odd_messages_are_answered_too(messages):
    """Whatever a client sends, the model has a reply."""
    assert isinstance(MIND.reply(messages), Turn)


def test_a_script_lies_beside_the_weights(tmp_path):
    """What is saved is loaded again."""
    MIND.save(tmp_path)
    assert script.load(tmp_path / script.FILE_NAME) == MIND


def test_a_file_that_is_no_script_is_told(tmp_path):
    """A broken script is an error, not an empty mind."""
    (tmp_path / "x").write_text("{")
    with pytest.raises(msgspec.DecodeError):
        script.load(tmp_path / "x")


def test_the_agent_finds_the_command_in_the_text():
    """A generated text carries a thought and one action; the agent takes the action alone."""
    assert script.command(script.content(Turn("I think.", "echo 'a\nb'"))) == "echo 'a\nb'"
    assert script.command(script.content(Turn("Enough.", None))) is None


@pytest.mark.parametrize("text", ["", "just talk", "x\n[1]", "x\n" + json.dumps({"command": 5})])
def test_a_text_without_an_action_ends_the_work(text):
    """A model that says something else has nothing to execute."""
    assert script.command(text) is None
