import io
import sys

import pytest
from msgspec.structs import replace
from rich.console import Console as Terminal
from support.making import alert

from replguard.events import wire
from replguard.sinks.console import Console, Settings, line, shown
from replguard.sinks.console import open as open_sink


def sent(one, *, as_json=False):
    stream = io.StringIO()
    Console(stream, as_json=as_json).send(one)
    return stream.getvalue()


def test_json_lines():
    """With --json each alert is one object on one line."""
    text = sent(alert(1), as_json=True)
    assert wire.alert(text) == alert(1)
    assert text.count("\n") == 1


def test_a_plain_line_in_a_pipe():
    """Without a terminal an alert is one line that begins with time and level."""
    text = sent(alert(1, "critical", count=3))
    assert text.startswith("2026-03-01T03:00:00Z CRITICAL ×3 Agent python3 (pid 4711, uid 1000) through cp")
    assert text.endswith(" [Weights copied]\n")
    assert line(alert(1, state="resolved")).startswith("2026-03-01T03:00:00Z RESOLVED HIGH Agent")


def terminal(one):
    stream = io.StringIO()
    Terminal(file=stream, force_terminal=True, markup=False, emoji=False, highlight=False, soft_wrap=True).print(
        shown(one)
    )
    return stream.getvalue()


def test_a_terminal_gets_what_to_do():
    """On a terminal the level, the sentence, the ids and the first command are shown."""
    text = shown(alert(1, "critical")).plain
    assert " critical " in text
    assert "copied model chat-70b" in text
    assert "incident incident-1" in text
    assert "contain: test " in text
    assert "contain" not in shown(alert(1, state="resolved")).plain
    assert "\x1b[" in terminal(alert(1))


@pytest.mark.parametrize(
    "evil", ["[red]x[/red]", ":smile:", "[link=file:///etc]y[/link]", "\x1b]8;;http://x\x1b\\", "\n\r\x9b2J"]
)
def test_nothing_is_interpreted(evil):
    """Markup, emoji names and escapes of an attacker are shown as they are or escaped."""
    one = alert(1, target=f"/tmp/{evil}")
    one = replace(one, rule=replace(one.rule, name=evil), message=one.message + evil)
    shown_ = terminal(one)
    for code in ("\x1b]", "\x9b", "\r"):
        assert code not in shown_
    assert sent(one).count("\n") == 1
    if evil.isprintable():
        assert evil in shown_
        assert evil in sent(one)


def test_standard_output(capsys, monkeypatch):
    """The sink of the configuration writes to standard output."""
    (sink,) = open_sink(Settings(json=True))
    sink.send(alert(1))
    assert sink._stream is sys.stdout
    assert wire.alert(capsys.readouterr().out) == alert(1)
