"""Entry points: walk up from a process until something says why it runs (see `entry point` in the docs' meanings)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

from replguard.events.fact import Actor, ActorKind
from replguard.kernel import containers
from replguard.provenance import contained
from replguard.provenance.processes import MAX_DEPTH, Age, Proc

NEVER = frozenset(
    "systemd init tini dumb-init containerd containerd-shim containerd-shim-runc-v2 conmon dockerd docker-proxy sshd"
    " sshd-session cron crond atd slurmstepd slurmd login agetty runc crun".split()
)
"""Programs that start others for a reason of their own and are never the reason themselves."""
_ANYBODYS = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/", "/home/", "/root/", "/srv/", "/data/", "/mnt/", "/media/")  # noqa: S108 - compared with, never written to
"""Where a program has the name that somebody gave it: a copy of python may be called cron there."""
INITS = frozenset("systemd init tini dumb-init".split())
"""Of those, what may be the first process of a container or the main process of a service."""
RUNNERS = frozenset(
    "Runner.Worker Runner.Listener Agent.Worker Agent.Listener gitlab-runner gitlab-runner-helper buildkite-agent"
    " act_runner forgejo-runner woodpecker-agent drone-runner-exec circleci-runner jenkins-agent".split()
)
_JENKINS = re.compile(r"(?:^|/)(?:agent|remoting|slave|swarm-client)[^/]*\.jar$")
"""What Jenkins has java run on the hosts that work for it."""
_SHARED_UNITS = re.compile(r"^(cron|crond|atd|ssh|sshd|docker|containerd|kubelet|user@\d+|slurmd)\.service$")
_SERVICE = re.compile(r"([^/]+\.service)(?:/|$)")
_SESSION = re.compile(r"/(session-[^/]+\.scope)(?:/|$)")
_JOB = re.compile(r"/(?:slurm[^/]*/)?(?:uid_\d+/)?(job_\d+)(?:/|$)")
_STARTERS: dict[str, ActorKind] = {"cron": "cron", "crond": "cron", "atd": "at"}
_LOGINS = frozenset("sshd sshd-session login".split())
"""Programs that let somebody in: what they start is a login, also on a host that counts none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Why a process runs: the kind, the process it began with, and the stable principal."""

    kind: ActorKind
    proc: Proc
    principal: str


@dataclass(slots=True, eq=False)
class Place:
    """What follows from a process and its ancestors, worked out once: most processes are asked about twice.

    ``lineage`` are the entity ids that tie acts together, the process's own first: below the entry point, or up to the
    agent that planned them. ``adopted`` says that a step between the process and its entry point is a guess.
    ``serves`` is the highest generation that an instance of the chain serves. ``starts`` says
    that the process is one of those that start others and never explain them. ``actor`` and ``told`` are what `actors`
    made of it.
    """

    age: int
    entry: Entry
    lineage: tuple[str, ...]
    adopted: bool
    serves: int
    starts: bool
    container: str | None
    unit: str | None
    session: str | None
    actor: Actor | None = None
    told: Any = None


class _Groups(NamedTuple):
    """What a control group's path names: the container, the system service, the batch job, and whether a login."""

    container: str | None
    unit: str | None
    job: str | None
    login: bool


_NO_GROUPS = _Groups(None, None, None, login=False)


def never(proc: Proc) -> bool:
    """Whether a program starts others for a reason of its own: by its name, and by where it lies."""
    return proc.image in NEVER and not (proc.process.executable or "").startswith(_ANYBODYS)


def of_user(proc: Proc) -> bool:
    """Whether a process is in the part of the control groups that its user arranges and names as he likes."""
    return "/user.slice/" in f"/{proc.process.cgroup}"


def container_id(proc: Proc) -> str | None:
    """Return the container's id from the control group, None outside containers."""
    return _groups(proc).container


def unit_name(proc: Proc) -> str | None:
    """Return the system service that a process runs in; None for shared daemons' units and users' managers."""
    return _groups(proc).unit


def _groups(proc: Proc) -> _Groups:
    cgroup = proc.process.cgroup
    return _read(cgroup) if cgroup else _NO_GROUPS


@lru_cache(maxsize=1024)
def _read(cgroup: str) -> _Groups:
    found, job = containers.parse(cgroup), _JOB.search(cgroup)
    # What lies below a container's own group is called as those inside like.
    names = _SERVICE.findall(cgroup[: found.end])
    of_users = "/user.slice/" in cgroup or cgroup.startswith("/user.slice")
    unit = None if not names or of_users or _SHARED_UNITS.match(names[-1]) else str(names[-1])
    return _Groups(found.key, unit, job and job[1], login=bool(_SESSION.search(cgroup)))


def unit_key(proc: Proc) -> str | None:
    """Return the join key `unit`: one run of a service, or one container."""
    if container := container_id(proc):
        return container
    unit = unit_name(proc)
    return f"{unit}/{proc.process.invocation_id}" if unit and proc.process.invocation_id else None


