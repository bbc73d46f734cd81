"""The page for authors of rules: its files are written, its commands run in order, and print what it shows."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "writing-rules.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRAPPER = f'replguard() {{ {shlex.quote(sys.executable)} -m replguard "$@"; }}; '


def run(command, folder):
    """Return the exit status and all that a command prints."""
    done = subprocess.run(
        ["bash", "-c", WRAPPER + command], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False, timeout=110, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.returncode, done.stdout


def steps():
    """Yield the page's files and commands from top to bottom, a command with what is shown below it."""
    for language, text in FENCE.findall(PAGE.read_text()):
        name = re.match(r"# (\S+\.ya?ml)\n", text)
        if language == "yaml" and name:
            yield "file", name[1], text
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE) * (language == "console"):
            yield "run", command, shown


@pytest.mark.timeout(300)
def test_every_command_of_the_page_does_what_it_shows(tmp_path):
    """In the order of the page, on the files that it has shown so far."""
    shutil.copy(ROOT / "docs" / "examples" / "events.jsonl", tmp_path)
    (tmp_path / "mine").mkdir()
    ran = 0
    for kind, what, text in steps():
        if kind == "file":
            (tmp_path / what).parent.mkdir(exist_ok=True)
            (tmp_path / what).write_text(text)
            continue
        status, output = run(what, tmp_path)
        faulty = "faults" in text or " 1 failed" in text
        assert (status != 0) == faulty, f"{what}: {output}"
        assert not text or output == text, what
        ran += 1
    assert ran >= 8


def test_the_case_that_fails_on_the_page_passes_as_it_says(tmp_path):
    """With the model named."""
    files = {what: text for kind, what, text in steps() if kind == "file" and what.startswith("mine/")}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        fixed = text.replace("          lineage: [shell]\n", "          model: chat\n          lineage: [shell]\n", 1)
        (tmp_path / name).write_text(fixed)
    status, output = run("replguard rules test mine", tmp_path)
    assert (status, output) == (0, "2 rules, 4 cases passed, 0 failed\n")


def test_what_explain_prints_has_the_sections_that_the_page_names(tmp_path):
    """And the configuration of the page finds the rule."""
    for kind, what, text in steps():
        if kind == "file":
            (tmp_path / what).parent.mkdir(exist_ok=True)
            (tmp_path / what).write_text(text)
    status, output = run("replguard rules explain upload-tool -c my.yaml", tmp_path)
    assert status == 0
    for section in ("Events", "Made by", "Fields", "Found by", "Counts for"):
        assert f"\n{section}\n" in output
    assert re.search(r"\nFound by\n  '.*': an event without is passed over\n", output)
