"""A process, as ECS names its parts. Unknown is None: pid 0 and uid 0 are real."""

import msgspec

from replguard.events.clock import Time

KEPT = 2048
"""Characters of a command line, and of its arguments, that are remembered for long: anybody may start a hundred
thousand programs with 2 MiB of arguments each."""


class Parent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The parent at the time of the event. ``entity_id`` survives its exit and the reuse of its pid."""

    pid: int | None = None
    entity_id: str | None = None
    executable: str | None = None
    command_line: str | None = None
    name: str | None = None


class Namespaces(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The namespaces of a process, by the inode numbers that ``/proc/PID/ns`` shows."""

    mount: int | None = None
    pid: int | None = None
    network: int | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One process (thread group).

    ``executable`` is the resolved path of the image, ``invoked`` the path that was asked for (on Debian ``/bin/sh``
    where the image is ``/usr/bin/dash``). ``args`` is argv; ``command_line`` joins it with blanks, undecodable bytes
    kept as backslash escapes; in both, and in that of the parent, credentials are ``***``. ``args_truncated`` says that
    a source capped argv. ``cgroup`` is the path of its control group, ``invocation_id`` systemd's id of this run of its
    unit, ``trigger`` the timer or other unit that set it off, ``tty`` the device number of its terminal;
    ``interactive`` says that it is in the foreground of one. ``session_id`` and ``group_id`` are those of setsid and
    setpgid, ``audit_session`` the kernel's login session. ``namespaces`` and ``namespace_pid``, the pid in its own pid
    namespace, are told by the kernel tier only. ``pipes_in`` and ``pipes_out`` are the inode numbers of the pipes that
    it had open for reading, and for writing, when it was executed; of a socket pair those of its own end, at which it
    reads, and of the other, where what it writes arrives. None where nobody looked.
    """

    pid: int | None = None
    entity_id: str | None = None
    start: Time | None = None
    executable: str | None = None
    invoked: str | None = None
    name: str | None = None
    args: tuple[str, ...] = ()
    args_truncated: bool = False
    command_line: str | None = None
    working_directory: str | None = None
    interactive: bool | None = None
    tty: int | None = None
    session_id: int | None = None
    group_id: int | None = None
    audit_session: int | None = None
    cgroup: str | None = None
    invocation_id: str | None = None
    trigger: str | None = None
    exit_code: int | None = None
    namespaces: Namespaces | None = None
    namespace_pid: int | None = None
    pipes_in: tuple[int, ...] | None = None
    pipes_out: tuple[int, ...] | None = None
    parent: Parent | None = None


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who the process runs as. ``audit`` is the login uid: who logged in, kept through sudo and setsid."""

    id: int | None = None
    name: str | None = None
    audit: int | None = None


def spare_args(args: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first and the last arguments, at most ``KEPT`` characters: a copy names its target last."""
    if sum(map(len, args)) + len(args) <= KEPT:
        return args
    head = _first(args, KEPT // 2)
    return (*head, *reversed(_first(args[: len(head) - 1 : -1], KEPT // 2)))


def _first(args: tuple[str, ...], room: int) -> list[str]:
    kept = []
    for arg in args:
        if room <= 0:
            break
        kept.append(arg[:room])
        room -= len(arg) + 1
    return kept


def _ends(line: str | None) -> str | None:
    return line if line is None or len(line) <= KEPT else f"{line[: KEPT // 2]}…{line[1 - KEPT // 2 :]}"


def spare(process: Process) -> Process:
    """Return the process as it is remembered for long: of a giant argv only both ends."""
    parent, args, line = process.parent, spare_args(process.args), _ends(process.command_line)
    if parent is not None and (above := _ends(parent.command_line)) is not parent.command_line:
        parent = msgspec.structs.replace(parent, command_line=above)
    if parent is process.parent and args is process.args and line is process.command_line:
        return process
    cut = process.args_truncated or args is not process.args
    return msgspec.structs.replace(process, parent=parent, args=args, args_truncated=cut, command_line=line)
