"""Faults are told all together, in the order in which one reads the files."""

import pytest

from replguard.errors import ConfigError, Problem, ReplguardError, Unavailable


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.yaml", 3, "is wrong"), "a.yaml:3: is wrong"),
        (Problem("a.yaml", 0, "cannot be read"), "a.yaml: cannot be read"),
        (Problem("", 0, "no file at all"), "no file at all"),
    ],
)
def test_a_problem_reads_as_editors_jump(problem, text):
    """File, line and sentence; the line only where there is one."""
    assert str(problem) == text


def test_a_configuration_error_holds_every_problem_in_order():
    """Sorted by file and line, one a line."""
    error = ConfigError([Problem("b", 1, "z"), Problem("a", 12, "y"), Problem("a", 2, "x")])
    assert str(error) == "a:2: x\na:12: y\nb:1: z"
    assert [problem.text for problem in error.problems] == ["x", "y", "z"]


def test_what_is_raised_on_purpose_has_one_base():
    """A caller that catches the base catches all, and nothing of anyone else's."""
    assert issubclass(ConfigError, ReplguardError)
    assert issubclass(Unavailable, ReplguardError)
    assert not issubclass(ReplguardError, ValueError)
