"""Was this supposed to happen? The manifest and the baseline say; an agent inherits nothing from where it runs."""

from datetime import datetime

from replguard.events.fact import Authorised
from replguard.provenance.baseline import Baseline
from replguard.provenance.entry import Entry, container_id, unit_name
from replguard.provenance.manifest import Deployment, Job, Manifest, May, Subject, allows, covers
from replguard.provenance.processes import Proc


class Authority:
    """Answers for one act of one process at a time; keeps no state of its own besides the two sources."""

    def __init__(self, manifest: Manifest, baseline: Baseline) -> None:
        self.manifest = manifest
        self.baseline = baseline

    def act(self, proc: Proc, entry: Entry, may: May, path: str, model: str, now: datetime) -> Authorised | None:
        """Return what allows ``proc`` to access or copy the file at ``path`` of ``model``, None when nothing does."""
        who = subject(proc, entry)
        for deployment in self.manifest.deployments:
            if may == "access" and covers(deployment, path) and allows(deployment, who, now):
                return Authorised(by="manifest", entry=deployment.name)
        for job in self.manifest.jobs:
            if may in job.may and covers(job, path) and allows(job, who, now):
                return Authorised(by="manifest", entry=job.name)
        if may == "access" and not who.agent and self.baseline.find(entry.principal, model) is not None:
            return Authorised(by="baseline", entry=entry.principal)
        return None

    def serving(
        self, proc: Proc, entry: Entry, paths: frozenset[str], model: str, now: datetime
    ) -> tuple[Authorised, int] | None:
        """Return what allows an instance over the files at ``paths``, and how many at once; None when nothing does."""
        who = subject(proc, entry)
        items: list[Deployment | Job] = [*self.manifest.deployments, *self.manifest.jobs]
        for item in items:
            if not _may_serve(item) or not allows(item, who, now) or not any(covers(item, path) for path in paths):
                continue
            limit = item.max_instances if isinstance(item, Deployment) else 1
            return Authorised(by="manifest", entry=item.name), limit
        known = None if who.agent else self.baseline.find(entry.principal, model)
        if known is not None and known.instances:
            return Authorised(by="baseline", entry=entry.principal), known.instances
        return None


def _may_serve(item: Deployment | Job) -> bool:
    return isinstance(item, Deployment) or "serve" in item.may


def subject(proc: Proc, entry: Entry) -> Subject:
    """Return the process as the manifest's keys see it."""
    user = proc.user
    return Subject(
        unit=unit_name(proc),
        container=container_id(proc),
        uid=user.id if user else None,
        user=user.name if user else None,
        executable=proc.process.executable,
        command=proc.process.command_line,
        agent=entry.kind == "agent",
    )
