"""The host and what contains a process on it."""

import msgspec


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``boot_id`` is the kernel's random id of this boot."""

    id: str | None = None
    name: str | None = None
    boot_id: str | None = None
    kernel: str | None = None


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The container that a process runs in, from its cgroup."""

    id: str | None = None
    name: str | None = None
    runtime: str | None = None
    image: str | None = None


class Orchestrator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Kubernetes names, where the cgroup or the manifest tells them."""

    namespace: str | None = None
    workload: str | None = None
    pod: str | None = None
