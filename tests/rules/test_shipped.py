"""The shipped rules: each does what its fixtures say, reads well, and together they cover the matrix and keep quiet."""

import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml

from replguard.events.alert import LEVELS
from replguard.events.catalogue import PORTABLE
from replguard.events.event import Event
from replguard.rules.cases import KINDS_OF_CASE, read_cases
from replguard.rules.engine import Engine
from replguard.rules.fixtures import fixture_path, run
from replguard.rules.index import Index
from replguard.rules.load import load
from replguard.rules.model import Correlation

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
SHIPPED = load(shipped=RULES)
EVERY = {rule.name: rule for rule in SHIPPED.known()}
FILES = {path.stem: path for path in sorted(RULES.glob("*/*.yml"))}
STAGES = sorted(path.stem for path in RULES.glob("stages/*.yml"))
FAMILIES = {"weights", "serving", "host", "replication", "stages"}
ROWS = {*range(1, 6), 8, 10, *range(12, 19), *range(20, 25)}
"""Rows of the matrix of attacks that the portable tier must cover."""
TACTICS = set(
    "collection command-and-control credential-access defense-evasion discovery execution exfiltration impact"
    " lateral-movement persistence".split()
)
TECHNIQUES = set(
    "t1005 t1021.004 t1046 t1048 t1049 t1053.002 t1053.003 t1057 t1059 t1070.002 t1070.003 t1070.006 t1074.001 t1083"
    " t1098.004 t1105 t1136.001 t1489 t1496 t1529 t1543.002 t1546.004 t1552.001 t1560.001 t1562.001 t1562.004 t1562.012"
    " t1564.001 t1565.001 t1567.002 t1570 t1571 t1572 t1610".split()
)
ATLAS = set("aml.t0007 aml.t0025 aml.t0029 aml.t0034 aml.t0035 aml.t0044 aml.t0053 aml.t0055 aml.t0072".split())
TAGS = {f"attack.{name}" for name in TACTICS | TECHNIQUES} | {f"atlas.{name}" for name in ATLAS}
TAGS |= {f"replguard.row-{number}" for number in range(1, 25)}
"""Every tag that a shipped rule may carry: a typing error in one would go unseen."""
START = datetime(2026, 1, 1, tzinfo=UTC)

each_rule = pytest.mark.parametrize("name", sorted(FILES))


def document(name):
    return yaml.safe_load(FILES[name].read_text())


def event(action, seconds=0.0, standing="session", *, lineage=("t",), **sections):
    """Return an event of an actor with a standing; ``nobody`` is one whom no source names."""
    actor = {"kind": "unknown", "id": standing, "principal": standing, "standing": standing}
    if standing == "nobody":
        actor = {"kind": "unknown", "id": "unknown", "principal": "unknown", "standing": "unknown"}
    context = {"actor": actor, "lineage": lineage} | sections.pop("replguard", {})
    meta = {"action": action, "id": f"{action}-{seconds}"}
    when = START + timedelta(seconds=seconds)
    return msgspec.convert({"@timestamp": when, "event": meta, "replguard": context, **sections}, Event)


def command(line, seconds=0.0, standing="session"):
    image = "/usr/bin/" + line.split()[0].rpartition("/")[2]
    return event("process_exec", seconds, standing, process={"pid": 7, "executable": image, "command_line": line})


INDEXES = {}


def engine_of(ruleset):
    """Return a fresh engine; the rules are compiled once."""
    if id(ruleset) not in INDEXES:
        INDEXES[id(ruleset)] = Index(ruleset.rules)
    return Engine(ruleset, INDEXES[id(ruleset)])


def highest(detections):
    return max((LEVELS.index(one.rule.level) for one in detections), default=-1)


def test_the_shipped_rules_load_without_a_fault():
    """One rule a file, named as the file, in a known family."""
    assert SHIPPED.problems == []
    assert {name for name, rule in EVERY.items() if Path(rule.path).stem == name} == set(FILES)
    assert {path.parent.name for path in FILES.values()} == FAMILIES


def test_no_rule_waits_for_a_tier():
    """The portable tier can evaluate every one."""
    assert [entry.rule.name for entry in load(shipped=RULES, makes=PORTABLE).not_evaluable] == []


@each_rule
def test_every_rule_does_what_its_fixtures_say(name):
    """Attacks fire it; ordinary work and what is almost the attack do not."""
    rule = EVERY[name]
    cases = read_cases(fixture_path(rule, RULES))
    assert {case.kind for case in cases} == set(KINDS_OF_CASE)
    assert len({case.name for case in cases}) > 2
    failed = [
        f"{o.case.kind} '{o.case.name}': {o.expected}, got {o.got}" for o in run(rule, SHIPPED, cases) if not o.passed
    ]
    assert failed == []


