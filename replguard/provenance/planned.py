"""What agents put in place for others to start: files that run, and commands that a daemon is asked to run.

Cron, a service manager, a container engine or sshd starts a program because somebody wrote a file or asked; by lineage
it is theirs. Here is kept what processes that a model drives, or may drive, wrote and asked. When there is too much of
all agents together, the one that has most loses its oldest.
"""

import posixpath
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from replguard.events.event import Event
from replguard.events.file import File
from replguard.fair import Fair
from replguard.provenance import entry, places
from replguard.provenance.agents import SHELLS, Agents, at_terminal
from replguard.provenance.endpoints import stays
from replguard.provenance.processes import Proc, reaper

KEPT_FOR = timedelta(hours=24)
"""How long what was written counts: as long as a touch does."""
ASKED_WITHIN = timedelta(seconds=10)
"""How soon after a client was started what it asked for begins."""
SHELL_STARTS = timedelta(seconds=5)
"""How long after a shell's start its programs come from the files that it reads then."""
MOST = 16_384
"""Files of all agents together; at some 250 bytes each this is 4 MiB."""
MOST_ASKED = 256
"""Command lines of one agent that may be requests."""
MOST_AGENTS = 64
MOST_LISTS = 1024
"""Files of commands whose lines are known, by eight bytes each."""
NESTED = 8
"""Plans of plans that are followed one by one; what is planned deeper is the agent's directly."""
_WRITES = frozenset({"file_create", "file_close_write", "file_rename", "file_link"})
_STARTERS = frozenset("tmux screen supervisord run-parts anacron buildkitd podman machinectl".split())
_SHIMS = frozenset("containerd-shim containerd-shim-runc-v2 conmon runc crun".split())
_CLIENTS = {
    **dict.fromkeys("docker podman nerdctl crictl ctr kubectl".split(), _SHIMS),
    "ssh": frozenset({"sshd", "sshd-session"}),
    "tmux": frozenset({"tmux"}),
    "screen": frozenset({"screen"}),
    "systemd-run": frozenset({"systemd"}),
    "machinectl": frozenset({"systemd"}),
    "cron": frozenset({"cron", "crond"}),
}
"""Who starts what these are given, were it a program's name alone; of others a single word says too little."""
_INTERPRETERS = re.compile(r"^(?:python|perl|ruby|node|nodejs|deno|bun|php|lua|awk|gawk|mawk|tclsh|Rscript)[0-9.]*$")
_UNIT_OF = re.compile(r"([^/]+)\.(?:service|scope)(?=/|$)")
_UNIT_ASKED = re.compile(r"(?:--unit[= ]|-u ?)([^ ]+?)(?:\.service|\.scope|\.timer)?(?= |$)")
_SCRIPT_WORDS = 6
"""Arguments among which an interpreter's script is: after its options."""


class Written(NamedTuple):
    """Who wrote a file, or asked for a unit, and when."""

    writer: Proc
    when: datetime


class _Asked(NamedTuple):
    """Words of which a program may be started, until when, and the client that was given them (None: a shell)."""

    text: str
    by: Proc
    until: datetime
    client: str | None


@dataclass(slots=True)
class Work:
    """What one agent put in place. ``lists`` are the lines that it added to files of commands."""

    asked: deque[_Asked] = field(default_factory=lambda: deque(maxlen=MOST_ASKED))
    lists: OrderedDict[str, tuple[_Asked, ...]] = field(default_factory=OrderedDict)
    local: Written | None = None


