"""The walk of a reviewer is gone as the page says: each command is run, in its order, and each answer compared."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import bundles, cases, logs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reviewing.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [command for block in BLOCKS for command in re.findall(r"^[#$] (.+)$", block, re.MULTILINE)]
(ANSWER,) = re.findall(r"^```text\n(incident .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
VARIES = re.compile(r"[A-Za-z0-9+/]{43}=|\b[0-9a-f]{16}\b(?<!1234567890abcdef)|\b\d+ (?=records|blocks)")
"""Keys, hashes and counts: another log has others."""


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Go the way in a folder with a log; return what each command printed."""
    tmp_path = tmp_path_factory.mktemp("walk")
    log = cases.made(tmp_path / "var" / "log", tmp_path / "state")
    logs.made(log, tmp_path / "state", count=20)
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "replguard"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m replguard "$@"\n')
    shim.chmod(0o755)
    (tmp_path / "c.yaml").write_text(f"log: {{dir: {log}}}\n")
    path = f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = {}
    for command in COMMANDS:
        # The log of the page is the configured one; here that has to be named.
        ours = re.sub(r"^replguard report", f"replguard report -c {tmp_path}/c.yaml", command)
        ours = ours.replace("/var/log/replguard", str(log))
        done = subprocess.run(
            ["/bin/sh", "-c", ours],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        printed[command] = done.stdout
    return tmp_path, printed


def test_the_way_ends_with_a_bundle_that_is_verified(walk):
    """From the list of incidents to the records on another computer."""
    folder, printed = walk
    assert len(COMMANDS) >= 10
    assert cases.INCIDENT in printed["replguard report"]
    assert (folder / "incident.html").read_text().startswith("<!DOCTYPE html>")
    told = printed["replguard verify incident.zip --trust checkpoints"]
    assert VARIES.sub("…", told) == VARIES.sub("…", ANSWER)
    (record, *_) = (folder / "incident" / "records.jsonl").read_text().splitlines()
    assert printed["head -n 1 incident/records.jsonl"] == record + "\n"
    key = logs.found(folder / "var" / "log", "evidence").parts[0].header.by
    assert bundles.proven(folder / "incident.zip", key)


def test_the_files_of_a_bundle_are_those_that_are_described(walk):
    """The table of the page names each."""
    page = (ROOT / "docs" / "reference" / "bundle.md").read_text()
    described = {name for name in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE) if "/" not in name}
    files = bundles.files(walk[0] / "incident.zip")
    assert {name for name in files if "/" not in name} == described
    assert all(name.startswith("rules/") for name in files if "/" in name)
