"""Who drives a language model: whoever gets replies from an inference endpoint and starts programs after them."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from replguard.provenance.entry import never
from replguard.provenance.probes import only_looks
from replguard.provenance.processes import Proc

CHILD_WITHIN = timedelta(seconds=60)
TURNS_WITHIN = timedelta(minutes=30)
TURNS = 2
"""Thresholds of the meaning of `agent, confirmed`."""
HELPER_AGE = timedelta(seconds=10)
"""A child that asks for its parent (curl under a script) is young when it asks and gone before the next program."""
HELPER_GONE = timedelta(seconds=2)
_VALUED = ("--rcfile", "--init-file", "-o", "-O")
SHELLS = frozenset("bash dash sh zsh fish ksh ash busybox".split())


class _Reply(NamedTuple):
    """A reply that led to nothing yet; ``helper`` held the connection, ``depth`` generations below who may act."""

    when: datetime
    helper: Proc
    depth: int
    connection: int | None


@dataclass(slots=True)
class Candidate:
    """A process that may be an agent: open replies (with the helper that held the connection), and counted turns."""

    proc: Proc
    replies: deque[_Reply] = field(default_factory=lambda: deque(maxlen=16))
    turns: deque[datetime] = field(default_factory=lambda: deque(maxlen=64))
    endpoint: str | None = None
    generation: int | None = None
    driver: str | None = None
    direct: bool = False
    suspected: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A lineage qualified: ``confirmed`` or only suspected, after ``turns`` turns at ``endpoint``."""

    proc: Proc
    confirmed: bool
    turns: int
    endpoint: str | None