class Planned:
    """Keeps what agents wrote and asked for, and says who planned a program that another started."""

    def __init__(self, agents: Agents, lines: Callable[[str], Iterable[str]] = places.lines) -> None:
        self._agents = agents
        self._lines = lines
        self._work: OrderedDict[str, Work] = OrderedDict()
        self._files: Fair[str, Written] = Fair(MOST)
        self._known: OrderedDict[str, frozenset[bytes]] = OrderedDict()
        self._dropped = 0

    @property
    def evicted(self) -> int:
        """How much was forgotten for want of room."""
        return self._files.evicted + self._dropped

    def learn(self, files: Mapping[str, str]) -> None:
        """Take note of what files of commands say before anybody was seen to write them, by our ways to them."""
        for path, way in files.items():
            self._know(path, tuple(self._lines(way)))

    # -- what is put in place ------------------------------------------------------------------------------------

    def wrote(self, event: Event, proc: Proc | None) -> None:
        """Note who wrote, renamed or linked a file."""
        file = event.file
        if file is None or event.action not in _WRITES:
            return
        if proc is None:
            return  # who is not known need not be another
        agent = self._agents.drives(proc)
        if agent is None:
            self._others(event, file)
            return
        work, written = self._work_of(agent), Written(proc, event.timestamp)
        for name in _names(file):
            self._files.put(name, written, agent.entity)
        if places.has_commands(file.path):
            added = self._know(file.path, tuple(self._lines(_way(event, file))))
            until, reader = event.timestamp + KEPT_FOR, "cron" if places.is_table(file.path) else ""
            work.lists[file.path] = tuple(_Asked(line, proc, until, reader) for line in added)
            while len(work.lists) > MOST_LISTS // MOST_AGENTS:
                work.lists.popitem(last=False)
                self._dropped += 1

    def _others(self, event: Event, file: File) -> None:
        """A file that another wrote anew is his; one that he only renamed is still the writer's."""
        for name in _names(file):
            self._files.pop(name)
        written = self._files.get(file.previous) if file.previous is not None else None
        if file.previous is not None and written is not None:
            owner = self._files.owner(file.previous)
            for name in _names(file):
                self._files.put(name, written, owner)
        if places.has_commands(file.path):
            self._know(file.path, tuple(self._lines(_way(event, file))))

    def connected(self, event: Event, proc: Proc | None) -> None:
        """Note that a driven ssh client connects to this host: what sshd starts then is what it asked for."""
        if proc is None or proc.image not in ("ssh", "scp", "sftp") or event.destination is None:
            return
        if stays(event) and (agent := self._agents.drives(proc)) is not None:
            self._work_of(agent).local = Written(proc, event.timestamp)

    def asked(self, proc: Proc, when: datetime) -> None:
        """Note the command line of a process that a model drives: it may ask somebody else to start something.

        That of a shell with ``-c`` says what it starts itself, or what it has written into a job of at, which may be
        gone before anybody could read it.
        """
        agent = self._agents.drives(proc)
        if agent is None:
            return
        text = places.plain(proc.process.command_line or " ".join(proc.process.args))
        if " " not in text:
            return
        work = self._work_of(agent)
        itself = proc.image in SHELLS and "-c" in proc.process.args
        work.asked.append(_Asked(text, proc, when + ASKED_WITHIN, None if itself else proc.image))
        if proc.image == "systemd-run":
            for name in _UNIT_ASKED.findall(text):
                self._files.put(f"unit:{name}", Written(proc, when), agent.entity)

    def _work_of(self, agent: Proc) -> Work:
        work = self._work.pop(agent.entity, None) or Work()
        self._work[agent.entity] = work
        while len(self._work) > MOST_AGENTS:
            oldest = next(iter(self._work))
            del self._work[oldest]
            self._dropped += self._files.disown(oldest)
        return work

    def _know(self, path: str, now: tuple[str, ...]) -> list[str]:
        """Remember what a file of commands says, and return the lines that are new."""
        known = self._known.pop(path, frozenset())
        self._known[path] = frozenset(map(places.mark, now))
        while len(self._known) > MOST_LISTS:
            self._known.popitem(last=False)
        return [line for line in now if places.mark(line) not in known]

    # -- who planned what is started -----------------------------------------------------------------------------

    def planner(self, proc: Proc, when: datetime) -> Proc | None:
        """Return who planned a program that was executed just now, if a model drives or may drive him.

        What a person starts at a terminal is the person's, whoever wrote it.
        """
        likely: Proc | None = None
        for found in chain(self._by_files(proc, when), self._by_words(proc, when)) if self._work else ():
            agent = self._agents.drives(found)
            if agent is None or found.since > proc.since or any(here is proc for here in found.chain()):
                continue
            if any(here is agent for here in proc.chain()):
                continue
            nested = sum(here.planner is not None for here in found.chain())
            planner = found if nested < NESTED else agent
            if entry.find(found).kind == "agent":
                return planner
            likely = likely or planner
        return likely

    def _by_files(self, proc: Proc, when: datetime) -> Iterator[Proc]:
        """Yield who wrote what a process executes, reads, or is started by."""
        if not len(self._files) or proc.parent is None:
            return
        by_hand = at_terminal(proc.parent)
        names = _from_start(proc, when) if by_hand or proc.parent.image in SHELLS else iter(())
        for name in (*names, *(() if by_hand else _read(proc))):
            written = self._files.get(name)
            if written is not None and when - written.when <= KEPT_FOR:
                yield written.writer

    def _by_words(self, proc: Proc, when: datetime) -> Iterator[Proc]:
        """Yield whose client's command line, or line of a file, says what a daemon starts."""
        starter = proc.parent
        if starter is None or not _starter(starter):
            return
        command = _command(proc)
        for work in reversed(self._work.values()):
            # A process that has just these words runs them itself; a line of a file may have no others.
            said = [one for one in reversed(work.asked) if one.text != command and (one.client or _job(starter))]
            for asked in (*said, *(line for lines in work.lists.values() for line in lines)):
                alone = starter.image in _CLIENTS.get(asked.client or "", ())
                if asked.until >= when and places.names(asked.text, command, alone=alone):
                    yield asked.by
            if work.local is not None and starter.image.startswith("sshd") and not proc.process.tty:
                client = work.local.writer
                if client.alive and when - work.local.when <= ASKED_WITHIN:
                    yield client


