import pytest
from click.testing import CliRunner
from support.rulebook import rule

from replguard.cli import group

MANIFEST = "deployments: [{name: chat, weights: [/models/x], unit: vllm.service, max_instances: 2}]\n"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Return a function that checks a configuration written here, and its folder."""
    monkeypatch.chdir(tmp_path)

    def run(config="", *words):
        (tmp_path / "c.yaml").write_text(f"manifest: {tmp_path}/m.yaml\n" + config)
        return CliRunner().invoke(group, ["check", "-c", "c.yaml", *words])

    return run


def test_all_right_is_a_short_summary(check, tmp_path):
    """And exit code 0."""
    (tmp_path / "m.yaml").write_text(MANIFEST)
    result = check("sinks: {}\n")
    assert result.exit_code == 0
    assert "configuration: c.yaml" in result.output
    assert "m.yaml, 1 entry\n" in result.output
    assert "rules: " in result.output


def test_every_fault_of_all_three_is_told_at_once(check, tmp_path):
    """Configuration, manifest and rules, each with file and line, and exit code 2."""
    (tmp_path / "m.yaml").write_text("deployments:\n  - {name: chat, unti: x}\n")
    (tmp_path / "r.yml").write_text(rule("a", "x").replace("level: low", "level: lwo"))
    result = check("rules:\n  paths: [r.yml]\n  disable: [nothing]\nsinks:\n  jsnol: {}\n")
    assert result.exit_code == 2
    assert "r.yml:8: 'lwo'" in result.output
    assert "m.yaml:2: unknown key 'unti'" in result.output
    assert "c.yaml:4: no rule has the name or id 'nothing'" in result.output
    assert "c.yaml:6: " in result.output


def test_a_broken_configuration_does_not_hide_the_rest(check, tmp_path):
    """Rules given as arguments are looked at all the same; nothing is told twice."""
    (tmp_path / "r.yml").write_text("title: [\n")
    result = check("mdoe: observe\nmode: dance\n", "r.yml", "r.yml", "absent.yml")
    assert result.exit_code == 2
    assert "c.yaml:2: unknown key 'mdoe', did you mean 'mode'?" in result.output
    assert "c.yaml:3: " in result.output
    assert result.output.count("r.yml:2: not YAML") == 1
    assert "absent.yml: does not exist" in result.output
    assert "Traceback" not in result.output


def test_one_fault_is_one(check):
    """Also in grammar."""
    result = check("mdoe: observe\n")
    assert result.output.endswith("1 fault\n")


def test_weak_entries_of_the_manifest_are_warned_of(check, tmp_path):
    """A warning is no fault."""
    (tmp_path / "m.yaml").write_text("jobs: [{name: backup, may: [copy], command: '*restic*'}]\n")
    result = check("sinks: {}\n")
    assert result.exit_code == 0
    assert "warning: 'backup' is known only by its command" in result.output


def test_what_is_not_there_is_named(check, tmp_path):
    """A path that was mistyped is seen before it is waited for in vain; it is no fault, since it may come later."""
    result = check(f"weights: {{paths: [{tmp_path}/modles]}}\nwatch: {{paths: [{tmp_path}, /nowhere]}}\n")
    assert result.exit_code == 0
    assert f"warning: weights.paths: {tmp_path}/modles is not there yet" in result.output
    assert "warning: watch.paths: /nowhere is not there" in result.output
    assert f"watch.paths: {tmp_path} " not in result.output
    assert f"manifest: {tmp_path}/m.yaml is not there, so nothing is allowed" in result.output


def test_what_is_right_in_a_broken_configuration_is_used(check, tmp_path):
    """The rules, manifest and sinks that it names are looked at in the same run, drop-ins included."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.yaml").write_text("sinks: {jsnol: {}}\n")
    (tmp_path / "m.yaml").write_text("deployments: [{name: chat, unti: x}]\n")
    (tmp_path / "r.yml").write_text(rule("a", "x").replace("level: low", "level: lwo"))
    result = check("weights: {path: [/m], min_size: 1MiB}\nrules:\n  paths: [r.yml, absent]\n  levels: {a: hgih}\n")
    assert result.exit_code == 2
    for told in ("'path'", "c.yaml:4: rules.paths: 'absent' does not exist", "'hgih'", "'unti'", "r.yml:8", "jsnol"):
        assert told in result.output


def test_a_fault_of_a_sink_is_at_its_line(check):
    """Not at that of all sinks."""
    result = check("sinks:\n  journald: {}\n  jsnol: {}\n  webhook: {ulr: x}\n")
    assert "c.yaml:4: sinks: unknown key 'jsnol'" in result.output
    assert "c.yaml:5: sinks.webhook: unknown key 'ulr'" in result.output


