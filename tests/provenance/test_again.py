"""Another manifest's word on recorded facts: the same as it would have been when they were told."""

from typing import Any

import pytest
from support.story import Host

from replguard.events.event import Event
from replguard.provenance.again import judged
from replguard.provenance.baseline import Baseline
from replguard.provenance.manifest import Deployment, Job, Manifest

CHAT = Deployment(name="chat", unit="vllm.service", weights=("/models",), max_instances=2)
BACKUP = Job(name="backup", user=1000, executable="/usr/bin/cp", may=("access", "copy"))


def story(manifest: Manifest) -> list[Event]:
    """Play a day of two services and a person, and return the facts."""
    host = Host(manifest)
    weights = host.protect()
    host.server(weights, 8000)
    host.server(weights, 8001)
    shell = host.login()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    host.copy(weights, "/srv/y", host.exec("rsync", parent=shell))
    return host.facts


def standing(facts: list[Event]) -> list[Any]:
    return [
        (f.action, r.status, r.actor and r.actor.standing, r.authorised, r.instance and r.instance.max_instances)
        for f in facts
        if (r := f.replguard) is not None
    ]


@pytest.mark.parametrize("now", [Manifest(), Manifest((CHAT,)), Manifest((), (BACKUP,)), Manifest((CHAT,), (BACKUP,))])
def test_a_replay_says_what_a_run_would_have_said(now: Manifest) -> None:
    """From whichever manifest it was recorded under to whichever it is asked with."""
    for before in (Manifest(), Manifest((CHAT,), (BACKUP,))):
        assert standing([judged(fact, now) for fact in story(before)]) == standing(story(now))


def test_more_than_are_allowed_are_over_the_limit() -> None:
    """And what was over it is live where there is room."""
    one = Manifest((Deployment(name="chat", unit="vllm.service", weights=("/models",)),))
    for before, now in ((one, Manifest((CHAT,))), (Manifest((CHAT,)), one)):
        again = [judged(fact, now) for fact in story(before) if fact.action == "server_live"]
        assert standing(again) == standing([fact for fact in story(now) if fact.action == "server_live"])


def test_the_baselines_word_stays() -> None:
    """It is no part of a manifest; and what is no fact stays as it is."""
    baseline = Baseline(None)
    baseline.open(Host().now, first_start=True)
    baseline.take("unit:vllm.service", "llama", 1, Host().now)
    host = Host(baseline=baseline)
    host.server(host.protect())
    assert standing([judged(fact, Manifest()) for fact in host.facts]) == standing(host.facts)
    raw = [event for event in host.events if event.event.kind != "enrichment"]
    assert raw
    assert [judged(event, Manifest((CHAT,))) for event in raw] == raw
