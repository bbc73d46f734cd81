"""What the operator said is read whole, and a broken file never ends the watch."""

import os
from pathlib import Path

import pytest

from replguard.analyser.rulebook import faults
from replguard.errors import ConfigError
from replguard.events import clock
from replguard.policy import Policy

RULE = """
title: A probe
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a-probe
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: /probe}
  condition: selection
level: low
"""


def write(folder: Path, **files: str) -> Path:
    """Write a configuration, and a manifest and rule beside it; returns the configuration's path."""
    given = {
        "replguard.yaml": f"state_dir: {folder}/state\nmanifest: {folder}/manifest.yaml\n"
        f"rules: {{paths: [{folder}/rules]}}\n",
        "manifest.yaml": "deployments: [{name: chat, unit: vllm.service, weights: [/models]}]\n",
        "rules/probe.yml": RULE,
    } | {name.replace("__", "/"): text for name, text in files.items()}
    for name, text in given.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "replguard.yaml"


def test_everything_is_read(tmp_path: Path) -> None:
    """Configuration and manifest of the operator are in force."""
    policy = Policy(write(tmp_path), strict=True)
    assert policy.problems == []
    assert policy.manifest.deployments[0].name == "chat"


def test_a_person_at_a_terminal_is_told_of_every_fault_at_once(tmp_path: Path) -> None:
    """Manifest and rule are both broken: both are named, with their lines."""
    path = write(tmp_path)
    (tmp_path / "manifest.yaml").write_text("deployments:\n  - {name: chat, unti: x}\n")
    (tmp_path / "rules" / "probe.yml").write_text(RULE.replace("level: low", "level: loud"))
    with pytest.raises(ConfigError) as caught:
        Policy(path, strict=True, more=lambda config: faults(config, str(path)))
    places = {(Path(p.path).name, p.line) for p in caught.value.problems}
    assert ("manifest.yaml", 2) in places
    assert any(name == "probe.yml" for name, _ in places)


def test_a_fault_in_the_sinks_is_told_at_a_terminal(tmp_path: Path) -> None:
    """A sink that does not exist would never deliver: the person who wrote it is told at once."""
    path = write(tmp_path)
    path.write_text(path.read_text() + "sinks: {webhok: {url: 'http://127.0.0.1/'}}\n")
    with pytest.raises(ConfigError, match="webhook"):
        Policy(path, strict=True, more=lambda config: faults(config, str(path)))


def test_a_restarted_service_goes_on_with_the_last_good_configuration(tmp_path: Path) -> None:
    """The file broke while the service was down: it watches as before, and says what is wrong."""
    path = write(tmp_path)
    before = Policy(path, strict=False)
    path.write_text(path.read_text() + "weights: {pahts: [/models]}\n")
    after = Policy(path, strict=False)
    assert after.config == before.config
    assert any("pahts" in problem.text for problem in after.problems)
    with pytest.raises(ConfigError):
        Policy(path, strict=True)


def test_a_service_that_never_had_a_good_configuration_says_so(tmp_path: Path) -> None:
    """There is nothing to fall back on, and a default is never taken for what was meant."""
    path = write(tmp_path)
    path.write_text(f"state_dir: {tmp_path}/state\nwaights: {{}}\n")
    with pytest.raises(ConfigError):
        Policy(path, strict=False)


def test_a_restarted_service_keeps_its_manifest(tmp_path: Path) -> None:
    """A broken one does not take away what was in force."""
    path = write(tmp_path)
    Policy(path, strict=False)
    (tmp_path / "manifest.yaml").write_text("{")
    policy = Policy(path, strict=False)
    assert policy.problems
    assert policy.manifest.deployments[0].name == "chat"


def test_a_reload_is_all_or_nothing(tmp_path: Path) -> None:
    """One broken file of the manifest keeps the whole of the last good one in force, until it is mended."""
    path = write(tmp_path)
    policy = Policy(path, strict=False)
    assert not policy.changed()
    (tmp_path / "manifest.yaml").write_text("deployments: []\n")
    (tmp_path / "manifest.d").mkdir()
    (tmp_path / "manifest.d" / "more.yaml").write_text("{")
    assert policy.changed()
    assert policy.reload() == ""
    assert policy.problems
    assert len(policy.manifest.deployments) == 1
    (tmp_path / "manifest.d" / "more.yaml").write_text("jobs: []\n")
    assert policy.reload() == "manifest: deployment chat removed"
    assert policy.manifest.deployments == ()
    assert not policy.changed()


def test_a_change_of_authority_is_a_fact_that_names_nobody_it_did_not_see(tmp_path: Path) -> None:
    """The portable tier does not know who wrote the file: the fact says `unknown`."""
    policy = Policy(write(tmp_path), strict=False)
    fact = policy.change("policy", "manifest: 1 deployments", clock.now())
    assert fact.action == "authority_change"
    assert fact.replguard is not None
    assert fact.replguard.attribution == "unknown"
    assert fact.replguard.difference == "policy: manifest: 1 deployments"


