"""The prose of the shipped rules: whole sentences of bearable length, no jargon, and no name of what does not exist.

An alert carries it to somebody who was asleep a minute ago.
"""

import re
from pathlib import Path

import click
import msgspec
import pytest
import yaml

from replguard import cli
from replguard.config import Config
from replguard.events import names
from replguard.events.alert import LEVELS
from replguard.provenance.manifest import Deployment, Job
from replguard.rules.misspelt import unused

ROOT = Path(__file__).resolve().parents[2]
RULES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "rules").glob("*/*.yml"))}
FAMILY = {path.stem: path.parent.name for path in (ROOT / "rules").glob("*/*.yml")}
ACRONYMS = {"GPU", "TCP", "UDP", "SSH", "HTTP", "NFS", "FUSE", "CPU"}
"""Short forms that whoever runs such hosts knows."""
JARGON = re.compile(
    r"\b(TTPs?|IOCs?|C2|LOLBins?|exfil\w*|beacon\w*|adversar\w*|threat actors?|malicious\w*|suspicious\w*|leverag\w*"
    r"|utili[sz]\w*|enumerat\w*|post-exploitation|kill chain|pivot\w*|payloads?|opsec)\b",
    re.IGNORECASE,
)
SHORT = re.compile(r"\b(etc|e\.g|i\.e|cf|vs|approx|TBD|N/A)\b")
WORDS = 45
"""Words of the longest sentence."""
COMMANDS = {"shutdown"}
"""Programs of the host that a reader is told to run."""
LOOK = re.compile(r"\b(look|ask|read|see|find|check|compare)\b", re.IGNORECASE)
CONTAIN = re.compile(
    r"\b(freeze|stop|block|disable|kill|cut|cancel|restore|change the keys|take it back|put back|end the session"
    r"|start (it|the server|the monitor) again)\b",
    re.IGNORECASE,
)
KEYS = {field.name for kind in (Deployment, Job) for field in msgspec.structs.fields(kind)} | set(
    Config.__struct_fields__
)

each_rule = pytest.mark.parametrize("name", sorted(RULES))


def texts(name):
    """Yield every sentence that a person reads, with what it is."""
    rule = RULES[name]
    own = rule["replguard"]
    yield "description", rule["description"]
    yield "triage", own["triage"]
    for key, some in (("falsepositives", rule["falsepositives"]), ("blind_spots", own["blind_spots"])):
        for text in some:
            yield key, text


def faults(text):
    """Yield what is wrong with a text."""
    bare = re.sub(r"`[^`]*`", "X", text)
    if not 12 <= len(text) <= 400:
        yield f"{len(text)} characters"
    if len(text.split()) < 3:
        yield f"only {len(text.split())} words"
    for sentence in re.split(r"(?<=[.?!]) ", " ".join(text.split())):
        if not re.fullmatch(r"[A-Z0-9`].*[.?!]", sentence):
            yield f"no whole sentence: {sentence}"
        if len(sentence.split()) > WORDS:
            yield f"a sentence of {len(sentence.split())} words"
    yield from (f"jargon: {found[0]}" for found in JARGON.finditer(bare))
    yield from (f"in full, please: {found[0]}" for found in SHORT.finditer(bare))
    yield from (f"unknown short form: {word}" for word in re.findall(r"\b[A-Z]{2,}\b", bare) if word not in ACRONYMS)
    yield from (f"twice: {found[0]}" for found in re.finditer(r"\b(\w+) \1\b", bare, re.IGNORECASE))
    yield from (f"a name without marks: {word}" for word in re.findall(r"\b\w+_\w+\b", bare))
    yield from (
        f"a rule's name without marks: {word}" for word in re.findall(r"\b\w+-\w[\w-]*\b", bare) if word in RULES
    )
    if text.count("`") % 2 or text.count("(") != text.count(")"):
        yield "marks or brackets that do not close"
    yield from (f"there is no {code}" for code in re.findall(r"`([^`]*)`", text) if not exists(code))


def exists(code):
    """Whether what a text sets in marks is a command, a rule, a field, or a key of configuration or manifest."""
    word, *rest = code.replace(":", " ").split()
    if word == "replguard":
        command = cli.group
        for verb in rest:
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command), verb)
        return command is not None
    return word in RULES or word in KEYS or word in COMMANDS or bool(names.resolve(word))


