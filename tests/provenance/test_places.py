"""Files that others start something from: what their paths and their lines say."""

import os
from pathlib import Path

import pytest
from support.credentials import PLAIN

from replguard.masking.mask import masked
from replguard.provenance import places


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/etc/systemd/system/replica.service", "replica"),
        ("/etc/systemd/system/replica.timer", "replica"),
        ("/etc/systemd/system/web@.service", "web@"),
        ("/etc/systemd/system/web.service.d/x.conf", "web"),
        ("/home/ann/.config/systemd/user/replica.service", "replica"),
        ("/run/systemd/system.control/a.service", "a"),
        ("/etc/systemd/system/multi-user.target.wants/web.service", None),
        ("/srv/replica.service", None),
    ],
)
def test_unit_files(path: str, unit: str | None) -> None:
    """Also their parts and what starts them by the clock; a link that enables one is none."""
    assert places.unit(path) == unit


def test_a_unit_may_come_from_a_template() -> None:
    """What follows the sign is its instance."""
    assert places.templates("web@1") == ("web@1", "web@")
    assert places.templates("web") == ("web",)


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("/home/ann/.bashrc", "/home/ann"),
        ("/root/.profile", "/root"),
        ("/etc/profile.d/x.sh", ""),
        ("/etc/bash.bashrc", ""),
        ("/home/ann/notes", None),
    ],
)
def test_files_that_shells_read_when_they_start(path: str, whose: str | None) -> None:
    """One's own, and everybody's."""
    assert places.shell_of(path) == whose


def test_files_of_commands_lie_in_places_of_roots() -> None:
    """Home folders may lie on servers that do not answer: nothing there is read."""
    for path in ("/etc/crontab", "/etc/cron.d/x", "/var/spool/cron/crontabs/ann", "/var/spool/cron/atjobs/a00001"):
        assert places.has_commands(path)
    for path in ("/home/ann/crontab", "/srv/etc/cron.d/x", "/etc/cron.hourly/x"):
        assert not places.has_commands(path)


def test_lines_are_read_without_comments_and_blanks(tmp_path: Path) -> None:
    """And with single blanks only."""
    file = tmp_path / "crontab"
    file.write_text("# m h\n\n* * *  * *\troot  cp a b\n")
    assert places.lines(str(file)) == ("* * * * * root cp a b",)


def test_a_line_is_what_the_arguments_of_its_command_will_be(tmp_path: Path) -> None:
    """A credential in it is masked as in the arguments with which it is compared."""
    file = tmp_path / "crontab"
    file.write_text(f"* * * * * root mysqldump -p{PLAIN} db > /x\n1 * * * * root TOKEN={PLAIN} cp a b\n")
    first, second = places.lines(str(file))
    assert first.endswith(" ".join(masked(("mysqldump", f"-p{PLAIN}", "db"))) + " > /x")
    assert second.endswith(masked(("sh", "-c", f"TOKEN={PLAIN} cp a b"))[2])


def test_tables_are_crons() -> None:
    """Its jobs may be one word alone."""
    assert places.is_table("/etc/cron.d/x")
    assert places.is_table("/var/spool/cron/crontabs/ann")
    assert not places.is_table("/var/spool/cron/atjobs/a00001")
    assert not places.is_table("/etc/supervisor/x.conf")
    assert not places.is_table("/srv/cron.d/x")


def test_lists_are_those_that_are_there() -> None:
    """On this host, whatever it has."""
    for path, way in places.lists().items():
        assert path == way
        assert Path(path).is_file()
        assert places.has_commands(path)


def test_nothing_but_a_regular_file_is_read(tmp_path: Path) -> None:
    """A FIFO would wait, a link leads elsewhere, and what is too long is cut."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "long").write_text("x y\n" * places.LONGEST)
    (tmp_path / "link").symlink_to(tmp_path / "long")
    assert places.lines(str(tmp_path / "fifo")) == ()
    assert places.lines(str(tmp_path / "link")) == ()
    assert places.lines(str(tmp_path / "absent")) == ()
    assert places.lines(str(tmp_path)) == ()
    assert places.lines("a\0b") == ()
    assert len(places.lines(str(tmp_path / "long"))) == places.LONGEST // 4


def test_lines_are_told_apart() -> None:
    """By eight bytes each."""
    assert places.mark("a") == places.mark("a") != places.mark("b")
    assert len(places.mark("a")) == 8


@pytest.mark.parametrize(
    ("text", "command", "found"),
    [
        ("ssh host cp a b", "cp a b", True),
        ("sh -c ssh host 'cp a b'", "cp a b", True),
        ("docker exec c sh", "sh", True),
        ("docker exec sh c", "sh", False),
        ("ssh host scp a b", "cp a b", False),
        ("ssh host cp a bc", "cp a b", False),
        ("ssh host cp a bc; cp a b", "cp a b", True),
        ("run /opt/x", "/opt/x", True),
        ("run /opt/xy", "/opt/x", False),
        ("run x now", "x", False),
        ("cp a b", "cp a b", True),
        ("ssh host", "", False),
    ],
)
def test_a_text_names_a_command(text: str, command: str, *, found: bool) -> None:
    """As words of its own; a single word only at the end."""
    assert places.names(text, command, alone=True) is found


def test_a_word_alone_says_too_little_of_most() -> None:
    """Many programs are given another's name."""
    assert not places.names("timeout 5 probe", "probe")