@each_rule
def test_the_prose_of_every_rule_is_whole(name):
    """Title, description, level, tags, false positives, triage and blind spots are there and are sentences."""
    rule = document(name)
    assert rule["name"] == name
    assert re.fullmatch(r"[A-Z][^.]{9,90}", rule["title"])
    assert re.fullmatch(r"[A-Z].{30,400}\.", rule["description"], re.DOTALL)
    assert str(uuid.UUID(rule["id"])) == rule["id"]
    assert rule["level"] in LEVELS
    assert set(rule["tags"]) <= TAGS
    assert any(tag.startswith("attack.") for tag in rule["tags"])
    own = rule["replguard"]
    for text in (*rule["falsepositives"], own["triage"], *own["blind_spots"]):
        assert re.fullmatch(r"[A-Z`].*\.", text, re.DOTALL), text
    assert rule["falsepositives"]
    assert own["blind_spots"]


def test_every_runbook_anchor_exists():
    """Who is paged at night lands on a heading; only stages, which raise nothing, need none."""
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {f"runbook.md#{heading.lower().replace(' ', '-')}" for heading in headings}
    for name, path in FILES.items():
        stage = path.parent.name == "stages"
        assert EVERY[name].runbook is None if stage else EVERY[name].runbook in anchors, name


def test_ids_are_unique():
    """An id names one rule for ever."""
    assert len({rule.id for rule in EVERY.values()}) == len(FILES)


def test_the_matrix_is_covered_where_only_the_portable_tier_works():
    """Each row is named by a rule that can be evaluated there and is no mere stage."""
    here = load(shipped=RULES, makes=PORTABLE).every()
    rows = {
        int(tag.rpartition("-")[2])
        for rule in here
        if Path(rule.path).parent.name != "stages"
        for tag in rule.tags
        if tag.startswith("replguard.row-")
    }
    assert rows >= ROWS


@pytest.mark.parametrize("name", ["self-replication", "shutdown-avoidance", "chain-of-replication"])
def test_the_published_scenarios_are_critical_sequences(name):
    """The three scenarios have each a correlation of their own."""
    rule = EVERY[name]
    assert isinstance(rule, Correlation)
    assert rule.type == "temporal_ordered"
    assert rule.level == "critical"


def test_no_sequence_waits_longer_than_two_hours():
    """State is bounded, and steps further apart are no sequence."""
    assert all(rule.timespan <= 7200 for rule in EVERY.values() if isinstance(rule, Correlation))


def test_stages_are_silent_and_nothing_that_matters_is():
    """What a correlation names must not lose its own alert by that; stages must not raise any."""
    for rule in SHIPPED.every():
        stage = Path(rule.path).parent.name == "stages"
        assert not (stage and (rule.alerts or rule.level != "informational" or rule.score)), rule.name
        assert rule.alerts or rule.level == "informational", rule.name


def test_switching_stages_off_silences_no_alert():
    """An operator who disables stages loses their sequences, never the rules that they name."""
    for stages in (STAGES[::2], STAGES[1::2], STAGES):
        left = load(shipped=RULES, disable=stages)
        assert all(rule.alerts for rule in left.every() if rule.level != "informational")


MODEL = {"model": "m"}
DONE, STARTED, LIVE = ({**MODEL, "status": status} for status in ("done", "started", "live"))
KNOWN = {**LIVE, "authorised": {"by": "baseline", "entry": "e"}}
OVER = {**MODEL, "status": "over_limit", "instance": {"id": "i", "count": 3, "max_instances": 2}}
FACTS = load(
    shipped=RULES, disable={n for n, r in EVERY.items() if isinstance(r, Correlation) or n.startswith("replicas-")}
)
TABLE = [
    # fact, what it says; allowed, service, session, agent
    ("agent_seen", {"status": "confirmed"}, None, "informational", "informational", "informational"),
    ("weights_access", MODEL, None, "informational", "informational", "low"),
    ("weights_copy", STARTED, None, "informational", "low", "high"),
    ("weights_copy", DONE, None, "low", "medium", "high"),
    ("weights_arrival", MODEL, None, "informational", "low", "medium"),
    ("weights_egress", MODEL, None, "medium", "high", "critical"),
    ("server_live", LIVE, None, "low", "medium", "critical"),
    ("server_live", KNOWN, "informational", "informational", "medium", "critical"),
    ("server_live", OVER, "high", "high", "high", "critical"),
    ("gpu_memory", MODEL, None, "informational", "informational", "low"),
    ("gpu_memory", {**MODEL, "touched": True}, None, "informational", "informational", "medium"),
    ("network_listen", {}, None, "informational", "informational", "low"),
    ("serving_signal", MODEL, None, "informational", "low", "high"),
    ("authority_change", {"difference": "d"}, "informational", "low", "low", "critical"),
    (
        "watcher_tampering",
        {"technique": "signal", "source": "daemon", "status": "KILL"},
        None,
        "medium",
        "medium",
        "critical",
    ),
    (
        "watcher_tampering",
        {"technique": "open", "mode": "memory", "source": "daemon"},
        None,
        "medium",
        "medium",
        "critical",
    ),
    ("watcher_tampering", {"technique": "rename", "source": "program"}, None, "low", "low", "critical"),
    ("watcher_tampering", {"technique": "delete", "source": "program"}, None, "low", "low", "critical"),
    ("watcher_tampering", {"technique": "delete", "source": "log"}, None, "low", "medium", "critical"),
]


