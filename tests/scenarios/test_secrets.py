"""A credential that a program is given is in nothing that a running daemon writes, shows or sends."""

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from support import credentials, daemon
from support.daemon import PORTABLE, Daemon

from replguard.drill import dummy
from replguard.drill.stage import Stage

pytestmark = pytest.mark.timeout(200)

MARKER = "seen-by-the-rule"
RULE = f"""
title: A program with a marker
id: 6e0e5a8c-3f8e-4f7e-9a53-0d9a7a3c9a10
name: marker
status: experimental
description: For the test.
logsource: {{product: linux, category: process_creation}}
detection:
  selection: {{CommandLine|contains: {MARKER}}}
  condition: selection
level: high
"""
SECONDS = 20.0
SHOWN = ("--password ***", "--api-key=***", "--hf-token hf_***", "Bearer ***", "me:***@example.org", "DB_PASSWORD=***")


def secrets() -> dict[str, str]:
    """Return credentials by the option, variable or sentence that they are given in, ``{}`` for each."""
    prefix, rest = credentials.KNOWN["huggingface"]
    return {
        "{}": f"corp_{credentials.body(20, credentials.HEX, seed='house')}",
        "--password {}": credentials.body(14, seed="a"),
        "--api-key={}": credentials.body(18, seed="b"),
        "--hf-token {}": prefix + rest,
        "-H 'Authorization: Bearer {}'": credentials.body(40, seed="c"),
        "https://me:{}@example.org/x": credentials.body(16, seed="d"),
        "'DB_PASSWORD={}'": credentials.body(15, seed="e"),
        "--passphrase '{} of two words'": credentials.body(13, seed="f"),
        '\'{{"token": "{}"}}\'': credentials.body(22, seed="g"),
    }


def settings(tier: str) -> Any:
    def made(stage: Stage) -> dict[str, Any]:
        model = stage.folder / "models" / "model.safetensors"
        model.parent.mkdir()
        dummy.write_file(model, ["a"], np.random.default_rng(1))
        (stage.folder / "daemon").mkdir(exist_ok=True)
        rule = stage.folder / "marker.yml"
        rule.write_text(RULE)
        return {
            "weights": {"paths": [str(model.parent)], "discover": False},
            "watch": {"paths": [str(stage.folder)]},
            "rules": {"paths": [str(rule)]},
            "sinks": {"jsonl": {"path": str(stage.folder / "daemon" / "alerts.jsonl")}, "console": {}},
            "log": {"dir": str(stage.folder / "daemon" / "log"), "mask": ["corp_[a-z0-9]{16,}"]},
            **(PORTABLE if tier == "portable" else {}),
        }

    return made


def start(host: Daemon, *args: str) -> None:
    """Run a shell that copies the model, with more arguments than it needs and a credential in its environment."""
    model = host.folder / "models" / "model.safetensors"
    line = f"sleep 1; TOKEN={credentials.body(17, seed='line')} cp {model} {host.folder}/copy-$$; sleep 1"
    environment = os.environ | {"SESSION_TOKEN": credentials.body(19, seed="environment")}
    with subprocess.Popen(["sh", "-c", line, MARKER, *args], env=environment, stdin=subprocess.DEVNULL):
        pass


def written(folder: Path) -> dict[Path, bytes]:
    """Return all that stands in the files of a folder, unpacked."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        path: zstandard.ZstdDecompressor().decompressobj().decompress(data) if path.suffix == ".zst" else data
        for path, data in found.items()
    }


def everything(tier: str) -> None:
    """Give every credential to programs, one at the place where a long command line is cut, and look for them."""
    given = secrets()
    hidden = [*given.values(), credentials.body(17, seed="line"), credentials.body(19, seed="environment")]
    with daemon.running(settings(tier)) as host:
        start(host, *(word for text, secret in given.items() for word in shlex.split(text.format(secret))))
        cut = credentials.body(30, seed="cut")
        for padding in (960, 990, 1000):
            start(host, "x" * padding, "--password", cut, "y" * 3000, "--token", cut)
        deadline = time.monotonic() + SECONDS
        while not {"marker"} <= {alert["rule"]["name"] for alert in host.alerts()} and time.monotonic() < deadline:
            time.sleep(0.1)
        alerts = [alert for alert in host.alerts() if alert["rule"]["name"] == "marker"]
        time.sleep(3)  # until the copies are made and what ran is told again
        status = (host.folder / "daemon" / "state" / "status.json").read_bytes()
        host.watcher.stop()
        found = written(host.folder / "daemon")
    assert alerts
    raw = b"".join(data for path, data in found.items() if path.name.startswith("raw-"))
    for text in SHOWN:
        assert text.encode() in raw
    for secret in [*hidden, cut, cut[:12], cut[-12:]]:
        assert secret.encode() not in status
        assert [str(path) for path, data in found.items() if secret.encode() in data] == []
    assert MARKER.encode() in raw
    assert b"TOKEN=*** cp " in raw
    assert any(b"marker" in data for path, data in found.items() if path.name == "daemon.log")


@pytest.mark.root
def test_nothing_of_a_credential_is_written_in_the_kernel_tier() -> None:
    """Arguments, a line for a shell, the parent's command line, environment: log, alerts, status, what is printed."""
    everything("kernel")


def test_nothing_of_a_credential_is_written_in_the_portable_tier() -> None:
    """The same, read from /proc."""
    everything("portable")
