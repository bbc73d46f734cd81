"""Every fact has its actor, its keys and its time in the same way."""

from support.story import HELD, START, Host

from replguard.events.event import Event, Meta
from replguard.events.fact import Authorised, Context
from replguard.events.file import File
from replguard.events.process import Process
from replguard.provenance import actors
from replguard.provenance.facts import fact, relabelled


def cause(**sections: object) -> Event:
    return Event(timestamp=START, event=Meta(action="file_open", provider="file"), **sections)


def test_a_fact_keeps_time_and_sections_of_its_cause() -> None:
    """What happened, when, and by which tier; the kind says that it was derived."""
    host = Host()
    cp = host.exec("cp", parent=host.login())
    context = Context(tier="portable", attribution="lineage", read_time=True)
    made = fact("weights_access", cause(process=cp.process, file=File(path="/w"), replguard=context), cp, model="llama")
    assert (made.action, made.event.kind, made.event.provider) == ("weights_access", "enrichment", "provenance")
    assert (made.timestamp, made.file) == (START, File(path="/w"))
    assert made.replguard is not None
    assert (made.replguard.tier, made.replguard.read_time, made.replguard.model) == ("portable", True, "llama")
    assert made.process is not None
    assert made.process.entity_id == cp.entity


def test_a_fact_may_be_anothers() -> None:
    """The process of the cause is not the fact's when another acted, not even by the same pid."""
    host = Host()
    shell = host.login()
    cp = host.exec("cp", "x y", parent=shell)
    made = fact("agent_seen", cause(process=cp.process, replguard=HELD), shell)
    assert made.process is not None
    assert (made.process.pid, made.process.args) == (shell.pid, ("bash",))
    reused = Process(pid=shell.pid, entity_id="another", args=("other",))
    made = fact("agent_seen", cause(process=reused, replguard=HELD), shell)
    assert made.process is not None
    assert (made.process.entity_id, made.process.args) == (shell.entity, ("bash",))


def test_a_fact_of_nobody() -> None:
    """Nobody acted, or nobody was seen: the actor is unknown, what the cause names is kept."""
    made = fact("weights_copy", cause(file=File(path="/w"), process=Process(pid=5)), None, attribution="unknown")
    assert made.process == Process(pid=5)
    assert made.replguard is not None
    assert (made.replguard.actor, made.replguard.attribution) == (actors.NOBODY, "unknown")


def test_a_given_file_and_attribution_win() -> None:
    """A fact may be about another file than its cause, and surer or less sure of its actor."""
    host = Host()
    cp = host.exec("cp", parent=host.login())
    given = cause(file=File(path="/a"), process=cp.process, replguard=HELD)
    made = fact("weights_copy", given, cp, file=File(path="/b"), attribution="inferred")
    assert made.file == File(path="/b")
    assert made.replguard is not None
    assert made.replguard.attribution == "inferred"


def test_a_label_comes_later() -> None:
    """Actor, lineage and what allows it are asked anew; all else stays."""
    host = Host()
    main = host.service("vllm")
    cp = host.exec("cp", parent=main)
    allowed = Authorised(by="baseline", entry="unit:vllm.service")
    known = fact("weights_access", cause(process=cp.process, replguard=HELD), cp, authorised=allowed, model="llama")
    main.confirmed_agent = True
    made = relabelled(known, cp, generation=2)
    assert known.replguard is not None
    assert made.replguard is not None
    assert known.replguard.actor is not None
    assert made.replguard.actor is not None
    assert (known.replguard.actor.standing, known.replguard.lineage) == ("allowed", (cp.entity,))
    assert (made.replguard.actor.standing, made.replguard.lineage) == ("agent", (cp.entity, main.entity))
    assert made.replguard.authorised is None
    assert made.replguard.relabelled
    assert (made.replguard.model, made.replguard.generation, made.timestamp) == ("llama", 2, START)