@pytest.mark.parametrize(("fact", "says", "allowed", "service", "session", "agent"), TABLE)
def test_levels_are_those_of_the_table(fact, says, allowed, service, session, agent):
    """For each fact and each column: the highest level that all rules together raise."""
    wanted = {"allowed": allowed, "service": service, "session": session}
    wanted |= dict.fromkeys(("agent", "unknown", "nobody"), agent)
    got = {who: highest(engine_of(FACTS).feed(event(fact, standing=who, replguard=says))) for who in wanted}
    assert {who: LEVELS[level] if level >= 0 else None for who, level in got.items()} == wanted


@pytest.mark.parametrize("fact", ["weights_access", "weights_copy", "server_live", "gpu_memory", "network_listen"])
def test_a_replica_has_the_column_of_agents(fact):
    """What a service does in the second generation is as severe as what an agent does."""
    says = {**MODEL, "status": "live" if fact == "server_live" else "done"}
    agent = engine_of(SHIPPED).feed(event(fact, standing="agent", replguard=says))
    replica = engine_of(SHIPPED).feed(event(fact, standing="service", replguard={**says, "generation": 2}))
    assert highest(replica) == highest(agent) > -1


ORDINARY = (Path(__file__).parent / "ordinary.txt").read_text().splitlines()
PLACES = """
/usr/lib/systemd/system/nginx.service /etc/systemd/system/multi-user.target.wants/nginx.service /etc/cron.d/certbot
/etc/cron.daily/logrotate /etc/init.d/nginx /etc/passwd /etc/shadow /home/u/.bashrc /home/u/.ssh/authorized_keys
/etc/profile.d/x.sh /srv/www/index.html /home/u/disk.img
""".split()


@pytest.mark.parametrize("standing", ["service", "session", "unknown", "nobody"])
def test_an_ordinary_day_is_silent_at_medium_and_above(standing):
    """Installs, builds, archives, servers and an administrator's shell within the two hours of every window."""
    engine, found = engine_of(SHIPPED), []
    for number, line in enumerate(ORDINARY):
        found += engine.feed(command(line, number * 60.0, standing))
    for number, path in enumerate(PLACES):
        for action in ("file_create", "file_close_write", "file_rename", "file_delete"):
            found += engine.feed(event(action, 5400.0 + number, standing, file={"path": path}))
    for port in (3000, 5000, 8000):
        found += engine.feed(event("network_listen", 5500.0 + port / 100, standing, server={"ip": "::", "port": port}))
    assert [one.rule.name for one in found if LEVELS.index(one.rule.level) >= LEVELS.index("medium")] == []


def test_an_ordinary_coding_agent_is_not_suspected():
    """It looks around, installs, restarts its development server and listens: signs, but not enough of them."""
    engine, found = engine_of(SHIPPED), []
    day = ["ls -la"] * 30 + [
        "npm install",
        "git commit -m 'systemctl enable'",
        "lsof -i :3000",
        "kill -9 42",
        "rg -l '.pt'",
    ]
    for number, line in enumerate(day):
        found += engine.feed(command(line, number * 30.0, "agent"))
    found += engine.feed(event("network_listen", 1200.0, "agent", server={"ip": "127.0.0.1", "port": 3000}))
    assert highest(found) == LEVELS.index("low")


@pytest.mark.parametrize(
    "word", ["ssh -R", "docker run", "systemctl stop", "kill lsof", "fuser -k", "/pip install", "cp"]
)
def test_a_hostile_command_line_costs_no_more_than_its_length(word):
    """A rule whose cost is the square of 128 KiB would stop the daemon for minutes: a way to blind it."""
    engine = engine_of(SHIPPED)
    before = time.process_time()
    engine.feed(command((word + " ") * (128 * 1024 // len(word))))
    assert time.process_time() - before < 5


def test_no_expression_holds_an_unbounded_gap():
    """Between two words there is no `.*`: what belongs together is several expressions that must all be found."""
    gaps = [name for name, path in FILES.items() if re.search(r"\.[*+]", path.read_text().partition("detection:")[2])]
    assert gaps == []


@pytest.mark.parametrize("filler", ["\n", " ", "/ ", " sudo", "a.", "-c "])
def test_no_command_line_takes_long(filler):
    """Whatever a program is given as arguments, all rules together judge it in a moment."""
    signs = "tar gpg scp curl vllm docker kill systemctl ssh python base64 history shutdown cron"
    line = f"zz {filler * (128 * 1024 // len(filler))} {signs}"
    event = msgspec.convert(
        {"@timestamp": datetime.now(UTC), "event": {"action": "process_exec"},
         "process": {"executable": "/usr/bin/zz", "args": [line], "command_line": line}}, Event,
    )  # fmt: skip
    judge = engine_of(SHIPPED)
    began = time.monotonic()
    judge.feed(event)
    assert time.monotonic() - began < 1
