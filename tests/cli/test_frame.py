"""The picture fits every terminal, whatever is in it, and what matters most is in it."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from support.standings import NOW, case, status, told

from replguard.cli._frame import View, ago, frame, size, sparkline, wrong
from replguard.events.alert import LEVELS
from replguard.events.overview import Served, Stream, Way
from replguard.standing import SensorLine

KEYS = "q quit"
HOSTILE = st.text(
    st.sampled_from("ab漢字ｱ🦙👩‍👩‍👧é\u0301\u202e\x1b[2J\x07\x9b\n\r\t\ufeff\u200b[red]{}%`"), max_size=90
)  # fmt: skip


def drawn(view: View, width: int = 80, height: int = 24) -> list[str]:
    """Return the lines that a terminal of this size shows."""
    console = Console(width=width, height=height, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(frame(view, width, height), width=width, height=height)
    return captured.get().removesuffix("\n").split("\n")


def shown(view: View, width: int = 80, height: int = 24) -> str:
    """Return the same as one text, blanks made one."""
    return "\n".join(" ".join(line.split()) for line in drawn(view, width, height))


def test_an_idle_daemon_at_80_by_24() -> None:
    """Sensors with rates, what serves, sinks and log stand on one screen, keys on the last line."""
    view = View(NOW, status(), rates={"exec": [0.0, 5.0, 10.0]}, keys=KEYS)
    lines = drawn(view)
    assert len(lines) == 24
    assert lines[-1].strip() == KEYS
    text = shown(view)
    assert text.startswith("replguard 0.1.0 · pid 7 · since")
    assert "90.0 MiB · cpu 1.5%" in text
    assert "exec kernel 1,234 ▁▅█ 1.2% 0" in text
    for words in ("chat-70b 1 2", "sink jsonl: 12 sent", "log raw: 3.0 MiB", "log sealed 7 min ago", "off: gpu"):
        assert words in text
    assert "no open incidents" in text


def test_an_incident_with_its_commands() -> None:
    """The chosen one is marked without colour too, and its commands are whole, over as many lines as it takes."""
    command = 'test "$(date -d "$(LC_ALL=C ps -o lstart= -p 4242)" +%s)" -le 1732707000 && kill -STOP 4242'
    cases = (case(1), case(2, contain=(command, "systemctl freeze -- a.service")))
    view = View(NOW, status(cases=cases, incidents=2, alerts=(told(),)), chosen=1, opened=True, keys=KEYS)
    text = shown(view)
    assert "> critical 3 min ×4 An agent copied chat-70b to /srv/x." in text
    assert "latest alerts" not in text
    assert command in "".join(line.rstrip() if len(line.rstrip()) < 80 else line for line in drawn(view))
    assert "systemctl freeze -- a.service" in text


def test_what_is_wrong_stands_above_all() -> None:
    """A failed sensor, a second server that is not allowed, a sink that takes nothing, a loss."""
    sensors = [SensorLine(f"s{n}", "file", "failed" if n == 9 else "kernel", None, None) for n in range(10)]
    now = status(
        sensors=sensors,
        problems=["manifest.yaml:3: unknown key"],
        instances=(Served("chat", 1, 1, 0), Served("llama", None, 1, 1)),
        sinks={"hook": Way(1, 5, 2, "connection refused")},
        cases=tuple(case(n) for n in range(50)),
        incidents=70,
    )
    text = shown(View(NOW, now, keys=KEYS))
    assert "failed: s9 (the journal says why)" in text
    assert "manifest.yaml:3: unknown key" in text
    assert "sink hook: connection refused" in text
    assert "s9 failed" in text, "it is among those that have room"
    assert "llama 1 1 NOT ALLOWED" in text
    assert "sink hook: 2 LOST, 5 waiting" in text
    assert "70 open incidents" in text
    assert "more" in text
    assert KEYS in text


def test_a_daemon_that_is_gone_or_hangs() -> None:
    """What was known last stays, below why there is nothing newer."""
    text = shown(View(NOW, status(), trouble="not running since 03:04:05"))
    assert "not running since 03:04:05" in text
    assert "exec kernel" in text
    assert "not running" in shown(View(NOW, None, trouble="not running with this configuration"))
    assert "has not told its state for 90 s" in shown(View(NOW + timedelta(seconds=90), status()))


def test_what_counts_as_wrong() -> None:
    """Not running, silent for more than half a minute, a failed sensor; not one that is off."""
    assert not wrong(status(), NOW + timedelta(seconds=29))
    assert wrong(status(), NOW + timedelta(seconds=31))
    assert wrong("not running", NOW)
    assert wrong(status(sensors=[SensorLine("exec", "process", "failed", None, None)]), NOW)


def test_a_daemon_of_before_has_no_overview() -> None:
    """It tells less, and what it tells is shown."""
    old = msgspec.structs.replace(status(), overview=None, problems=["a problem"])
    assert "a problem" in shown(View(NOW, old))


@given(
    st.integers(1, 200), st.integers(1, 60), HOSTILE, st.sampled_from((0, 1, 3, 50)),
    st.sampled_from((None, 0, 2)), st.booleans(), st.sampled_from(("", KEYS)),
)  # fmt: skip
def test_it_never_overflows(width, height, text, count, chosen, opened, keys) -> None:
    """No line is wider than the terminal, there are no more than it has, and no character moves the cursor."""
    now = status(
        problems=[text] * min(count, 5),
        cases=tuple(case(n, LEVELS[n % 5], text, actor=text, contain=(text, text)) for n in range(count)),
        incidents=count,
        alerts=tuple(told(text, "resolved" if n % 2 else "firing") for n in range(min(count, 20))),
        instances=tuple(Served(text, n or None, 10**6, n) for n in range(count)),
        sinks={text: Way(10**9, 10**9, 10**9, text)},
        log={text: Stream(None, 10**12, text)},
        sensors=[SensorLine(text, "file", "failed", text, text) for _ in range(count)],
        evicted={text: 10**9},
    )
    view = View(NOW, now, text or None, {text: [1.0, 2.0]}, chosen if count else None, opened and count > 2, keys=keys)
    lines = drawn(view, width, height)
    assert len(lines) <= height
    for line in lines:
        assert cell_len(line) <= width
        assert line.isprintable() or not line.replace("\u0301", "").strip()


@pytest.mark.parametrize(("width", "height"), [(20, 5), (40, 10), (60, 14), (80, 24), (120, 40), (200, 60)])
def test_what_is_gravest_is_there_at_any_size(width: int, height: int) -> None:
    """That there is an incident is told even where there is hardly any room."""
    view = View(NOW, status(cases=(case(),), incidents=1, alerts=(told(),)), keys=KEYS)
    assert "1 open incident" in shown(view, width, height)


def test_words() -> None:
    """Bars are of the highest value, ages and sizes in the unit that a person would choose."""
    assert sparkline([], 5) == ""
    assert sparkline([0.0, 0.0], 5) == ""
    assert sparkline([9.0, 0.0, 1.0, 2.0], 3) == "▁▅█"
    ages = {0: "0 s", 59: "59 s", 60: "1 min", 7200: "2 h", 90_000: "1 d"}
    assert {seconds: ago(NOW, NOW - timedelta(seconds=seconds)) for seconds in ages} == ages
    assert ago(NOW, NOW + timedelta(seconds=9)) == "0 s", "the clock was set back"
    amounts = {None: "?", 0: "0 B", 1000: "1000 B", 1024: "1.0 KiB", 5 * 2**20: "5.0 MiB", 2**40: "1024.0 GiB"}
    assert {amount: size(amount) for amount in amounts} == amounts
