from support.rulebook import correlation, event, good, rule

from replguard.rules.matches import MAX_EVIDENCE, MAX_KEYS, Hit, Match, key_name, keys_for


def made(tmp_path, body, ours=""):
    """Return the only correlation of a rule set of the rules a and b."""
    text = rule("a", "a") + rule("b", "b") + correlation("c", f"rules: [a, b], timespan: 1h, {body}", ours)
    return good(tmp_path, text).correlations[0]


def match(name="a", **fields):
    """Return a match of a rule by one event."""
    return Match(name, (0.0, 1), (event(0, **fields),))


def test_group_by_reads_every_field(tmp_path):
    """A match that lacks one of the fields takes no part; without group-by all are one group."""
    keys = keys_for(made(tmp_path, "type: temporal, group-by: [user.name, ProcessId]"))
    found = keys(match(user__name="eve", process__pid=7))
    assert [key_name(key) for key in found] == ["eve|7"]
    assert keys(match(user__name="eve")) == ()
    assert len(keys_for(made(tmp_path, "type: temporal"))(match())) == 1


def test_an_alias_reads_the_field_of_each_rule(tmp_path):
    """One name stands for the child in one rule and the parent in the other."""
    body = "type: temporal, group-by: [who], aliases: {who: {a: process.entity_id, b: process.parent.entity_id}}"
    keys = keys_for(made(tmp_path, body))
    first = keys(match("a", process__entity_id="e", process__parent__entity_id="p"))
    second = keys(match("b", process__entity_id="x", process__parent__entity_id="e"))
    assert first == second


def test_join_keys_are_those_of_the_event(tmp_path):
    """Lineage, unit, session and artefacts give a key each; nothing else joins."""
    keys = keys_for(made(tmp_path, "type: temporal", "join: [artefact, lineage, unit, session]"))
    found = keys(
        match(
            replguard__lineage=["e1", "e2"],
            replguard__unit="u",
            replguard__session="s",
            replguard__artefacts=["copy"],
            replguard__model="m",
        )
    )
    told = ["artefact=copy", "lineage=e1", "lineage=e2", "unit=u", "session=s"]
    assert [key_name(key) for key in found] == told
    assert keys(match()) == ()


def test_group_by_and_join_must_both_hold(tmp_path):
    """Two users in one session do not meet."""
    keys = keys_for(made(tmp_path, "type: temporal, group-by: [user.name]", "join: [session]"))
    eve = keys(match(user__name="eve", replguard__session="s"))
    bob = keys(match(user__name="bob", replguard__session="s"))
    assert not set(eve) & set(bob)
    assert key_name(eve[0]) == "eve|session=s"


def test_a_lineage_without_end_gives_a_bounded_number_of_keys(tmp_path):
    """The nearest ancestors count."""
    keys = keys_for(made(tmp_path, "type: temporal", "join: [lineage]"))
    assert len(keys(match(replguard__lineage=[f"e{n}" for n in range(1000)]))) == MAX_KEYS


def test_a_correlation_joins_by_its_first_and_its_last_event(tmp_path):
    """What a nested correlation found is reached from both its ends."""
    keys = keys_for(made(tmp_path, "type: temporal", "join: [lineage]"))
    events = tuple(event(n, replguard__lineage=[f"e{n}"]) for n in range(3))
    assert [key_name(key) for key in keys(Match("a", (0.0, 1), events))] == ["lineage=e0", "lineage=e2"]


def test_evidence_is_bounded_and_names_each_event_once():
    """First and last events are kept."""
    events = [event(n) for n in range(500)]
    hit = Hit(tuple(Match("a", (float(n), n), (one,)) for n, one in enumerate([*events, events[-1]])), "")
    found = hit.evidence()
    assert len(found) == MAX_EVIDENCE
    assert found[0] is events[0]
    assert found[-1] is events[-1]
