"""Whose a process is whose parent does not tell: an orphan's, and what one started because another planned it."""

from datetime import datetime, timedelta

from replguard.events.event import Event
from replguard.provenance.agents import Agents
from replguard.provenance.planned import Planned
from replguard.provenance.processes import Proc, reaper

ADOPT_WITHIN = timedelta(seconds=15)
"""How soon after a reply an orphan that nothing else names is taken for the agent's."""


class Adoption:
    """Finds the agent of a process that began. What it finds is a guess, and is marked as one."""

    def __init__(self, agents: Agents, planned: Planned) -> None:
        self._agents = agents
        self._planned = planned

    def began(self, proc: Proc, event: Event) -> None:
        """Give a process that is new to whoever it belongs to."""
        if event.event.kind == "state":
            return
        if not proc.executed:
            self._adopt(proc, event.timestamp)
        if event.action == "process_exec":
            if proc.planner is None and (planner := self._planned.planner(proc, event.timestamp)) is not None:
                proc.planner = planner
            self._planned.asked(proc, event.timestamp)

    def _adopt(self, proc: Proc, when: datetime) -> None:
        """Give an orphan to the one agent that had just got a reply, where nothing else names who started it.

        A program that detached itself (setsid, double fork) is the adopter's by now. In the same control group, as the
        same user, seconds after a reply, it is most likely the agent's: a guess, and marked as one.
        """
        if proc.parent is None or not (proc.adopted or reaper(proc.parent)):
            return
        recent = self._agents.recent(when, ADOPT_WITHIN)
        if proc.adopted:
            _readopt(proc, recent)
            return
        agents = [a for a in recent if a.process.cgroup == proc.process.cgroup and a.user == proc.user]
        if proc.parent.pid != 1 and proc.process.session_id == proc.parent.process.session_id:
            # What shares the adopter's session may be its own child; an orphan has the agent's, or one of its own.
            agents = [a for a in agents if a.process.session_id == proc.process.session_id]
        if len(agents) == 1:
            _give(proc, agents[0])


def _readopt(proc: Proc, recent: list[Proc]) -> None:
    """Give an orphan of a session with several agents to the one answered last: a replica's agent shares it.

    The session named its leader, which may be the agent that started the replica's agent and is no longer acting.
    """
    session = proc.process.session_id
    mates = [agent for agent in recent if agent.process.session_id == session and agent is not proc]
    if mates and mates[0] is not proc.parent and any(p is proc.parent for p in mates[0].chain()):
        _give(proc, mates[0])


def _give(proc: Proc, parent: Proc) -> None:
    if proc.parent is not None:
        proc.parent.lose(proc.entity)
    proc.parent, proc.adopted = parent, True
    parent.bear(proc.entity)
