"""What serves now, as the manifest's keys would name it: what `replguard learn` writes down."""

from replguard.events.network import ports
from replguard.events.standing import Serves
from replguard.provenance import entry
from replguard.provenance.authority import subject
from replguard.provenance.instances import Instances, Live
from replguard.provenance.processes import Proc


def learned(instances: Instances) -> list[Serves]:
    """Return all that serves now, the oldest first."""
    return [_serves(live, instances) for live in sorted(instances.live.values(), key=lambda live: live.order)]


def _serves(live: Live, instances: Instances) -> Serves:
    root = live.root
    who = subject(root, entry.find(root), agent=live.generation > 1)
    holders = [proc for name in sorted(live.holders) if (proc := instances.process(name)) is not None]
    programs = {proc.process.executable for proc in holders} - {None, who.executable}
    by = live.leave
    return Serves(
        model=live.model,
        pid=root.pid,
        weights=tuple(sorted(live.paths)),
        ports=tuple(sorted(ports(live.listen))),
        agent=who.agent,
        unit=who.unit,
        container=who.called or who.container,
        image=who.image,
        namespace=who.namespace,
        workload=who.workload,
        user=who.user if who.user is not None else who.uid,
        executable=who.executable,
        command=who.command if _alone(live, root) else None,
        others=tuple(sorted(filter(None, programs))),
        allowed=by.entry if by is not None and by.by == "manifest" else None,
    )


def _alone(live: Live, root: Proc) -> bool:
    """Whether the command line that shows now is what the server was started with, and all that belongs to it."""
    return live.pids == (root.pid,) and root.process.args == root.first_args and not root.process.args_truncated