def test_the_file_of_a_change_is_named_as_the_kernel_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, also where the configuration says it by the folder of whoever starts the daemon: who wrote it is found."""
    write(tmp_path)
    (tmp_path / "c.yaml").write_text("state_dir: ./state\nmanifest: ./manifest.yaml\nrules: {paths: [./rules]}\n")
    monkeypatch.chdir(tmp_path)
    policy = Policy(Path("c.yaml"), strict=True)
    os.utime(tmp_path / "manifest.yaml", (2e9, 2e9))
    policy.reload()
    for by, path in ((None, tmp_path / "manifest.yaml"), ("/a/rule.yml", "/a/rule.yml")):
        fact = policy.change("policy", "something", clock.now(), by)
        assert fact.file is not None
        assert fact.file.path == str(path)


def test_a_reload_tells_the_difference(tmp_path: Path) -> None:
    """By name: what came, what went, what says something else now."""
    path = write(tmp_path)
    policy = Policy(path, strict=False)
    assert policy.reload() == ""
    (tmp_path / "manifest.yaml").write_text(
        "deployments: [{name: chat, unit: vllm.service, weights: [/models], max_instances: 2}]\n"
        "jobs: [{name: backup, unit: b.service, may: [copy]}]\n"
    )
    assert policy.reload() == "manifest: job backup added; deployment chat changed"
    write(tmp_path)
    assert policy.reload() == "manifest: deployment chat changed; job backup removed"


def test_it_says_of_a_last_good_one_only_where_there_is_one(tmp_path: Path) -> None:
    """At a first start what is broken has none; the rest is in force, also after a reload that mends nothing."""
    broken = "manifest.yaml"
    path = write(tmp_path, **{broken: "{"})
    policy = Policy(path, strict=False)
    assert policy.first
    assert policy.in_force.startswith("there is no last good one")
    assert policy.reload() == ""
    assert policy.in_force.startswith("there is no last good one")
    write(tmp_path)
    policy.reload()
    (tmp_path / broken).write_text("{")
    policy.reload()
    assert policy.problems
    assert policy.in_force == "the last good one stays in force"
    again = Policy(path, strict=False)
    assert not again.first
    assert again.in_force == "the last good one stays in force"


def test_no_manifest_is_a_last_good_one_too(tmp_path: Path) -> None:
    """Where nothing was allowed, a broken file allows nothing either, also not what is whole in it."""
    path = write(tmp_path)
    (tmp_path / "manifest.yaml").unlink()
    Policy(path, strict=False)
    (tmp_path / "manifest.yaml").write_text("jobs:\n  - {name: a, unit: a, may: [copy]}\n  - {name: b, may: [copy]}\n")
    policy = Policy(path, strict=False)
    assert policy.manifest.jobs == ()
    assert policy.in_force == "the last good one stays in force"


def opened(folder: Path, mode: int = 0o777) -> Path:
    """Write a configuration whose state folder everybody may write to, with a last good one planted in it."""
    path = write(folder)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state").chmod(mode)
    return path


def test_a_state_folder_that_others_can_change_is_refused_at_a_terminal(tmp_path: Path) -> None:
    """With the key, the folder, who can, and what to do; nothing is written into it."""
    path = opened(tmp_path)
    with pytest.raises(ConfigError) as caught:
        Policy(path, strict=True)
    assert str(caught.value).startswith(f"{path}: state_dir: {tmp_path}/state can be written to by everybody, who can")
    assert "chmod go-w" in str(caught.value)
    assert list((tmp_path / "state").iterdir()) == []


def test_a_service_does_without_a_state_folder_that_others_can_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its state where nobody else can write, for this run, and says so as long as it is so."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'run'}:/elsewhere")
    (tmp_path / "run").mkdir()
    policy = Policy(opened(tmp_path), strict=False)
    assert policy.problems == []
    state = Path(policy.config.state_dir)
    assert state.parent == tmp_path / "run"
    assert state.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "state").iterdir()) == []
    (told,) = policy.look()
    assert "everybody" in told.text
    assert "each start begins with a state of its own" in told.text
    assert (policy.look(), policy.unsafe) == ([], [told])
    (tmp_path / "state").chmod(0o700)
    assert (policy.look(), policy.unsafe) == ([], [])
    del policy
    assert list((tmp_path / "run").iterdir()) == []


def test_no_last_good_configuration_is_taken_from_where_others_can_plant_one(tmp_path: Path) -> None:
    """There it could tell the daemon to watch nothing."""
    Policy(opened(tmp_path, 0o700), strict=False)
    path = write(tmp_path, **{"replguard.yaml": f"state_dir: {tmp_path}/state\nunknown: 1\n"})
    assert Policy(path, strict=False).problems
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(ConfigError):
        Policy(path, strict=False)


def test_without_any_place_for_its_state_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory alone."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/gone")
    policy = Policy(opened(tmp_path), strict=False)
    assert policy.manifest.deployments[0].name == "chat"
    assert not Path(policy.config.state_dir).exists()


@pytest.mark.root
def test_who_owns_the_configuration_is_trusted_with_the_folders(tmp_path: Path) -> None:
    """They say what is done here anyway: a checkout of one's own can be run as root."""
    path = write(tmp_path)
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 1234, 1234)
    with pytest.raises(ConfigError, match="belongs to user 1234"):
        Policy(path, strict=True)
    os.chown(path, 1234, 1234)
    assert Policy(path, strict=True).unsafe == []