class Agents:
    """Counts turns for each process. Bounded: the candidates that were quiet longest are forgotten."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._candidates: dict[str, Candidate] = {}
        self._waiting: list[tuple[Candidate, Proc, datetime]] = []

    def reply(
        self,
        proc: Proc,
        endpoint: str,
        when: datetime,
        generation: int,
        connection: int | None = None,
        server: Proc | None = None,
        driver: str | None = None,
    ) -> list[Proc]:
        """Note a reply from an endpoint. Returns the processes whose children matter from now on.

        ``connection`` tells connections apart (None: each reply is of its own). A reply on one whose last reply led to
        nothing takes its place: asking and being answered is one turn, and so is asking twice before acting.
        ``server`` is what answered, if it runs here. Who started that and has it asked by a child is no agent of its
        own: so does every start script that waits until its server is up. Nor is who only looks, by a helper, whether
        a server answers, as a deploy does between its steps. ``driver`` is the instance that it is.
        """
        noted: list[Proc] = []
        if only_looks(proc.process):
            return noted
        launchers = set() if server is None else {above.entity for above in server.chain()}
        for depth, here in enumerate(proc.chain()):
            if not _may_drive(here, depth) or (depth and here.entity in launchers):
                break
            candidate = self._candidates.pop(here.entity, None) or Candidate(here)
            self._candidates[here.entity] = candidate
            if connection is not None:
                for former in [r for r in candidate.replies if r.connection == connection and r.helper is proc]:
                    candidate.replies.remove(former)
            candidate.replies.append(_Reply(when, proc, depth, connection))
            # It is driven by what it asks itself, and asked first: a look by a tool at a replica is no change of mind.
            if candidate.generation is None or (depth == 0 and not candidate.direct):
                candidate.endpoint, candidate.generation = endpoint, generation
                candidate.driver, candidate.direct = driver, depth == 0
            noted.append(here)
            if when - here.since > HELPER_AGE or depth >= 2:
                break
        while len(self._candidates) > self._limit:
            del self._candidates[next(iter(self._candidates))]
        return noted

    def started(self, parent: Proc | None, child: Proc | None, when: datetime) -> Seen | None:
        """Note that a process started a program (``child`` None: one that ran and ended unseen)."""
        candidate = self._driver(parent) if parent is not None else None
        if candidate is None:
            return None
        for reply in candidate.replies:
            replied, helper, depth, _ = reply
            if not timedelta(0) <= when - replied <= CHILD_WITHIN or (child is not None and child is helper):
                continue
            if child is not None and any(p is child for p in helper.chain()):
                continue
            if depth and helper.alive:
                self._waiting.append((candidate, helper, when))
                continue
            if depth and helper.ended is not None and helper.ended - when > HELPER_GONE:
                continue
            candidate.replies.remove(reply)
            return self._turn(candidate, replied)
        return None

    def _driver(self, parent: Proc) -> Candidate | None:
        """Return who has a program started: its parent, or who writes to a shell that lives long what it is to do."""
        found = self._candidates.get(parent.entity)
        if found is None and parent.parent is not None and _fed(parent, parent.parent):
            found = self._candidates.get(parent.parent.entity)
        return found

    def ended(self, proc: Proc, when: datetime) -> Seen | None:
        """Note an exit: a helper that is gone right after its parent went on makes a turn of the parent."""
        matching = [w for w in self._waiting if w[1] is proc]
        self._waiting = [w for w in self._waiting if w[1] is not proc and when - w[2] <= HELPER_GONE]
        for candidate, helper, started in matching:
            if when - started > HELPER_GONE:
                continue
            for reply in candidate.replies:
                if reply.helper is helper:
                    candidate.replies.remove(reply)
                    return self._turn(candidate, reply.when)
        return None

    def recent(self, when: datetime, within: timedelta = CHILD_WITHIN) -> list[Proc]:
        """Return living agents (confirmed) whose last reply is at most ``within`` old, the last answered first."""
        found = [
            (max(times), c.proc)
            for c in self._candidates.values()
            if c.proc.confirmed_agent and c.proc.alive and (times := [*(r.when for r in c.replies), *c.turns])
        ]
        fresh = [(last, proc) for last, proc in found if when - last <= within]
        return [proc for _, proc in sorted(fresh, key=lambda pair: pair[0], reverse=True)]

    def candidates(self) -> list[Proc]:
        """Return the living processes that an endpoint answered."""
        return [candidate.proc for candidate in self._candidates.values() if candidate.proc.alive]

    @property
    def any(self) -> bool:
        """Whether an endpoint answered anybody."""
        return bool(self._candidates)

    def drives(self, proc: Proc | None) -> Proc | None:
        """Return the nearest of a process and its ancestors that is an agent, or may become one: it got a reply."""
        if proc is None or not self._candidates:
            return None
        return next((here for here in proc.chain() if here.confirmed_agent or here.entity in self._candidates), None)

    def driven_by(self, proc: Proc) -> str | None:
        """Return the endpoint that drives a process, None for one that no endpoint answered."""
        candidate = self._candidates.get(proc.entity)
        return candidate.endpoint if candidate else None

    def _turn(self, candidate: Candidate, when: datetime) -> Seen | None:
        candidate.turns.append(when)
        while candidate.turns and when - candidate.turns[0] > TURNS_WITHIN:
            candidate.turns.popleft()
        turns, proc = len(candidate.turns), candidate.proc
        proc.generation = max(proc.generation, candidate.generation or 1)
        if (candidate.generation or 1) > 1 and proc.driver != candidate.driver:
            proc.driver = candidate.driver
        if proc.confirmed_agent:
            return None
        proc.confirmed_agent = turns >= TURNS
        if candidate.suspected and not proc.confirmed_agent:
            return None
        candidate.suspected = True
        return Seen(proc, proc.confirmed_agent, turns, candidate.endpoint)


def _may_drive(proc: Proc, depth: int) -> bool:
    """A person at a terminal is no agent; nor is what starts everybody's programs."""
    if proc.pid == 1 or never(proc):
        return False
    asks = at_terminal(proc)
    if asks and proc.process.interactive:
        return False
    # A login shell that waits for its command is in the background of its terminal, but it is still the person's.
    return not (depth and asks and proc.process.session_id == proc.pid)


def at_terminal(proc: Proc) -> bool:
    """Whether this is a shell that asks at a terminal what to do."""
    return proc.image in SHELLS and bool(proc.process.tty) and not _scripted(proc.process.args)


def _fed(shell: Proc, maker: Proc) -> bool:
    """Whether a shell takes its commands from a pipe that its parent made for it, and did not only pass on."""
    inherited = {*(maker.process.pipes_in or ()), *(maker.process.pipes_out or ())}
    made = set(shell.process.pipes_in or ()) - inherited
    return bool(made) and shell.image in SHELLS and not _scripted(shell.process.args)


def _scripted(args: tuple[str, ...]) -> bool:
    """Whether a shell was started to run a script or a command line, not to ask a person for them."""
    words = iter(args[1:])
    for word in words:
        if word in _VALUED:
            next(words, None)
        elif not word.startswith(("-", "+")) or (word[1:2] != "-" and "c" in word):
            return True
    return False
