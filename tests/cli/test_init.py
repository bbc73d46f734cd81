import pytest
import rich_click as click
from click.testing import CliRunner

from replguard import __version__, cli
from replguard.errors import ConfigError, Problem, ReplguardError


@pytest.fixture
def failing(monkeypatch):
    """Return a function that runs the group with one verb which raises the given error."""

    def run(error):
        @click.command()
        def command():
            raise error

        monkeypatch.setattr(cli.Verbs, "get_command", lambda *_: command)
        return CliRunner().invoke(cli.group, ["verb"])

    return run


def test_version():
    """The version is told by the group."""
    assert CliRunner().invoke(cli.group, ["--version"]).output == f"replguard {__version__}\n"


def test_every_module_is_a_verb_with_help():
    """Each file of the folder gives a command, and the command explains itself."""
    context = click.Context(cli.group)
    for name in cli.group.list_commands(context):
        command = cli.group.get_command(context, name)
        assert isinstance(command, click.Command | click.Group), name
        assert command.get_short_help_str(), name
        assert command.name == name, "the overview of all verbs shows this name"


def test_config_error_gives_each_problem_its_line(failing):
    """Every problem stands on a line of its own, in order, and the exit code is 2."""
    result = failing(ConfigError([Problem("b.yml", 2, "two"), Problem("a\n.yml", 1, "one")]))
    assert result.exit_code == 2
    assert result.stderr == "a\\n.yml:1: one\nb.yml:2: two\n"


def test_other_errors_are_one_sentence(failing):
    """What replguard raises on purpose is a sentence without a traceback."""
    result = failing(ReplguardError("There is no log in /x."))
    assert (result.exit_code, result.stderr) == (2, "replguard: There is no log in /x.\n")


def test_interrupt_exits_130(failing):
    """Ctrl-C ends with the code that shells expect."""
    assert failing(KeyboardInterrupt()).exit_code == 130


def test_unknown_verb_is_wrong_usage():
    """A verb that does not exist exits 2 and names it."""
    result = CliRunner().invoke(cli.group, ["nonsense"])
    assert result.exit_code == 2
    assert "nonsense" in result.stderr