def _way(event: Event, file: File) -> str:
    """Return our way to a file: a process in a container sees it elsewhere."""
    return (event.replguard.host_path if event.replguard is not None else None) or file.path


def _names(file: File) -> tuple[str, ...]:
    """Return under what a file is found again: its path, and what it means to who reads it."""
    found, unit, shell = [file.path], places.unit(file.path), places.shell_of(file.path)
    if unit is not None:
        found.append(f"unit:{unit}")
    if shell is not None:
        found.append(f"shell:{shell}")
    return tuple(found)


def _read(proc: Proc) -> Iterator[str]:
    """Yield what a process executes and reads to know what to do: its image, its script, its unit."""
    process = proc.process
    for path in (process.executable, process.invoked):
        if path is not None:
            yield _whole(path, process.working_directory)
    words = process.args[1 : 1 + _SCRIPT_WORDS]
    if proc.image in SHELLS or _INTERPRETERS.match(proc.image):
        if proc.image in SHELLS and "-c" in words[:-1]:
            words = tuple(words[words.index("-c") + 1].split())
        for word in words:
            if word == "-m":
                continue
            yield _whole(word, process.working_directory)
        if "-m" in words[:-1]:
            module = words[words.index("-m") + 1].replace(".", "/")
            yield _whole(f"{module}.py", process.working_directory)
            yield _whole(f"{module}/__main__.py", process.working_directory)
    if _first_of_unit(proc):
        for unit in _UNIT_OF.findall(process.cgroup or "")[-1:]:
            yield from (f"unit:{name}" for name in places.templates(unit))


def _whole(path: str, folder: str | None) -> str:
    return posixpath.normpath(posixpath.join(folder or "/", path))


def _first_of_unit(proc: Proc) -> bool:
    above = proc.parent
    return above is None or above.process.cgroup != proc.process.cgroup


def _from_start(proc: Proc, when: datetime) -> Iterator[str]:
    """Yield the files that say what a shell starts by itself, if it has just begun."""
    shell = proc.parent
    if shell is None or when - shell.since > SHELL_STARTS:
        return
    yield "shell:"
    user = shell.user
    if user is not None and user.name:
        yield from (f"shell:{home}" for home in (f"/home/{user.name}", "/root" if user.id == 0 else ""))


def _starter(proc: Proc) -> bool:
    """Whether a process starts what others ask it for; the shell of an at job reads it from a file."""
    return _job(proc) or reaper(proc) or entry.never(proc) or proc.image.lower() in _STARTERS


def _job(proc: Proc) -> bool:
    """Whether a process is atd's, or the shell that reads a job."""
    shell = proc.image in SHELLS and proc.parent is not None and proc.parent.image == "atd"
    return shell or proc.image == "atd"


def _command(proc: Proc) -> str:
    """Return what a process was started to do: of a shell with a command line, that."""
    args = proc.process.args
    if proc.image in SHELLS and "-c" in args[:-1]:
        return places.plain(args[args.index("-c") + 1])
    return places.plain(" ".join(args))
