import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.making import alert

from replguard.sinks.template import FORM, Template, fields, markdown

JSON = "application/json"


def test_fields_are_those_of_the_alert():
    """Placeholders are the dotted names that the file of alerts has."""
    assert {"message", "rule.level", "replguard.actor.name", "process.parent.executable"} <= fields()


def test_json_text_and_structure():
    """A template is JSON as text or as YAML wrote it; a place alone keeps its type, missing is null or nothing."""
    template = {
        "text": "${rule.level}: ${message}",
        "n": "${event.severity}",
        "x": "${destination.ip}",
        "y": ["<${destination.ip}>"],
    }
    for given_ in (template, json.dumps(template)):
        made = json.loads(Template(given_, JSON).fill(alert(1)))
        assert made == {"text": f"high: {alert(1).message}", "n": 73, "x": None, "y": ["<>"]}


@given(st.text())
def test_no_string_leaves_its_place(evil):
    """Whatever the message holds, the body keeps its form: JSON, form or text."""
    one = replace(alert(1), message=evil.encode("utf-8", "replace").decode())
    assert list(json.loads(Template({"a": "x ${message} y", "b": "${message}"}, JSON).fill(one))) == ["a", "b"]
    assert set(parse_qs(Template("a=${message}&b=1", FORM).fill(one).decode())) <= {"a", "b"}
    assert Template("${message}", "text/plain").fill(one).decode().isprintable()


def test_filled_text_is_not_filled_again():
    """A place that an attacker writes into a name stays text."""
    one = replace(alert(1), message="${rule.id}")
    assert json.loads(Template({"a": "${message}"}, JSON).fill(one)) == {"a": "${rule.id}"}


def test_markdown_is_defused():
    """Mentions, links and formatting of an attacker are shown as text."""
    assert markdown("@everyone [x](http://y) *b* <!channel>\n") == (
        "@\u200beveryone \\[x\\]\\(http://y\\) \\*b\\* &lt;\\!channel&gt;\\\\n"
    )
    body = Template({"text": "*${message}*"}, JSON, "markdown").fill(replace(alert(1), message="@here"))
    assert json.loads(body) == {"text": "*@\u200bhere*"}


@pytest.mark.parametrize(
    ("given_", "kind", "text"),
    [
        ("{", JSON, "not JSON"),
        ({"a": 1}, "text/plain", "must be a text"),
        ("${mesage}", "text/plain", "did you mean 'message'"),
        ({"a": "${}"}, JSON, "a place without name"),
        ("[" * 100_000, "application/x+json", "not JSON"),
    ],
)
def test_faults_are_told(given_, kind, text):
    """A template that cannot work is an error when the configuration is read."""
    with pytest.raises(ValueError, match=text):
        Template(given_, kind)


def test_words_of_the_far_end():
    """A value that has another word there is told in that; any other stays, and a field that no alert has is told."""
    words = {"rule.level": {"high": "error"}, "replguard.state": {"firing": "trigger"}}
    template = Template({"a": "${rule.level}", "b": "it is ${replguard.state}!", "c": "${message}"}, JSON, words=words)
    assert json.loads(template.fill(alert(1))) == {"a": "error", "b": "it is trigger!", "c": alert(1).message}
    assert json.loads(template.fill(alert(1, "critical", state="resolved")))["a"] == "critical"
    with pytest.raises(ValueError, match=r"did you mean 'rule\.level'"):
        Template({}, JSON, words={"rule.lvel": {}})


@given(st.text(min_size=1), st.integers(0, 300))
def test_no_value_is_longer_than_the_far_end_takes(evil, times):
    """However long a path is made, and whatever of it has to be escaped: what fills a place keeps the limit."""
    one = replace(alert(1), message=(evil * times).encode("utf-8", "replace").decode())
    assert len(json.loads(Template({"a": "${message}"}, JSON, limit=100).fill(one))["a"]) <= 100
