"""Was this supposed to happen? The manifest and the baseline say; an agent inherits nothing from where it runs."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from replguard.events.fact import Authorised
from replguard.events.host import Orchestrator
from replguard.events.network import Endpoint
from replguard.provenance import contained
from replguard.provenance import entry as entries
from replguard.provenance.baseline import Baseline
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.entry import Entry, container_id, unit_name
from replguard.provenance.instances import kin
from replguard.provenance.manifest import Deployment, Job, Manifest, May, Scheduler, Subject, allows, covers, takes
from replguard.provenance.processes import Proc


@lru_cache(maxsize=64)
def _hosts(peers: tuple[str, ...]) -> Endpoints:
    return Endpoints(peers)


class Leave(NamedTuple):
    """What allows an instance, and how many at once. ``entry`` tells apart what bears the same name."""

    by: Authorised
    limit: int
    entry: object


class Authority:
    """Answers for one act of one process at a time; keeps no state of its own besides the two sources."""

    def __init__(self, manifest: Manifest, baseline: Baseline) -> None:
        self.manifest = manifest
        self.baseline = baseline

    def act(self, proc: Proc, entry: Entry, may: May, path: str, model: str, now: datetime) -> Authorised | None:
        """Return what allows ``proc`` to do something with the file at ``path`` of ``model``, None when nothing does.

        A worker that is still its launcher's program does what that may do: it has other arguments, no other task.
        """
        for who in (subject(here, entry) for here in _program(proc)):
            if (found := allowed(self.manifest, who, may, path, now)) is not None:
                return found
        agent = subject(proc, entry).agent
        if may == "access" and not agent and self.baseline.find(entry.principal, model) is not None:
            return Authorised(by="baseline", entry=entry.principal)
        return None

    def serving(
        self,
        proc: Proc,
        entry: Entry,
        paths: frozenset[str],
        model: str,
        now: datetime,
        listen: frozenset[str] = frozenset(),
        *,
        replica: bool = False,
    ) -> Leave | None:
        """Return what allows an instance that holds the files at ``paths`` and listens so; None when nothing does.

        ``replica`` says that an agent or another instance started it: to that the same applies as to an agent.
        """
        who = subject(proc, entry, agent=replica)
        item = serves(self.manifest, who, paths, listen, now)
        if item is not None:
            return Leave(Authorised(by="manifest", entry=item.name), limit(item), item)
        known = None if who.agent else self.baseline.find(entry.principal, model)
        if known is not None and known.instances:
            return Leave(Authorised(by="baseline", entry=entry.principal), known.instances, known)
        return None

    def means(self, proc: Proc, entry: Entry, now: datetime, port: int | None = None) -> Authorised | None:
        """Return the deployment whose principal a process is: to serve is to listen, and to have device memory."""
        return listens(self.manifest, (subject(here, entry) for here in _program(proc)), now, port)

    def exchanges(self, proc: Proc, entry: Entry, end: Endpoint, now: datetime) -> bool:
        """Whether a deployment whose principal a process is exchanges tensors with a host."""
        exchanging = (item for item in self.manifest.deployments if item.peers and _hosts(item.peers).covers(end))
        return any(allows(item, subject(here, entry), now) for item in exchanging for here in _program(proc))


def allowed(manifest: Manifest, who: Subject, may: May, path: str, now: datetime) -> Authorised | None:
    """Return the entry that lets somebody do something with a file."""
    items: list[Deployment | Job] = [*manifest.deployments] if may == "access" else []
    items += [job for job in manifest.jobs if may in job.may]
    for item in items:
        if covers(item, path) and allows(item, who, now):
            return Authorised(by="manifest", entry=item.name)
    return None


def serves(
    manifest: Manifest, who: Subject, paths: frozenset[str], listen: frozenset[str], now: datetime
) -> Deployment | Job | None:
    """Return the entry that lets somebody serve: all files that an instance holds, and only where it may listen.

    Of several it is the most generous one: an entry that is added takes nothing away.
    """
    items: list[Deployment | Job] = [*manifest.deployments, *(job for job in manifest.jobs if "serve" in job.may)]
    found = [
        item
        for item in items
        if paths and allows(item, who, now) and takes(item, listen) and all(covers(item, path) for path in paths)
    ]
    return max(found, key=limit, default=None)


def limit(item: Deployment | Job) -> int:
    """Return how many instances an entry allows at once."""
    return item.max_instances if isinstance(item, Deployment) else 1


def listens(
    manifest: Manifest, program: Iterable[Subject], now: datetime, port: int | None = None
) -> Authorised | None:
    """Return the deployment whose principal one of these is, if it may listen at a port."""
    listen, every = frozenset() if port is None else frozenset({f":{port}"}), list(program)
    for item in manifest.deployments:
        if takes(item, listen) and any(allows(item, who, now) for who in every):
            return Authorised(by="manifest", entry=item.name)
    return None


def subject(proc: Proc, entry: Entry, *, agent: bool = False) -> Subject:
    """Return the process as the manifest's keys see it. What a replica's process does, the replica does."""
    user, named = proc.user, contained.of(proc.process.cgroup)
    pods, inside = named.orchestrator, None if entries.of_user(proc) else named.container
    return Subject(
        unit=unit_name(proc),
        container=container_id(proc) if inside is not None else None,
        called=inside.name if inside is not None else None,
        image=inside.image.name if inside is not None and inside.image is not None else None,
        namespace=pods.namespace if pods is not None else None,
        workload=pods.workload if pods is not None else None,
        scheduler=scheduled(pods) if pods is not None else None,
        uid=user.id if user else None,
        user=user.name if user else None,
        executable=proc.process.executable,
        command=proc.process.command_line,
        agent=agent or entry.kind == "agent" or entries.place(proc).serves > 1,
    )


def scheduled(pods: Orchestrator) -> Scheduler | None:
    """Return account and name of a batch job, None for anything else and where nobody left its name."""
    if pods.type != "slurm" or pods.resource is None:
        return None
    return Scheduler(account=pods.account, job=pods.resource.name)


def _program(proc: Proc) -> Iterator[Proc]:
    """Yield a process, and above it those whose program it still is."""
    below: Proc | None = None
    for here in proc.chain():
        if below is not None and not kin(here, below):
            return
        yield here
        below = here
