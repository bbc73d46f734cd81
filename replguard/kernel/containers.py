"""What the path of a control group tells of who runs in it: container, machine, pod and batch job.

The part of the path nearest to the root counts: whatever lies below a container is arranged by those inside, who may
call a group as they like. So may a user below ``user.slice``. Layouts of version 1 and 2, of cgroupfs and systemd.
"""

import re
from functools import lru_cache
from typing import NamedTuple

_CONTAINER = re.compile(r"(?:(docker|libpod-payload|libpod|cri-containerd|crio|nerdctl)-)?([0-9a-f]{64})(?:\.scope)?")
_RUNTIMES = {
    "docker": "docker",
    "libpod": "podman",
    "libpod-payload": "podman",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
}
"""By the prefix of a group, or by the name of the group above."""
_POD_PARENT = "libpod_parent"
"""Below it podman has a group for each of its own pods, which is no container."""
_POD = re.compile(r"(?:[a-z-]*-)?pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?")
_KUBE = re.compile(r"(?:kubelet-)?kubepods(?:\.slice)?|(?:kubelet-)?kubepods-.*")
_NSPAWN = re.compile(r"systemd-nspawn@(.+)\.service")
_MACHINE = re.compile(r"machine-(?!qemu)(.+)\.scope")
_LXC = re.compile(r"lxc\.payload[./](.+)")
_SLURM = re.compile(r"slurm(?:_[^/]+)?|(?:[^/]+_)?slurmstepd\.scope")
_USERS = re.compile(r"(?:/\.\.)*/?user\.slice/")
"""Seen from the namespace of a container, others are reached by ``/..``."""
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_NUMBER = re.compile(r"[0-9]{1,10}")
_PARTS = re.compile(r"[^/:]+")


class Place(NamedTuple):
    """Where a process runs. ``machine`` names what has a name and no id: LXC, systemd-nspawn.

    ``pod`` is the uid of a Kubernetes pod; ``job``, ``step`` and ``uid`` are Slurm's. ``end`` is how much of the path
    the host arranged. ``users``: nothing of it, but the user whose processes these are.
    """

    end: int
    runtime: str | None = None
    id: str | None = None
    machine: str | None = None
    pod: str | None = None
    job: str | None = None
    step: str | None = None
    uid: int | None = None
    users: bool = False

    @property
    def key(self) -> str | None:
        """What tells this container from others, None outside containers."""
        return self.id or (f"{self.runtime}:{self.machine}" if self.machine else None)


@lru_cache(maxsize=4096)
def parse(cgroup: str) -> Place:
    """Return what a path tells; the nearest container to the root is meant."""
    found = Place(len(cgroup), users=_USERS.match(cgroup) is not None)
    above, kube, slurm = "", False, False
    for match in _PARTS.finditer(cgroup):
        part = match[0]
        kube = kube or _KUBE.fullmatch(part) is not None
        slurm = slurm or _SLURM.fullmatch(part) is not None
        if slurm:
            found = _step(found, part)
        if kube and found.pod is None and (pod := _POD.fullmatch(part)) is not None:
            found = found._replace(pod=pod[1].replace("_", "-"))
        elif (inside := _container(part, above)) is not None:
            identity, machine, runtime = inside
            return found._replace(end=match.end(), id=identity, machine=machine, runtime=runtime)
        above = part
    return found


def _container(part: str, above: str) -> tuple[str | None, str | None, str | None] | None:
    """Return id, name and runtime by the group of a container, None for any other group."""
    known = _CONTAINER.fullmatch(part)
    if known is not None:
        if above == _POD_PARENT and known[1] is None:
            return None
        return known[2], None, _RUNTIMES.get(known[1] or above)
    for pattern, runtime in ((_NSPAWN, "systemd-nspawn"), (_LXC, "lxc")):
        if (named := pattern.fullmatch(part)) is not None:
            return None, _unescaped(named[1]), runtime
    if above == "machine.slice" and (named := _MACHINE.fullmatch(part)) is not None:
        return None, _unescaped(named[1]), "systemd-nspawn"
    return (None, part, "lxc") if above == "lxc" else None


def _step(found: Place, part: str) -> Place:
    kind, _, rest = part.partition("_")
    if kind == "uid" and _NUMBER.fullmatch(rest) and found.job is None:
        return found._replace(uid=int(rest))
    if kind == "job" and _NUMBER.fullmatch(rest) and found.job is None:
        return found._replace(job=rest)
    if kind == "step" and rest and found.job is not None and found.step is None:
        return found._replace(step=rest)
    return found


def _unescaped(name: str) -> str:
    """Undo systemd's escapes in the name of a unit."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
