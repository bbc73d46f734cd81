"""What an allowed server answers at its own port, to its last byte, and no longer than it is allowed."""

import msgspec
import pytest
from support.leaving import FAR, LIMIT, told
from support.story import HELD, MIB, Host

from replguard.provenance.answers import MOST, Answers
from replguard.provenance.baseline import Baseline
from replguard.provenance.egress import SETTLES
from replguard.provenance.manifest import Deployment, Manifest


def test_the_last_bytes_of_a_server_are_answers_too():
    """The kernel adds up, so that they are told when it has ended; not what comes of the process much later."""
    entry = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service", ports=(8000,))
    host = Host(Manifest((entry,)))
    server = host.server(host.protect())
    host.send(server, MIB, own=8000)
    host.exit(server)
    assert told(host.send(server, 20 * LIMIT, own=8000)) == []
    assert told(host.send(server, LIMIT, own=8001)) == [(FAR, 50, "llama")]
    host.wait(60)
    assert told(host.send(server, LIMIT, own=8000)) == [(FAR, 100, "llama")]


def test_a_server_that_is_allowed_no_more_is_no_silence():
    """The entry is gone while it runs."""
    entry = Deployment(name="chat", weights=("/models/llama",), unit="vllm.service", ports=(8000,))
    host = Host(Manifest((entry,)))
    server = host.server(host.protect())
    assert told(host.send(server, LIMIT, own=8000)) == []
    host.provenance.authority.manifest = Manifest()
    host.tick()
    assert told(host.send(server, LIMIT, own=8000)) == [(FAR, 50, "llama")]


@pytest.mark.parametrize("allowed", ["manifest", "baseline", "nobody"])
def test_what_a_server_answered_that_was_known_late_and_ended_soon(allowed, tmp_path):
    """It answers, then its mapping is found by a look, and it is gone before the bytes are laid on anybody."""
    baseline = Baseline(tmp_path / "b.json")
    manifest = Manifest((Deployment(name="chat", weights=("/models/llama",), unit="vllm.service"),))
    host = Host(manifest if allowed == "manifest" else None, baseline=baseline)
    if allowed == "baseline":
        baseline.open(host.now, first_start=True)
    server, weights = host.service(), host.protect()
    host.listen(server, "0.0.0.0:8000")
    assert told(host.send(server, 2 * LIMIT, own=8000)) == []
    host.on("file_map", weights, server, replguard=msgspec.structs.replace(HELD, mode="map", read_time=True))
    assert host.of("server_live", "live")
    host.exit(server)
    host.wait(SETTLES.total_seconds())
    assert told(host.tick()) == ([(FAR, 100, "llama")] if allowed == "nobody" else [])


def test_what_was_heard_is_bounded():
    """Servers come and go for months; who was heard last is known longest."""
    host = Host(Manifest((Deployment(name="chat", weights=("/models/llama",), unit="vllm.service", ports=(8000,)),)))
    server = host.server(host.protect())
    answers = Answers(host.provenance.instances)
    host.send(server, MIB, own=8000)
    sent = host.events[-1]
    for number in range(MOST + 10):
        answers._heard[str(number), 8000] = sent.timestamp
    assert answers.given(sent, server)
    assert len(answers._heard) == MOST
    assert (server.entity, 8000) in answers._heard
