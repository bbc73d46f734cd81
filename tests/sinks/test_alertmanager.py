import json
from datetime import datetime, timedelta

import pytest
from support.making import alert

from replguard.events import clock
from replguard.sinks import alertmanager as module
from replguard.sinks.alertmanager import Settings, payload
from replguard.sinks.alertmanager import open as open_sink
from replguard.sinks.base import Rejected


@pytest.fixture
def time(monkeypatch):
    """Return a list whose only item is the time in seconds."""
    seconds = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(
        clock, "now", lambda: datetime(2026, 3, 1, tzinfo=alert(1).timestamp.tzinfo) + timedelta(seconds=seconds[0])
    )
    return seconds


def bodies(server):
    found = [json.loads(body) for body in server.bodies]
    server.bodies.clear()
    return [[(a["labels"]["severity"], ends(a)) for a in body] for body in found]


def ends(sent):
    left = datetime.fromisoformat(sent["endsAt"]) - clock.now()
    return "fires" if left > timedelta(0) else "ended"


def test_form():
    """Labels tell the alert apart and hold no pid or path; annotations explain it."""
    made = payload(alert(1), {"team": "ml", "severity": "mine"})
    assert made["labels"] == {
        "team": "ml",
        "severity": "high",
        "alertname": "Weights copied",
        "rule": "r1",
        "alert": alert(1).event.id,
        "incident": "incident-1",
        "model": "chat-70b",
        "instance": "gpu1",
    }
    assert made["annotations"]["summary"] == alert(1).message
    assert made["startsAt"] == "2026-03-01T03:00:00+00:00"


def test_firing_is_sent_again_each_minute(server, time):
    """An alert is posted at once, then each minute while it fires, then for five minutes as ended."""
    (sink,) = open_sink(Settings(urls=(server.url,)))
    assert sink.pause() is None
    sink.send(alert(1))
    assert server.paths == ["/hook/api/v2/alerts"]
    assert bodies(server) == [[("high", "fires")]]
    sink.idle()
    assert bodies(server) == []
    assert sink.pause() == module.RESEND
    for _ in range(2):
        time[0] += 60
        sink.idle()
        assert bodies(server) == [[("high", "fires")]]
    sink.send(alert(1, state="resolved"))
    assert bodies(server) == [[("high", "ended")]]
    for _ in range(5):
        time[0] += 60
        sink.idle()
        assert bodies(server) == [[("high", "ended")]]
    time[0] += 60
    sink.idle()
    assert bodies(server) == []
    assert sink.pause() is None


def test_a_higher_level_ends_the_lower(server, time):
    """The same alert at another level is another one there; the old one is ended with it."""
    (sink,) = open_sink(Settings(urls=(server.url,)))
    sink.send(alert(1, "high"))
    sink.send(alert(1, "critical"))
    assert bodies(server)[1] == [("critical", "fires"), ("high", "ended")]
    sink.send(alert(1, "critical", state="resolved"))
    assert bodies(server) == [[("critical", "ended")]]


def test_every_member_is_a_sink(server):
    """Each member of a cluster has its own queue, so that one that is away delays none."""
    assert len(open_sink(Settings(urls=(server.url, "http://127.0.0.1:9")))) == 2
    for urls in ((), ("ftp://x",)):
        with pytest.raises(ValueError, match=r"."):
            open_sink(Settings(urls=urls))


def test_what_is_refused_is_not_sent_again(server, time):
    """An alert that is refused does not spoil the later posts of the others."""
    (sink,) = open_sink(Settings(urls=(server.url,)))
    sink.send(alert(1))
    server.codes = [400]
    with pytest.raises(Rejected):
        sink.send(alert(2))
    bodies(server)
    time[0] += 60
    sink.idle()
    assert bodies(server) == [[("high", "fires")]]


def test_an_outage_is_made_up_for(server, time):
    """While a member is away the error is raised for a retry, and what fires is sent when it is back."""
    (sink,) = open_sink(Settings(urls=(server.url,)))
    server.codes = [500]
    with pytest.raises(OSError, match="500"):
        sink.send(alert(1))
    sink.send(alert(1))
    time[0] += 60
    server.codes = [503]
    with pytest.raises(OSError, match="503"):
        sink.idle()
    time[0] += 60
    sink.idle()
    assert bodies(server) == [[("high", "fires")], [("high", "fires")]]


def test_bounded(server, time, monkeypatch):
    """More than the limit of firing alerts are not kept."""
    monkeypatch.setattr(module, "MOST", 3)
    (sink,) = open_sink(Settings(urls=(server.url,)))
    for number in range(5):
        sink.send(alert(number))
    time[0] += 60
    server.bodies.clear()
    sink.idle()
    assert len(bodies(server)[0]) == 3


def test_a_header_may_stand_in_a_file(server, tmp_path):
    """Read at each post; one that is not there is a fault."""
    (tmp_path / "token").write_text("Bearer x\n")
    (tmp_path / "token").chmod(0o600)
    url = server.url.removesuffix("/hook")
    (sink,) = open_sink(Settings(urls=(url,), headers_file={"Authorization": str(tmp_path / "token")}))
    sink.check()
    sink.send(alert(1))
    assert server.headers[0]["Authorization"] == "Bearer x"
    (tmp_path / "token").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        sink.check()
