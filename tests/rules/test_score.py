from support.rulebook import correlation, engine, event, fed, rule, run

from replguard.rules.matches import Match
from replguard.rules.score import Score
from replguard.rules.window import GROUPS

RULES = (
    rule("a", "aa", "medium") + rule("b", "bb", "medium") + rule("c", "cc", "low") + rule("d", "dd", "informational")
)
BODY = "type: value_sum, rules: [a], group-by: [user.name], timespan: 1h, condition: {gte: 40, field: replguard.score}"


def judge(tmp_path, ours="sum: score, every_rule: true, distinct_rules: 3", text=RULES):
    """Return an engine with a sum over the rules."""
    return engine(tmp_path, text + correlation("sum", BODY, ours, "medium"))


def found(judge, *events):
    return [one for one in fed(judge, events) if one[0] == "sum"]


def act(seconds, text, who="eve"):
    return run(seconds, text, user__name=who)


def test_each_rule_counts_once(tmp_path):
    """20 + 20 + 5 from three rules suffices; the same rule again and again does not."""
    assert found(judge(tmp_path), *(act(n, "aa") for n in range(20))) == []
    assert len(found(judge(tmp_path), act(0, "aa"), act(1, "bb"), act(2, "cc"))) == 1


def test_enough_points_need_enough_rules(tmp_path):
    """Two rules of 20 are 40 points and no alert; an informational rule has no score and does not count."""
    assert found(judge(tmp_path), act(0, "aa"), act(1, "bb"), act(2, "dd")) == []
    assert len(found(judge(tmp_path, "sum: score, every_rule: true"), act(0, "aa"), act(1, "bb"))) == 1


def test_only_the_named_rules_without_every_rule(tmp_path):
    """The sum hears of the rules that it names."""
    assert found(judge(tmp_path, "sum: score"), act(0, "aa"), act(1, "bb"), act(2, "cc")) == []


def test_actors_and_hours_do_not_add_up(tmp_path):
    """Each actor for itself, within the span."""
    assert found(judge(tmp_path), act(0, "aa"), act(1, "bb", "bob"), act(2, "cc")) == []
    assert found(judge(tmp_path), act(0, "aa"), act(1, "bb"), act(3601, "cc")) == []


def test_a_score_of_ones_own_replaces_that_of_the_level(tmp_path):
    """Also for a correlation, which has none unless it says so."""
    text = rule("a", "aa", "low", "replguard: {score: 39}") + rule("b", "bb", "informational", "replguard: {score: 1}")
    assert len(found(judge(tmp_path, "sum: score, every_rule: true", text), act(0, "aa"), act(1, "bb"))) == 1
    pair = correlation(
        "pair", "type: temporal, rules: [a, b], timespan: 1h, generate: true, group-by: [user.name]", "score: 35"
    )
    text = rule("a", "aa", "low") + rule("b", "bb", "informational") + pair
    assert len(found(judge(tmp_path, "sum: score, every_rule: true", text), act(0, "aa"), act(1, "bb"))) == 1


def test_the_sum_starts_anew_after_an_alert(tmp_path):
    """The next one needs three rules again."""
    judge_ = judge(tmp_path)
    assert len(found(judge_, act(0, "aa"), act(1, "bb"), act(2, "cc"), act(3, "aa"), act(4, "aa"))) == 1
    assert len(found(judge_, act(5, "bb"), act(6, "cc"))) == 1


def test_groups_are_bounded(tmp_path):
    """A flood of actors evicts the oldest and counts them; what is old is forgotten."""
    score = Score(judge(tmp_path).ruleset.correlations[0])
    for number in range(GROUPS + 5):
        score.feed(Match("a", (float(number), number), (event(number, user__name=f"u{number}"),), 20))
    assert score.evicted == 5
    assert len(score) == GROUPS
    score.expire(GROUPS)
    assert len(score) == 5
