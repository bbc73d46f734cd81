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
    assert "c.yaml:5: " in result.output


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
