"""No file event that a rule would match is filtered away by its name, and most names are."""

from pathlib import Path

import pytest
from support.rulebook import event, good

from replguard.rules.evaluable import EVERYTHING
from replguard.rules.index import Index
from replguard.rules.load import load
from replguard.rules.paths import Paths

SHIPPED = load([], makes=EVERYTHING)
ORDINARY = ("/tmp/build/object.o", "/home/user/notes.txt", "/srv/data/part-00001", "/var/lib/dpkg/status")


def rule(selection: str, category: str = "file_event") -> str:
    return f"""
title: one
name: one
logsource: {{product: linux, category: {category}}}
detection:
  selection: {selection}
  condition: selection
level: low
"""


@pytest.mark.parametrize(
    "path",
    [
        "/etc/cron.d/job",
        "/etc/systemd/system/x.service",
        "/home/a/.config/systemd/user/x.timer",
        "/root/.ssh/authorized_keys",
        "/home/a/.bashrc",
        "/var/spool/cron/crontabs/root",
    ],
)
def test_what_a_shipped_rule_matches_is_wanted(path: str) -> None:
    """Each of these names is one that some shipped rule fires on, so it passes the filter too."""
    index, wanted = Index(SHIPPED.rules), Paths(SHIPPED.rules)
    actions = ("file_create", "file_close_write", "file_link", "file_rename", "file_delete")
    assert any(index.matches(event(0, action, file__path=path)) for action in actions)
    assert wanted(path)
    assert wanted(path.upper())


def test_ordinary_names_are_not_wanted_by_the_shipped_rules() -> None:
    """Every shipped rule can be decided by its path: what builds and users make costs nothing."""
    wanted = Paths(SHIPPED.rules)
    assert wanted.everything == []
    assert not any(map(wanted, ORDINARY))


@pytest.mark.parametrize(
    ("selection", "path", "found"),
    [
        ("{TargetFilename|endswith: /evil}", "/tmp/EVIL", True),
        ("{TargetFilename|endswith: /evil}", "/tmp/evil.txt", False),
        ("{TargetFilename|contains: dark}", "/a/undarkened", True),
        ("{TargetFilename|re: '/x/[a-z]+\\.sh'}", "/x/run.sh", True),
        ("{file.path: /a/b}", "/a/b", True),
        ("{file.path: /a/b}", "/a/b/c", False),
    ],
)
def test_a_users_rule_widens_the_filter(tmp_path: Path, selection: str, path: str, found: bool) -> None:
    """By what it looks for in the path, whatever it calls the field; ordinary names stay out."""
    wanted = Paths(good(tmp_path, rule(selection)).rules)
    assert wanted(path) is found
    assert not any(map(wanted, ORDINARY))


@pytest.mark.parametrize("selection", ["{Image|endswith: /wget}", "{TargetFilename|re: '.{80}'}", "{User: root}"])
def test_a_rule_of_which_the_path_says_nothing_wants_everything(tmp_path: Path, selection: str) -> None:
    """It is named, so that whoever wonders about the cost can find it."""
    wanted = Paths(good(tmp_path, rule(selection)).rules)
    assert wanted.everything == ["one"]
    assert all(map(wanted, ORDINARY))


def test_rules_on_other_events_do_not_matter(tmp_path: Path) -> None:
    """A process rule asks for no file."""
    wanted = Paths(good(tmp_path, rule("{CommandLine|contains: rm}", "process_creation")).rules)
    assert wanted.everything == []
    assert not wanted("/tmp/rm")
