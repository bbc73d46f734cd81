"""A process's ids are real even when they are zero: 0 is root, and never means unknown."""

import msgspec

from replguard.events.process import KEPT, Parent, Process, User, spare, spare_args


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


def test_a_giant_argv_is_remembered_by_its_ends():
    """A hundred thousand of them must fit into memory, the parent's too; an ordinary one is kept as it is."""
    giant = "x" * 10 * KEPT
    kept = spare(Process(pid=5, args=("a", giant, "b"), command_line=f"a {giant} b", parent=Parent(command_line=giant)))
    assert kept.args_truncated
    assert sum(map(len, kept.args)) <= KEPT
    assert (kept.args[0], kept.args[-1], (kept.command_line or "")[-1]) == ("a", "b", "b")
    assert len(kept.command_line or "") == len(kept.parent.command_line or "") == KEPT
    many = spare(Process(args=("",) * 10 * KEPT, command_line=" " * 10))
    assert len(many.args) <= KEPT
    paths = tuple(f"/some/where/{number}" for number in range(KEPT))
    assert (spare_args(paths)[0], spare_args(paths)[-1]) == (paths[0], paths[-1])
    ordinary = Process(args=("a", "b"), command_line="a b", parent=Parent(command_line="sh"))
    assert spare(ordinary) is ordinary
