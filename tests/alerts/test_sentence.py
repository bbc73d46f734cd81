from support.making import AGENT, GIB, NOBODY, SERVICE, copy_fact, event, process, server_fact

from replguard.alerts.sentence import sentence
from replguard.events.fact import Actor, Authorised, Context
from replguard.events.file import File
from replguard.events.health import Health
from replguard.events.process import User


def said(*events):
    return sentence("Rule", events)


def test_an_agent_that_copies():
    """Who, through which program, which model, from where to where, how much and how."""
    assert said(copy_fact(1)) == (
        "Agent python3 (pid 4711, uid 1000) through cp (pid 4720) copied model chat-70b:"
        " /models/x.safetensors → /tmp/.cache/y (4.0 GiB, hard link)."
    )


def test_a_sequence_is_one_sentence():
    """A correlation tells its acts in order; who acts is named again only when it changes."""
    assert said(copy_fact(1), server_fact(2)) == (
        "Agent python3 (pid 4711, uid 1000) through cp (pid 4720) copied model chat-70b:"
        " /models/x.safetensors → /tmp/.cache/y (4.0 GiB, hard link),"
        " then agent python3 (pid 4711, uid 1000) through python3 (pid 5000) started a server of model chat-70b,"
        " listening on 127.0.0.1:8001 (generation 2, not authorised)."
    )


def test_a_guess_says_so():
    """What is only inferred is probable, and a writer that nobody saw is someone."""
    assert " probably copied model" in said(copy_fact(1, attribution="inferred"))
    assert said(copy_fact(1, actor=NOBODY)).startswith("Someone (writer not seen in the portable tier) copied model")


def test_services_and_sessions_are_named():
    """A principal that is no agent is told by its program and where that belongs."""
    assert said(copy_fact(1, actor=SERVICE)).startswith("cp (pid 4720, uid 1000) of service backup.service copied")
    session = Actor(kind="session", id="s", principal="session:1000", name="bash", pid=7, standing="session")
    assert said(copy_fact(1, actor=session)).startswith("cp (pid 4720, uid 1000) in a login session copied")
    nobodys = Actor(kind="unknown", id="u", principal="0:/usr/bin/cp", name="cp", pid=7, standing="unknown")
    assert said(copy_fact(1, actor=nobodys)).startswith("cp (pid 4720, uid 1000) of unknown origin copied")


def test_plain_events_carry_the_name_of_the_rule():
    """Where no fact says what it means, the rule does."""
    run = event("process_exec", 1, process=process(8, "/usr/bin/find", "find / -name *.gguf"), user=User(id=0))
    assert said(run, run) == "Rule: find (pid 8, uid 0) ran `find / -name *.gguf` (2 times)."


def test_what_others_did_is_not_counted_as_his():
    """Two programs that ran the same kind of thing: how often the last one did it."""
    find = event("process_exec", 1, process=process(8, "/usr/bin/find", "find /"), user=User(id=0))
    ps = event("process_exec", 2, process=process(9, "/usr/bin/ps", "ps aux"), user=User(id=0))
    assert said(find, find, ps) == "Rule: ps (pid 9, uid 0) ran `ps aux`."
    assert said(ps, find, find) == "Rule: find (pid 8, uid 0) ran `find /` (2 times)."
    assert said(find, ps, find, ps, find) == "Rule: find (pid 8, uid 0) ran `find /` (3 times)."


def test_facts_hide_the_events_around_them():
    """The evidence lists every event; the sentence tells the facts."""
    assert "ran" not in said(event("process_exec", 1, process=process()), copy_fact(2))


def test_long_sequences_stay_short():
    """The first act and the last three are told."""
    acts = [copy_fact(n, target=f"/t{n}", model=f"m{n}") for n in range(8)]
    text = said(*acts)
    assert [f"m{n}:" in text for n in range(8)] == [True, False, False, False, False, True, True, True]


def test_hostile_names_cannot_drive_a_terminal():
    """Newlines, escapes and bidirectional controls are shown, and long names are cut in their middle."""
    path = "/tmp/\n\x1b[2J\u202e" + "x" * 10_000 + "/end"
    text = said(copy_fact(1, target=path, model="m\nm", actor=AGENT))
    assert text.isprintable()
    assert "/tmp/\\n\\x1b[2J\\u202e" in text
    assert "/end" in text
    assert len(text) < 500


def test_our_own_trouble():
    """Health events are about replguard itself."""
    lost = event("sensor_health", 1, health=Health(component="file", state="loss", reason="the queue overflowed"))
    assert said(lost) == "Rule: replguard's file is loss: the queue overflowed."


def test_an_allowed_server_names_its_entry():
    """What allowed an instance is told."""
    fact = server_fact(1, authorised=Authorised(by="manifest", entry="chat"), generation=1)
    assert said(fact).endswith("(generation 1, allowed by chat).")


def test_a_part_by_content():
    """A share is told as such, and a rename is a move."""
    part = copy_fact(1, technique="copy", share=0.52)
    assert said(part).endswith("(4.0 GiB, 52% of it).")
    moved = copy_fact(1, technique="rename")
    assert " moved model chat-70b: /models/x.safetensors → /tmp/.cache/y (4.0 GiB)." in said(moved)


def test_a_copy_in_progress():
    """A started copy says what was written so far."""
    event_ = copy_fact(1, technique="copy", status="started", share=0.1, bytes=GIB)
    assert " is copying model chat-70b" in said(event_)
    assert said(event_).endswith("(4.0 GiB so far).")


def test_unknown_everything():
    """An event that knows nothing still makes a sentence."""
    assert said(event("weights_copy", 1, kind="enrichment", replguard=Context())) == (
        "Someone (process not seen) copied protected weights: an unknown file → an unknown file."
    )
    assert said(event("something_new", 1, file=File(path="/x"))) == (
        "Rule: Someone (writer not seen) caused something_new."
    )


def test_what_completes_a_sequence_is_told_though_it_is_no_fact():
    """That weights were used is old; that a way out was opened then is why somebody is woken."""
    way_out = event("process_exec", 2, process=process(9, "/usr/bin/ssh", "ssh -R 2222:localhost:22 far"))
    assert said(copy_fact(1), way_out).endswith(", then ssh (pid 9) ran `ssh -R 2222:localhost:22 far`.")


def test_an_actor_without_a_name_is_someone():
    """A principal is for machines; where it stands says it as well."""
    unit = Actor(kind="service", id="u", principal="unit:chat.service", standing="service")
    fact = event(
        "weights_access", 1, kind="enrichment", file=File(path="/m"), replguard=Context(actor=unit, model="chat")
    )
    assert said(fact).startswith("Someone of service chat.service (pid unknown) read model chat")


def test_a_copy_is_counted_once():
    """It is told when it begins and when it is done; two copies are two."""
    begun, done = copy_fact(1, status="started"), copy_fact(2, 5)
    assert "times" not in said(begun, done)
    assert "(2 times)" in said(begun, done, copy_fact(3, 6, target="/tmp/other"))
