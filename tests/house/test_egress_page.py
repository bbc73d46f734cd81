"""What the page on egress and the runbook say can be done is done: commands are run, numbers compared."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from replguard.config import Config
from replguard.events import wire
from replguard.events.alert import Alert
from replguard.provenance import accounts, egress, egress_store, parts
from replguard.rules.cases import read_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE, RUNBOOK = ((ROOT / "docs" / name).read_text() for name in ("egress.md", "runbook.md"))
SECTION = RUNBOOK.partition("\n## weights-egress\n")[2].partition("\n## ")[0]
JOBS, SETTINGS = (match[1] for match in re.finditer(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SENDER = "restic.service"


def run(*words: object, folder: Path) -> str:
    done = subprocess.run(list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def replayed(folder: Path, units: list[str], *words: object) -> list[Alert]:
    """Return the alerts of a recorded log in which units passed the limit, as the daemon writes them."""
    (case, *_) = read_cases(ROOT / "tests" / "rules" / "weights" / "weights-egress-service.yml")
    (event,) = case.events
    lines = []
    for unit in units:
        fact = msgspec.json.decode(msgspec.json.encode(event).replace(b"vllm.service", unit.encode()))
        fact["event"] |= {"id": f"fact-{unit}", "kind": "enrichment", "provider": "provenance"}
        fact["replguard"] |= {"origin": {"path": "/models/llama-70b/model-00001.safetensors"}}
        fact["replguard"]["actor"] |= {"id": unit}
        lines.append(msgspec.json.encode(fact))
    (folder / "events.jsonl").write_bytes(b"\n".join(lines))
    (folder / "replguard.yaml").write_text("rules:\n  disable: []\n")
    replay = (sys.executable, "-m", "replguard", "replay", "-c", "replguard.yaml", "--json")
    return [wire.alert(line.encode()) for line in run(*replay, *words, "events.jsonl", folder=folder).splitlines()]


def test_the_manifest_of_the_page_allows_its_job_and_nobody_else(tmp_path: Path) -> None:
    """With the replay that the page names: the job is silent; a deployment and who is not in it are told."""
    (tmp_path / "manifest.yaml").write_text(JOBS)
    units = [SENDER, "other.service", "vllm.service"]
    told = replayed(tmp_path, units), replayed(tmp_path, units, "--manifest", "manifest.yaml")
    assert {alert.rule.name for alert in told[0]} == {"weights-egress-service"}
    principals = [[alert.replguard.actor.principal for alert in alerts if alert.replguard.actor] for alerts in told]
    assert principals == [[f"unit:{unit}" for unit in units], [f"unit:{unit}" for unit in units[1:]]]


def test_both_files_of_the_page_pass_check(tmp_path: Path) -> None:
    """The manifest, and the configuration with what never counts."""
    (tmp_path / "manifest.yaml").write_text(JOBS)
    (tmp_path / "my.yaml").write_text(f"{SETTINGS}manifest: manifest.yaml\nstate_dir: state\nlog:\n  dir: log\n")
    run(sys.executable, "-m", "replguard", "check", "-c", "my.yaml", folder=tmp_path)


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq here")
def test_the_commands_of_the_runbook_tell_of_an_alert(tmp_path: Path) -> None:
    """Each is run on the alert of a fact: its sentence, what contains it, and what would have allowed it."""
    (alert,) = replayed(tmp_path, [SENDER])
    (tmp_path / "alerts.jsonl").write_bytes(msgspec.json.encode(alert) + b"\n")
    found = re.findall(r"^# (jq .+)$", SECTION, re.MULTILINE)
    listed = run("sh", "-c", found[0], folder=tmp_path)
    name, said = listed.strip().split("\t")
    assert said.startswith(f"scp (pid 1300) of service {SENDER} sent 57.2 MiB to 203.0.113.9:22")
    contained, allowed = (run("sh", "-c", one.replace("ID", name), folder=tmp_path) for one in found[1:])
    assert re.search(r"^nft .* ip daddr 203\.0\.113\.9 drop'$", contained, re.MULTILINE)
    assert f"unit: {SENDER}" in allowed
    assert "may: [access, egress]" in allowed


def test_the_numbers_of_the_page_are_the_codes() -> None:
    """The limit, how long a touch and what was sent count, and how often the ledger is written."""
    limit = Config().egress.limit // 2**20
    assert f"`egress.limit`, {limit} MiB as shipped" in PAGE
    assert f"opens an account for {accounts.KEEPS.days} days" in PAGE
    assert (egress_store.EVERY.total_seconds(), egress_store.AT_MOST.total_seconds()) == (1, 10)
    assert "written within a second (a large one within ten)" in PAGE
    assert egress.FRESH.total_seconds() == 600
    assert "within ten minutes of reading weights" in PAGE
    assert parts.LATE.total_seconds() == 5
    assert "the five seconds before a touch" in PAGE