@each_rule
def test_every_text_reads_well(name):
    """Sentence by sentence."""
    assert [(key, fault) for key, text in texts(name) for fault in faults(text)] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no sentence at all.", "no whole sentence"),
        ("It has no end", "no whole sentence"),
        ("Too short.", "10 characters"),
        ("Administration.", "only 1 words"),
        ("Words " + "and words " * 30 + "again.", "a sentence of"),
        ("The adversary exfiltrates the model.", "jargon"),
        ("Backups, snapshots, etc. are made.", "in full"),
        ("A tool of the SOC looks at it.", "unknown short form: SOC"),
        ("It is the the same file.", "twice"),
        ("Set max_instances in the manifest.", "a name without marks"),
        ("It is told by weights-copy-agent then.", "a rule's name without marks"),
        ("Run `replguard chekc` to see it.", "there is no replguard chekc"),
        ("The field `process.comand` tells it.", "there is no process.comand"),
        ("It is (never closed.", "do not close"),
    ],
)
def test_the_lint_finds_what_it_is_for(text, told):
    """A lint that finds nothing proves nothing."""
    assert any(told in fault for fault in faults(text))


def test_what_is_well_said_passes():
    """Also with commands, keys, fields and rules of ours in it."""
    assert list(faults("Run `replguard rules list` and set `max_instances: 2`; see `weights-copy-agent`.")) == []
    assert list(faults("Is `process.executable` a GPU tool? Then ask its owner.")) == []


@each_rule
def test_triage_says_what_to_check_and_how_to_contain(name):
    """Whatever pages somebody: a first look, and a way to end it."""
    if LEVELS.index(RULES[name]["level"]) >= LEVELS.index("medium"):
        triage = RULES[name]["replguard"]["triage"]
        assert LOOK.search(triage), triage
        assert CONTAIN.search(triage), triage


@each_rule
def test_no_selection_is_forgotten(name):
    """One that no condition names says something that is not true."""
    detection = RULES[name].get("detection", {"condition": ""})
    assert unused([key for key in detection if key != "condition"], [detection["condition"]]) == []


def test_no_two_rules_have_one_title():
    """A title alone says which of them it was."""
    titles = [rule["title"] for rule in RULES.values()]
    assert len(set(titles)) == len(titles)


@each_rule
def test_a_rule_names_who_and_what_it_is_about(name):
    """Tactic and technique of ATT&CK, and the row of the matrix, unless it is a part of a sequence."""
    tags = RULES[name]["tags"]
    assert any(re.fullmatch(r"attack\.[a-z][a-z-]+[a-z]", tag) for tag in tags)
    if FAMILY[name] != "stages":
        assert any(re.fullmatch(r"attack\.t\d{4}(\.\d{3})?", tag) for tag in tags)
        assert any(tag.startswith("replguard.row-") for tag in tags)
    assert len(set(tags)) == len(tags)
    if FAMILY[name] in {"weights", "replication"}:
        assert any(tag.startswith("atlas.") for tag in tags)


def test_every_row_of_the_matrix_is_told_by_a_named_rule():
    """By one that raises alerts, or adds to a score: no mere part of a sequence."""
    page = (ROOT / "docs" / "reference" / "rules.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]*) \|$", page, re.MULTILINE))
    assert sorted(map(int, rows)) == list(range(1, 25))
    for number, told in rows.items():
        linked = re.findall(r"\[([a-z-]+)\]\(#\1\)", told)
        assert linked, f"row {number}"
        assert {FAMILY[rule] for rule in linked} <= {"weights", "serving", "host", "replication"}
        assert all(f"replguard.row-{number}" in RULES[rule]["tags"] for rule in linked)


def test_every_rule_stands_in_the_table_of_tags():
    """With its family, level, rows and techniques."""
    page = (ROOT / "docs" / "reference" / "rules.md").read_text()
    for name, rule in RULES.items():
        (line,) = [one for one in page.splitlines() if one.startswith(f"| [{name}](#{name}) |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:3] == [FAMILY[name], rule["level"]]
        told = [f"replguard.row-{one}" for one in cells[3].split(", ")] if cells[3] != "–" else []
        told += [f"attack.{one}" for one in cells[4].split(", ")]
        told += [f"atlas.{one}" for one in cells[5].split(", ")] if cells[5] != "–" else []
        assert sorted(told) == sorted(map(str, rule["tags"]))