def session_key(proc: Proc) -> str | None:
    """Return the join key `session`: the kernel's audit session and login uid."""
    login = proc.user.audit if proc.user else None
    if login is None or proc.process.audit_session is None:
        return None
    return f"{login}/{proc.process.audit_session}"


def find(proc: Proc) -> Entry:
    """Return the entry point of a process: the first of its chain that explains why it runs.

    What descends from an agent is the agent's, whatever name, control group or terminal it gave it: what a service
    manager, a container engine or cron really starts has no agent above it.
    """
    return place(proc).entry


def way(proc: Proc) -> Iterator[Proc]:
    """Yield a process and those above it up to its entry point."""
    last = find(proc).proc
    for here in proc.chain():
        yield here
        if here is last:
            return


def place(proc: Proc) -> Place:
    """Return what follows from a process and its ancestors; only what changed is worked out anew."""
    known = proc.place
    if known is not None and known.age == Age.now:
        return cast("Place", known)
    chain: list[Proc] = []
    made: Place | None = None
    for here in proc.chain():
        known = here.place
        if known is not None and known.age == Age.now:
            made = known
            break
        chain.append(here)
    above = chain[-1].above if made is not None else None
    for here in reversed(chain):
        here.place = made = _placed(here, above, made)
        above = here
    return cast("Place", made)


def _placed(here: Proc, above: Proc | None, known: Place | None) -> Place:
    """Work out the place of a process from that of its parent."""
    starts = here.pid == 1 or never(here)
    found = _explained(here, above, known, starts=starts)
    made = Place(
        age=Age.now,
        entry=found,
        lineage=(here.entity,) if found.kind == "agent" else (),
        adopted=(here.adopted or here.planned) and found.proc is not here,
        serves=here.serves,
        starts=starts,
        container=container_id(here),
        unit=unit_key(here),
        session=session_key(here),
    )
    if known is not None:
        made.serves = max(made.serves, known.serves)
        if found.proc is not here:
            made.adopted = made.adopted or known.adopted
            made.lineage = (here.entity, *known.lineage)[:MAX_DEPTH]
        if found is known.entry and made.serves == known.serves:
            made.actor = known.actor
    return made


def _explained(here: Proc, above: Proc | None, known: Place | None, *, starts: bool) -> Entry:
    if here.confirmed_agent:
        return Entry("agent", here, _own(here))
    if known is not None and known.entry.kind == "agent":
        return known.entry
    found = _contained(here, above) if not starts or here.image in INITS else None
    if found is None and not starts:
        found = _boundary(here, above, known)
    if found is not None:
        return found
    if starts or known is None or (known.starts and known.entry.proc is above and known.entry.kind == "unknown"):
        return Entry("unknown", here, _own(here))
    return known.entry


def _contained(here: Proc, above: Proc | None) -> Entry | None:
    """Return an entry when ``here`` is the first process of its container or service."""
    container = container_id(here)
    if container and (above is None or container_id(above) != container):
        return Entry("container", here, f"container:{contained.Current.names.principal(here.process.cgroup or '')}")
    unit = unit_name(here)
    if not container and unit and (above is None or unit_name(above) != unit):
        by_timer = (here.process.trigger or "").endswith(".timer")
        return Entry("timer" if by_timer else "service", here, f"unit:{unit}")
    return None


def _runner(proc: Proc) -> bool:
    """Whether a program runs the jobs of a CI system."""
    if proc.image == "java":
        return any(_JENKINS.search(word) for word in proc.process.args)
    return proc.image in RUNNERS


def _boundary(here: Proc, above: Proc | None, known: Place | None) -> Entry | None:
    """Return an entry when ``here`` is the first process of what its starter or login names."""
    job = _groups(here).job
    if job and (above is None or never(above) or job not in (above.process.cgroup or "")):
        uid = here.user.id if here.user else None
        return Entry("scheduler", here, f"slurm:{uid}:{here.process.name}")
    if above is not None and above.image in _STARTERS and never(above):
        # Debian's cron forks a copy of itself for each job; that copy is still `cron`, the job is below it.
        return Entry(_STARTERS[above.image], here, _own(here))
    # A runner is where its user put it; one that a person started himself may be anything that he called so.
    by_hand = known is not None and known.entry.kind == "session"
    if above is not None and _runner(above) and not _runner(here) and not by_hand:
        return Entry("ci", here, f"ci:{above.image if above.image != 'java' else 'jenkins-agent'}")
    let_in = above is not None and above.image in _LOGINS and never(above)
    if let_in or (_logged_in(here) and (above is None or not _logged_in(above) or never(above))):
        uid = here.user.audit if here.user and here.user.audit is not None else (here.user.id if here.user else None)
        return Entry("session", here, f"session:{uid}")
    return None


def _logged_in(proc: Proc) -> bool:
    """Whether a person's login explains the process: a login uid, a login scope, or a controlling terminal."""
    if proc.user is not None and proc.user.audit is not None:
        return True
    return _groups(proc).login or bool(proc.process.tty)


def _own(proc: Proc) -> str:
    uid = proc.user.id if proc.user else None
    return f"{'?' if uid is None else uid}:{proc.process.executable or proc.process.name or '?'}"