def test_every_slip_in_a_rule_is_told_with_what_was_meant(check, tmp_path):
    """Key, log source, field, modifier, name in the condition, level, rule: none hides another."""
    (tmp_path / "r.yml").write_text("""
title: a
levle: high
status: tset
logsource: {product: linxu, category: proces_creation}
detection:
  selection:
    Imgae|endswith: /cp
    CommandLine|contians: x
  condition: selction
level: hgih
replguard: {scor: 3}
---
title: b
correlation:
  type: temporal_orderd
  rules: [weights-copy-agnt, weights-access-agent]
  timespan: 2hours
---
title: c
logsource: {product: linux, category: process_creation}
filter:
  rules:
    - weights-copy-agnt
  selection: {Image: x}
  condition: not selection
""")
    result = check("sinks: {}\n", "r.yml")
    assert result.exit_code == 2
    told = {int(line.split(":")[1]): [] for line in result.output.splitlines() if line.startswith("r.yml:")}
    for line in result.output.splitlines():
        if line.startswith("r.yml:"):
            told[int(line.split(":")[1])].append(line.partition(", did you mean ")[2])
    meant = {3: ["level"], 4: ["test"], 5: ["process_creation", "linux"], 8: ["Image"], 9: ["contains"]}
    meant |= {10: ["selection"], 11: ["high"], 12: ["score"], 16: ["temporal_ordered"], 17: ["weights-copy-agent"]}
    meant |= {18: [""], 23: ["weights-copy-agent"]}
    assert told == {line: [word and f"'{word}'?" for word in words] for line, words in meant.items()}


def test_who_names_a_broken_rule_has_no_fault_by_that(check, tmp_path):
    """One mistake is told once, where it was made."""
    (tmp_path / "r.yml").write_text(
        rule("a", "x").replace("level: low", "level: lwo")
        + rule("b", "y")
        + "\ntitle: c\ncorrelation: {type: temporal, rules: [a, b], timespan: 1h}\n"
    )
    result = check("rules: {levels: {a: high}}\nsinks: {}\n", "r.yml")
    assert result.output.endswith("1 fault\n")


def test_a_rule_of_ones_own_that_cannot_fire_is_a_warning(check, tmp_path):
    """With the reason and the line: it is no fault, and not quiet either."""
    (tmp_path / "r.yml").write_text(rule("a", "x").replace("process_creation", "registry_event"))
    result = check("sinks: {}\n", "r.yml")
    assert result.exit_code == 0
    assert "warning: r.yml:2: 'a' cannot fire here: no sensor makes events of the category registry_event" in (
        result.output
    )


def test_fixtures_are_looked_at_too(check, tmp_path):
    """Those beside a rule, and one that is named: it is no rule."""
    (tmp_path / "r.yml").write_text(rule("a", "x"))
    (tmp_path / "r.test.yml").write_text("fires:\n  - {name: x, events: [{action: dance}]}\n")
    told = "r.test.yml:2: no event has the action 'dance'"
    for path in ("r.yml", "r.test.yml"):
        result = check("sinks: {}\n", path)
        assert result.exit_code == 2
        assert told in result.output
        assert result.output.endswith("1 fault\n")
    (tmp_path / "r.test.yml").write_text("fires: []\n")
    assert check("sinks: {}\n", "r.test.yml", "r.yml").exit_code == 0


def test_a_selection_that_was_forgotten_is_a_warning(check, tmp_path):
    """It changes nothing, which its author does not expect."""
    (tmp_path / "r.yml").write_text(rule("a", "x").replace("  condition:", "  filter: {User: root}\n  condition:"))
    result = check("sinks: {}\n", "r.yml")
    assert result.exit_code == 0
    assert "warning: r.yml:2: 'a' has the selection 'filter', which its condition does not name" in result.output


def test_a_folder_that_others_can_change_is_a_fault(check, tmp_path):
    """Of state or log, with what to do; whether it is there already is no matter."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    result = check(f"state_dir: {tmp_path}/open\nlog: {{dir: {tmp_path}/open/log}}\n")
    assert result.exit_code == 2
    for key in ("state_dir", "log.dir"):
        assert f"c.yaml: {key}: {tmp_path}/open can be written to by everybody" in result.output
    (tmp_path / "open").chmod(0o700)
    assert check(f"state_dir: {tmp_path}/open\nlog: {{dir: {tmp_path}/open/log}}\n").exit_code == 0
