"""The host and what contains a process on it."""

import msgspec


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``boot_id`` is the kernel's random id of this boot."""

    id: str | None = None
    name: str | None = None
    boot_id: str | None = None
    kernel: str | None = None


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a container was made from, as whoever started it called it."""

    name: str | None = None


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The container that a process runs in: its id from the control group, the rest from what its runtime keeps."""

    id: str | None = None
    name: str | None = None
    runtime: str | None = None
    image: Image | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an orchestrator runs: a ``pod`` with its uid and name, or a batch ``job`` with its number and name."""

    type: str | None = None
    id: str | None = None
    name: str | None = None


class Orchestrator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who placed a process here: ``kubernetes`` or ``slurm``. ``namespace`` is Kubernetes', ``account`` Slurm's.

    ``workload`` is derived from the name of the pod, as Deployments, StatefulSets and Jobs name theirs.
    """

    type: str | None = None
    namespace: str | None = None
    account: str | None = None
    workload: str | None = None
    resource: Resource | None = None
