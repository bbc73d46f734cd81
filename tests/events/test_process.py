"""A process's ids are real even when they are zero: 0 is root, and never means unknown."""

import msgspec

from replguard.events.process import Parent, Process, User


def test_root_is_told_and_unknown_is_not():
    """User 0 is written; a user that could not be read is absent."""
    assert msgspec.to_builtins(User(id=0, audit=0)) == {"id": 0, "audit": 0}
    assert msgspec.to_builtins(User()) == {}


def test_an_exit_code_of_zero_is_told():
    """Success is not an unknown end."""
    assert msgspec.to_builtins(Process(pid=5, exit_code=0)) == {"pid": 5, "exit_code": 0}


def test_arguments_keep_their_borders():
    """Argv is kept beside the joined line, which cannot be split again."""
    made = Process(args=("sh", "-c", "a b"), command_line="sh -c a b", parent=Parent(pid=0))
    assert msgspec.json.decode(msgspec.json.encode(made), type=Process) == made
