"""The schema and loading agree: what loads is valid, and the mistakes that both can see are told by both."""

import copy
import datetime as dt
import json
from pathlib import Path

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator
from support.rulebook import ruleset

from replguard.events import names
from replguard.rules import schema as module
from replguard.rules import suggest
from replguard.rules.extension import CorrelationExtension, RuleExtension
from replguard.rules.schema import schema

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpora" / "sigma"
VALIDATOR = Draft202012Validator(schema())
SINGLE = """
title: Somebody copies a model
id: 6a0f0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11
name: copies
status: test
description: It is copied.
references: [https://example.org]
author: us
date: 2026-01-31
tags: [attack.t1005]
logsource: {product: linux, category: process_creation}
detection:
  selection:
    Image|endswith: [/cp, /mv]
    CommandLine|contains|all: [models, tmp]
    process.pid|gte: 2
    process.args|exists: true
    replguard.actor.standing: [agent, 'un*']
  words: [one, two]
  rest:
    - User: root
    - process.name|re|i: '^c'
    - three
  condition: selection and (words or rest)
falsepositives: [a backup]
level: high
our_owner: team red
replguard: {score: 5, runbook: runbook.md#x, triage: Look., blind_spots: [At night.]}
"""
OWN = """
title: A copy
logsource: {product: linux, service: replguard, category: weights_copy}
detection: {done: {replguard.status: done}, condition: done}
"""
SEQUENCE = """
title: One after the other
correlation:
  type: temporal_ordered
  rules: [weights-copied, replica-live, weights-taken]
  timespan: 2h
  group-by: [User]
  aliases: {who: {weights-copied: user.name, replica-live: User}}
  generate: true
level: critical
replguard:
  join: [lineage, unit, session, artefact]
  optional: [weights-taken]
  until: host-shutdown
  levels: {weights-copied: high}
"""
COUNT = """
title: Many
correlation: {type: event_count, rules: weights-copied, timespan: 30s, group-by: User, condition: {gt: 3}}
"""
VALUES = """
title: Many values
correlation: {type: value_count, rules: [weights-copied], timespan: 1d, condition: {gte: 3, field: user.name}}
"""
SUM = """
title: Many signs
correlation:
  type: value_sum
  rules: [weights-copied]
  timespan: 2h
  group-by: [replguard.actor.id]
  condition: {gte: 40, field: replguard.score}
replguard: {sum: score, every_rule: true, distinct_rules: 3}
"""
FILTER = """
title: Our tool
logsource: {product: linux, category: process_creation}
filter:
  rules: [weights-copied]
  selection: {process.parent.executable: /usr/local/bin/deploy}
  condition: not selection
"""
STAGES = "".join(
    f"title: {name}\nname: {name}" + OWN.removeprefix("\ntitle: A copy") + "---\n"
    for name in ("weights-copied", "replica-live", "weights-taken", "host-shutdown")
)
GOOD = {"single": SINGLE, "own": OWN, "sequence": SEQUENCE, "count": COUNT, "values": VALUES, "sum": SUM}
GOOD["filter"] = FILTER
AWAY = object()
MISTAKES = [
    # document, where, what stands there instead
    ("single", ("title",), AWAY),
    ("single", ("levle",), "high"),
    ("single", ("descripton",), "x"),
    ("single", ("level",), "hihg"),
    ("single", ("status",), "tset"),
    ("single", ("id",), "6a0f0a0e"),
    ("single", ("name",), ""),
    ("single", ("date",), "31.1.2026"),
    ("single", ("tags",), "attack.t1005"),
    ("single", ("tags",), ["t1005"]),
    ("single", ("references",), "https://example.org"),
    ("single", ("falsepositives",), "a backup"),
    ("single", ("author",), ["us"]),
    ("single", ("logsource",), AWAY),
    ("single", ("logsource",), "linux"),
    ("single", ("logsource",), {}),
    ("single", ("logsource", "product"), "linxu"),
    ("single", ("logsource", "product"), "Linux"),
    ("single", ("logsource", "category"), "proces_creation"),
    ("single", ("logsource", "catgory"), "process_creation"),
    ("single", ("detection",), AWAY),
    ("single", ("detection",), ["x"]),
    ("single", ("detection", "condition"), AWAY),
    ("single", ("detection",), {"condition": "x"}),
    ("single", ("detection", "selection", "Imgae"), "x"),
    ("single", ("detection", "selection", "Image|contians"), "x"),
    ("single", ("detection", "selection", "Image|contains|al"), ["x", "y"]),
    ("single", ("detection", "selection", "process.comand_line"), "x"),
    ("single", ("detection", "selection", "process.pid|gte"), "many"),
    ("single", ("detection", "selection", "process.args|exists"), "perhaps"),
    ("single", ("detection", "selection", "replguard.actor.standing"), "agnet"),
    ("single", ("detection", "rest", 0), {"Usre": "root"}),
    ("single", ("replguard",), ["x"]),
    ("single", ("replguard", "scor"), 5),
    ("single", ("replguard", "score"), -1),
    ("single", ("replguard", "score"), "many"),
    ("single", ("replguard", "blind_spots"), "at night"),
    ("single", ("replguard", "join"), ["lineage"]),
    ("own", ("logsource", "service"), "replgard"),
    ("own", ("logsource", "category"), "weight_copy"),
    ("own", ("detection", "done", "replguard.statsu"), "done"),
    ("own", ("detection", "done", "Whatever"), "done"),
    ("sequence", ("correlation",), ["x"]),
    ("sequence", ("correlation", "type"), AWAY),
    ("sequence", ("correlation", "type"), "temporal_orderd"),
    ("sequence", ("correlation", "gruop-by"), ["User"]),
    ("sequence", ("correlation", "rules"), "weights-copied"),
    ("sequence", ("correlation", "rules"), [f"r{n}" for n in range(17)]),
    ("sequence", ("correlation", "timespan"), AWAY),
    ("sequence", ("correlation", "timespan"), "2hours"),
    ("sequence", ("correlation", "timespan"), "0s"),
    ("sequence", ("correlation", "condition"), "weights-copied and replica-live"),
    ("sequence", ("correlation", "aliases"), ["who"]),
    ("sequence", ("correlation", "generate"), "yes please"),
    ("sequence", ("replguard", "join"), ["lineag"]),
    ("sequence", ("replguard", "join"), "lineage"),
    ("sequence", ("replguard", "optonal"), ["weights-taken"]),
    ("sequence", ("replguard", "levels"), {"weights-copied": "hgih"}),
    ("sequence", ("replguard", "until"), ["host-shutdown"]),
    ("sequence", ("replguard", "every_rule"), True),
    ("count", ("correlation", "condition"), AWAY),
    ("count", ("correlation", "condition"), {"gt": 3, "lt": 9}),
    ("count", ("correlation", "condition"), {"over": 3}),
    ("count", ("correlation", "condition"), {"gt": "many"}),
    ("count", ("correlation", "condition"), {"gt": 100_001}),
    ("count", ("replguard",), {"optional": ["weights-copied"]}),
    ("count", ("replguard",), {"sum": "score"}),
    ("values", ("correlation", "condition", "field"), AWAY),
    ("filter", ("filter",), ["x"]),
    ("filter", ("filter", "rules"), AWAY),
    ("filter", ("filter", "condition"), AWAY),
    ("filter", ("filter", "selection", "Imgae"), "x"),
    ("filter", ("logsource",), AWAY),
]  # fmt: skip


