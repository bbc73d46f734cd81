"""What the documents say can be done can be done: commands, options, links, keys, metrics and anchors exist."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest
import yaml

from replguard import cli, config, yamlfile
from replguard.events import wire
from replguard.events.alert import AlertContext
from replguard.events.catalogue import KINDS
from replguard.metrics.table import METRICS
from replguard.provenance.manifest import Deployment, Job

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
VERBS = cli.group.list_commands(click.Context(cli.group))


def each(pattern):
    """Return (page, match) for every match of a pattern in any page, with ids that name both."""
    return [
        pytest.param(
            page, match, id=f"{page.relative_to(ROOT)}:{page.read_text().count(chr(10), 0, match.start()) + 1}"
        )
        for page in PAGES
        for match in re.finditer(pattern, page.read_text())
    ]


@pytest.mark.parametrize(("page", "link"), each(r"\]\((?!https?://|#)([^)\s]+)\)"))
def test_links_lead_to_files(page, link):
    """A relative link names a file or folder of the repository."""
    assert (page.parent / link[1].split("#")[0]).exists()


@pytest.mark.parametrize(("page", "target"), each(r"(?:^|`)(?:\$ )?make ([a-z-]+)"))
def test_make_targets_exist(page, target):
    """What is said to be made can be made."""
    assert re.search(rf"^{target[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def commands():
    """Yield (page and line, verb, options) for every command of ours in code, inline or fenced."""
    for page in PAGES:
        text = page.read_text()
        for code in re.finditer(
            r"`(?:python -m )?(replguard [^`\n]+)`|^[$#] (?:\S+ -m )?(replguard [^\n]+)", text, re.MULTILINE
        ):
            words = (code[1] or code[2]).split(" && ")[0].split()
            where = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, code.start()) + 1}"
            yield pytest.param(words[1:], id=f"{where} {' '.join(words)}")


@pytest.mark.parametrize("words", list(commands()))
def test_verbs_and_options_exist(words):
    """A command that a page names is one that the program has, with the options that the page gives."""
    command, context = cli.group, click.Context(cli.group)
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(context, word)
            assert command is not None, f"no verb {word}"
        elif word.startswith("-"):
            known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
            assert word.split("=")[0] in known


@pytest.mark.parametrize(("page", "name"), each(r"\breplguard_([a-z_]+)\b"))
def test_metrics_exist(page, name):
    """A metric that a page names is one that the daemon has."""
    assert name[1] in METRICS


def fences(language):
    return [
        pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{page.read_text().count(chr(10), 0, match.start()) + 1}")
        for page in PAGES
        for match in FENCE.finditer(page.read_text())
        if match[1] == language
    ]


@pytest.mark.parametrize("text", fences("yaml"))
def test_yaml_in_the_documents_is_right(text):
    """It is YAML; and where it has the keys of a configuration, it is a configuration."""
    (document,) = yamlfile.parse(text.encode(), "page")
    keys = set(document.value) if isinstance(document.value, dict) else set()
    problems = []
    if keys and keys <= set(config.Config.__struct_fields__):
        assert yamlfile.convert(document, config.Config, problems, dec_hook=config.dec_hook) is not None
    assert problems == []


def test_the_quickstarts_configuration_passes_check(tmp_path):
    """The file that the quickstart shows is one that `check` finds right."""
    text = (ROOT / "docs/quickstart.md").read_text()
    (shown,) = [match[2] for match in FENCE.finditer(text) if match[2].startswith("# my.yaml\n")]
    (tmp_path / "my.yaml").write_text(shown)
    command = [sys.executable, "-m", "replguard", "check", "-c", "my.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_runbook_anchor_that_a_rule_names_exists():
    """An alert sends whoever is on call to a section that is there."""
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    named = {
        (rule.name, document["replguard"]["runbook"].partition("#")[2])
        for rule in (ROOT / "rules").rglob("*.yml")
        for document in yaml.safe_load_all(rule.read_text())
        if isinstance(document.get("replguard"), dict) and document["replguard"].get("runbook")
    }
    assert {(rule, anchor) for rule, anchor in named if anchor not in anchors} == set()


def test_every_changelog_fragment_is_shown():
    """A fragment that the page does not include is a change that nobody hears of."""
    page = (ROOT / "docs/changelog.md").read_text()
    assert all(f"changelog.d/{part.name}" in page for part in (ROOT / "docs/changelog.d").glob("*.md"))


def named(page):
    """Return every word that a page sets in code style."""
    return {part for code in re.findall(r"`([^`\n]+)`", (ROOT / "docs" / page).read_text()) for part in code.split(".")}


def test_the_alert_shown_is_an_alert():
    """The example is a line that the daemon wrote, and the page names every field that an alert can have."""
    shown = wire.alert((ROOT / "docs/examples/alert.json").read_bytes())
    assert shown.rule.level == "critical"
    assert {field.name for field in msgspec.structs.fields(AlertContext)} <= named("reference/alert-format.md")


def test_every_key_of_the_manifest_is_explained():
    """The page names every key that an entry may have."""
    keys = {field.name for kind in (Deployment, Job) for field in msgspec.structs.fields(kind)}
    assert {key for key in keys if key != "scheduler"} <= named("reference/manifest.md")


def test_every_fact_is_explained():
    """The table of facts and levels has them all."""
    assert {action for action, kind in KINDS.items() if kind.fact} <= named("facts.md")


def test_the_manual_pages_are_those_of_pages():
    """Each is made of a page that is there, in the section of its kind."""
    settings = runpy.run_path(str(ROOT / "docs/conf.py"))
    pages = {name: (source, section) for source, name, _, _, section in settings["man_pages"]}
    assert (pages["replguard"][1], pages["replguard.yaml"][1]) == (1, 5)
    assert all((ROOT / f"docs/{source}.md").exists() for source, _ in pages.values())
