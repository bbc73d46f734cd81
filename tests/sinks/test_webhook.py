import json
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.making import alert, kept

from replguard import config
from replguard.events import wire
from replguard.sinks import Sinks, validate
from replguard.sinks.webhook import Settings
from replguard.sinks.webhook import open as open_sink

ROOT = Path(__file__).resolve().parents[2]


def test_the_whole_alert_by_default(server):
    """Without a template the body is the alert, as in the file."""
    (sink,) = open_sink(Settings(url=server.url))
    sink.send(alert(1))
    assert wire.alert(server.bodies[0]) == alert(1)
    assert server.headers[0]["Content-Type"] == "application/json"
    assert server.headers[0]["User-Agent"].startswith("replguard/")


def test_a_template_and_headers(server):
    """A template gives the body, and headers are added."""
    (sink,) = open_sink(
        Settings(
            url=server.url, template={"text": "${rule.level} on ${host.name}"}, headers={"Authorization": "Bearer x"}
        )
    )
    sink.send(alert(1))
    assert json.loads(server.bodies[0]) == {"text": "high on gpu1"}
    assert server.headers[0]["Authorization"] == "Bearer x"


def test_checkpoints_where_they_are_asked_for(server):
    """They are posted as they are, also where alerts have a template; by default a far end gets alerts alone."""
    assert not open_sink(Settings(url=server.url))[0].checkpoints
    (sink,) = open_sink(Settings(url=server.url, template={"text": "${message}"}, checkpoints=True))
    assert sink.checkpoints
    sink.keep(kept(4))
    assert json.loads(server.bodies[0])["checkpoint"]["size"] == 4


def shown(example, server, one):
    """Return what the far end gets of an alert, by the settings that the documents show."""
    path = ROOT / "docs/examples/webhook" / example
    settings = config.load(path).sinks
    assert validate(settings) == []
    assert settings["webhook"]["url"].startswith("https://")
    sinks = Sinks({"webhook": settings["webhook"] | {"url": server.url}}, lambda _: None)
    sinks.start()
    sinks.deliver(one)
    sinks.stop(5)
    return json.loads(server.bodies.pop()) if server.bodies else None


def hostile(**about):
    """Return an alert whose sentence holds all that a far end could take for more than text."""
    return replace(alert(1, **about), message='<!channel> <@U1> *x* `y` :skull: \n"}, ' + "/a" * 3000)


def test_the_example_for_slack(server):
    """What an attacker chose stands in plain text, which Slack shows as it is; a low alert is not sent."""
    body = shown("slack.yaml", server, hostile())
    assert body["text"] == "🟠 HIGH: Weights copied on gpu1"
    section, context = body["blocks"]
    assert (section["type"], section["text"]["type"], section["text"]["emoji"]) == ("section", "plain_text", False)
    assert section["text"]["text"].startswith("<!channel> <@U1> *x* `y` :skull: \\n")
    assert len(section["text"]["text"]) <= 3000
    assert "chan" not in body["text"] + json.dumps(context)
    assert all(part["type"] == "plain_text" for part in context["elements"])
    assert "(resolved)" in shown("slack.yaml", server, alert(1, state="resolved"))["text"]
    assert shown("slack.yaml", server, alert(1, "low")) is None


def test_the_example_for_pagerduty(server):
    """It begins and ends one incident, in PagerDuty's words, and its summary is never too long."""
    begun, ended = (
        shown("pagerduty.yaml", server, hostile()),
        shown("pagerduty.yaml", server, alert(1, state="resolved")),
    )
    assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert begun["dedup_key"] == ended["dedup_key"] == f"replguard-{alert(1).event.id}"
    assert len(begun["routing_key"]) == 32
    about = begun["payload"]
    assert about["severity"] == "error"
    assert shown("pagerduty.yaml", server, alert(1, "critical"))["payload"]["severity"] == "critical"
    assert len(about["summary"]) <= 1024
    assert about["source"] == "gpu1"
    assert datetime.fromisoformat(about["timestamp"]) == alert(1).timestamp
    assert shown("pagerduty.yaml", server, alert(1, "medium")) is None


def test_faults_are_told_at_once():
    """A URL or a template that cannot work never becomes a sink."""
    for settings in (Settings(url="file:///x"), Settings(url="http://x", template="{")):
        with pytest.raises(ValueError, match=r"."):
            open_sink(settings)


def test_secrets_come_from_files_and_may_change(server, tmp_path):
    """URL and header are read at each post; neither stands in the configuration, nor in what is told of a fault."""
    url, token = tmp_path / "url", tmp_path / "token"
    url.write_text(f"{server.url}\n")
    token.write_text("Bearer first\n")
    for path in (url, token):
        path.chmod(0o600)
    settings = {"url_file": str(url), "headers_file": {"Authorization": str(token)}}
    assert validate({"webhook": settings}) == []
    (sink,) = open_sink(Settings(**settings))
    sink.send(alert(1))
    token.write_text("Bearer second\n")
    sink.send(alert(2))
    assert [each["Authorization"] for each in server.headers] == ["Bearer first", "Bearer second"]
    url.write_text("hidden-words")
    with pytest.raises(OSError, match="holds no URL") as told:
        sink.send(alert(3))
    assert "hidden" not in str(told.value)
    assert ["holds no URL" in each and "hidden" not in each for each in validate({"webhook": settings})] == [True]
    token.unlink()
    with pytest.raises(OSError, match="holds no URL"):
        sink.send(alert(3))


def test_one_way_to_say_the_url(tmp_path):
    """Neither is a fault, and so are both."""
    for settings in ({}, {"url": "http://a", "url_file": "b"}):
        assert validate({"webhook": settings}) == ["sinks.webhook: needs one of 'url' and 'url_file'"]


def test_a_secret_that_is_not_there_yet_is_waited_for(server, tmp_path):
    """The sink is made all the same: the alert is sent once the file is there."""
    sinks = Sinks({"webhook": {"url_file": str(tmp_path / "url")}}, lambda _: None)
    sinks.start()
    sinks.deliver(alert(1))
    (tmp_path / "url").write_text(server.url)
    assert server.came.acquire(timeout=20)
    sinks.stop(5)
    assert wire.alert(server.bodies[0]) == alert(1)
