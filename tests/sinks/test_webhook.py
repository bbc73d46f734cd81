import json

import pytest
from support.making import alert, kept

from replguard.events import wire
from replguard.sinks.webhook import Settings
from replguard.sinks.webhook import open as open_sink


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


def test_faults_are_told_at_once():
    """A URL or a template that cannot work never becomes a sink."""
    for settings in (Settings(url="file:///x"), Settings(url="http://x", template="{")):
        with pytest.raises(ValueError, match=r"."):
            open_sink(settings)
