"""Who only looks whether a server answers asks no model anything; whatever may carry a question does."""

import pytest

from replguard.events.process import Process
from replguard.provenance.probes import only_looks

URL = "http://127.0.0.1:8000"


def process(line: str) -> Process:
    words = tuple(line.split())
    return Process(pid=7, entity_id="x", executable=f"/usr/bin/{words[0]}", args=words)


@pytest.mark.parametrize(
    "line",
    [
        f"curl {URL}", f"curl -sf {URL}/health", f"curl -fsSL -m 5 {URL}/healthz", f"curl -sm5 {URL}/v1/models",
        f"curl -s -o /dev/null -w %{{http_code}} {URL}/v2/health/ready", f"curl -so /dev/null {URL}/metrics",
        f"curl --silent --fail --retry 30 --retry-connrefused --max-time=2 {URL}/health", f"curl -I {URL}/",
        "curl -s localhost:8000/health", f"curl -s [::1]:8000/health {URL}/ping", f"wget -qO- {URL}/health",
        f"wget -q --spider --tries=3 -T 2 {URL}/api/tags", f"wget -nv -O /dev/null {URL}",
    ],
)  # fmt: skip
def test_a_fetch_is_a_look(line):
    """With the options that only say how."""
    assert only_looks(process(line))


@pytest.mark.parametrize(
    "line",
    [
        "curl", "curl -s", "curl -V", f"curl -d hello {URL}/v1/completions", f"curl -sd@- {URL}",
        f"curl --json {{}} {URL}",
        f"curl --data-binary @q {URL}", f"curl -X POST {URL}", f"curl -sXPOST {URL}", f"curl -F a=b {URL}",
        f"curl -T q {URL}", f"curl -K asked {URL}", f"curl -H X-Ask:what {URL}", f"curl -A what-now {URL}",
        f"curl -u what:now {URL}", f"curl -b a=b {URL}", f"curl {URL}/?prompt=what", f"curl {URL}/what%20now",
        f"curl -G --data-urlencode p=what {URL}", f"curl -x {URL} {URL}", f"curl {URL}/{'a' * 65}",
        "curl http://what:now@127.0.0.1:8000/", f"wget --post-data=what {URL}", f"wget --post-file q {URL}",
        f"wget --header=x:y {URL}", f"wget -i asked {URL}", f"wget --method=POST {URL}", f"python3 {URL}",
        f"curl -o {URL}", f"curl --output {URL}", f"curl --silent=what {URL}", f"curl -- {URL}",
    ],
)  # fmt: skip
def test_what_may_carry_a_question_is_none(line):
    """A body, a query, a header, a file of options, or an option that nobody knows."""
    assert not only_looks(process(line))


def test_who_is_only_called_so_is_none():
    """A program of another place, or one of which nothing is known."""
    assert not only_looks(Process(pid=7, entity_id="x", executable="/tmp/curl", args=("curl", URL)))
    assert not only_looks(Process(pid=7, entity_id="x", name="curl"))