def plain(value):
    """Return a YAML document as an editor sees it: dates are texts, keys too."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def errors(document):
    return [f"{'/'.join(map(str, one.absolute_path))}: {one.message}"[:300] for one in VALIDATOR.iter_errors(document)]


def documents(*folders):
    return [
        pytest.param(plain(document), id=f"{path.parent.name}/{path.stem}")
        for folder in folders
        for path in sorted(folder.rglob("*.yml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
        if document
    ]


def loads(tmp_path, document):
    return ruleset(tmp_path, STAGES + yaml.safe_dump(plain(document))).problems


def test_it_is_a_schema():
    """Of the dialect that it names."""
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("document", documents(ROOT / "rules"))
def test_every_shipped_rule_is_valid(document):
    """Each that loads."""
    assert errors(document) == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="SigmaHQ's rules are not here (../shared/corpora/sigma)")
def test_sigmahqs_rules_are_valid():
    """Those for Linux, and the Windows ones that a recorded event belongs to."""
    found = [one.values[0] for one in documents(CORPUS)]
    assert len(found) > 330
    assert [(one["title"], errors(one)) for one in found if errors(one)] == []


@pytest.mark.parametrize("name", GOOD)
def test_a_document_of_each_kind_loads_and_is_valid(tmp_path, name):
    """With all that each may have."""
    document = yaml.safe_load(GOOD[name])
    assert loads(tmp_path, document) == []
    assert errors(plain(document)) == []


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [pytest.param(*one, id=f"{one[0]} {'.'.join(map(str, one[1]))} {str(one[2])[:20]}") for one in MISTAKES],
)
def test_a_mistake_is_told_by_both(tmp_path, name, place, value):
    """Editors underline what `check` would tell."""
    document = copy.deepcopy(yaml.safe_load(GOOD[name]))
    inner = document
    for part in place[:-1]:
        inner = inner[part]
    if value is AWAY:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    assert errors(plain(document)) != []
    assert loads(tmp_path, document) != []


def keys(value, place=()):
    """Yield the place of every key that is a word of the format, and not a name that its author chose."""
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from keys(inner, (*place, number))
    for key, inner in value.items() if isinstance(value, dict) else ():
        chosen = place in {("detection",), ("filter",), ("correlation", "aliases"), ("replguard", "levels")}
        chosen = chosen or place[:2] == ("correlation", "aliases") or key == "our_owner"
        if not chosen or key in {"condition", "rules"}:
            yield (*place, key)
        yield from keys(inner, (*place, key))


def slip(key):
    """Return a key with two letters swapped."""
    swaps = [n for n in range(len(key) - 1) if key[n] != key[n + 1] and key[n : n + 2].isalpha()]
    at = next((n for n in swaps if n), 0)
    return key[:at] + key[at + 1] + key[at] + key[at + 2 :]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, place, id=f"{name} {'.'.join(map(str, place))}")
        for name, text in GOOD.items()
        for place in keys(yaml.safe_load(text))
    ],
)
def test_a_slip_in_any_key_is_told_by_both(tmp_path, name, place):
    """Wherever it stands."""
    document = copy.deepcopy(yaml.safe_load(GOOD[name]))
    inner = document
    for part in place[:-1]:
        inner = inner[part]
    inner[slip(place[-1])] = inner.pop(place[-1])
    assert errors(plain(document)) != []
    assert loads(tmp_path, document) != []


@pytest.mark.parametrize(
    ("struct", "name"), [(RuleExtension, "rule-extension"), (CorrelationExtension, "correlation-extension")]
)
def test_every_key_of_ours_is_there_with_its_sentence(struct, name):
    """A key that loading takes is one that editors offer, and the reference explains it."""
    keys = {field.encode_name for field in msgspec.structs.fields(struct)}
    offered = schema()["$defs"][name]["properties"]
    assert set(offered) == keys
    assert all(one["description"].endswith(".") for one in offered.values())
    page = (ROOT / "docs" / "reference" / "rule-format.md").read_text()
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_words_are_those_of_loading():
    """Fields, categories, modifiers, types and stages come from the same places."""
    made = schema()
    assert set(made["$defs"]["fields"]["properties"]) == {*names.SIGMA, *names.paths()}
    assert set(made["properties"]) == set(suggest.TOP)
    assert set(made["properties"]["correlation"]["properties"]) == set(suggest.CORRELATION)
    assert set(made["properties"]["logsource"]["properties"]) == set(suggest.LOGSOURCE)
    assert not set(module._EXTENSION) - {
        field.encode_name
        for struct in (RuleExtension, CorrelationExtension)
        for field in msgspec.structs.fields(struct)
    }


def test_the_shipped_file_is_fresh():
    """It lies beside the shipped rules, also in the package: editors need a file."""
    assert json.loads((ROOT / "rules" / "rule.schema.json").read_text()) == schema(), "stale: run make reference"
