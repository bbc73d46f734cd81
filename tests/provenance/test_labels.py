"""A lineage that is confirmed as an agent gets its label, and so does what it did before."""

from datetime import timedelta

from support.story import Host

ORIGIN = "/models/llama/w.safetensors"


def test_a_copy_made_before_the_label_is_fed_again_with_it() -> None:
    """At the first feeding nobody knew that it was an agent; at the second its level is the agent's."""
    host = Host()
    weights = host.protect()
    host.server(weights)
    agent = host.exec("python3", "agent.py", parent=host.login())
    cp = host.exec("cp", f"{ORIGIN} /srv/x", parent=agent)
    host.copy(weights, "/srv/x", cp)
    host.exit(cp)
    before = host.of("weights_copy")
    assert [f.replguard.actor.agent for f in before] == [False]
    host.turn(agent)
    host.turn(agent)
    after = host.of("weights_copy")[len(before) :]
    assert [f.replguard.actor.agent for f in after] == [True]
    assert [f.replguard.relabelled for f in after] == [True]
    assert after[0].file == before[0].file


def test_nothing_is_fed_a_third_time() -> None:
    """One label, one feeding: more turns change nothing."""
    host = Host()
    weights = host.protect()
    host.server(weights)
    agent = host.exec("python3", "agent.py", parent=host.login())
    host.copy(weights, "/srv/x", host.exec("cp", f"{ORIGIN} /srv/x", parent=agent))
    for _ in range(4):
        host.turn(agent)
    assert len(host.of("weights_copy")) == 2


def test_facts_older_than_two_hours_stay_as_they_were() -> None:
    """What is too old to be part of the sequence is not told again."""
    host = Host()
    weights = host.protect()
    host.server(weights)
    agent = host.exec("python3", "agent.py", parent=host.login())
    host.copy(weights, "/srv/x", host.exec("cp", f"{ORIGIN} /srv/x", parent=agent))
    host.wait(timedelta(hours=2, minutes=1).total_seconds())
    host.turn(agent)
    host.turn(agent)
    assert len(host.of("weights_copy")) == 1


def test_a_connection_elsewhere_labels_nobody() -> None:
    """A client of an ordinary server is no agent, however often it asks."""
    host = Host()
    client = host.exec("python3", "client.py", parent=host.login())
    for _ in range(4):
        host.connect(client, 9999)
        host.exec("ls", parent=client)
    assert host.of("agent_seen") == []


def test_what_is_kept_for_a_label_is_bounded() -> None:
    """The newest facts are kept, as many as fit."""
    host = Host()
    weights = host.protect()
    kept = host.provenance.labels._recent
    assert kept.maxlen is not None
    for number in range(4):
        host.copy(weights, f"/srv/{number}", host.exec("cp", f"{ORIGIN} /srv/{number}", parent=host.login()))
    assert 0 < len(kept) <= kept.maxlen


def test_only_what_was_answered_may_drive_anybody() -> None:
    """A port that is probed, and a connection on which nothing came back, are no turns; the reply itself is one."""
    host = Host()
    host.server(host.protect())
    client = host.exec("python3", "client.py", parent=host.login())
    told = (("refused", None), ("failed", None), ("established", 0))
    for status, received in told * 2:
        host.answer(client, 8000, status, received)
        host.exec("ls", parent=client)
    assert host.of("agent_seen") == []
    for _ in range(2):
        host.answer(client, 8000, "established", 0)
        host.answer(client, 8000, "reply", 6)
        host.exec("ls", parent=client)
        host.exec("ls", parent=client)
    assert [f.replguard.status for f in host.of("agent_seen")] == ["suspected", "confirmed"]


def test_where_nobody_knows_of_answers_each_connection_counts() -> None:
    """An old kernel tells that a connection was established, and not what came back."""
    host = Host()
    host.server(host.protect())
    client = host.exec("python3", "client.py", parent=host.login())
    host.answer(client, 8000, "established", None)
    host.exec("ls", parent=client)
    assert [f.replguard.status for f in host.of("agent_seen")] == ["suspected"]
