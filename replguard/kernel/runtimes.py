"""What containers, pods and jobs are called: from the files that engines, kubelet and root keep, asking nobody.

Read are Docker's ``config.v2.json``, containerd's and CRI-O's ``config.json`` with the annotations of the Kubernetes
interface, the list of containers/storage (CRI-O and Podman), the names of the folders of pod logs, and of Slurm jobs
what a prolog of root left (docs: Containers). Only regular files of root up to a size are read, and what is not text of
a sensible length is unknown. Files of a user's own engine say what that user likes: they are not read. Nor is the
environment of a process, which it writes itself.
"""

import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from replguard.events.host import Container, Image, Orchestrator, Resource
from replguard.kernel.containers import Place

LARGEST, LARGEST_LIST = 4 * 2**20, 32 * 2**20
"""Bytes of the file of one container, and of a list of all."""
MOST_ENTRIES = 8192
"""Names in a folder that are looked through."""
_LONGEST = 512
_TASKS = (
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/k3s/containerd/io.containerd.runtime.v2.task",
    "/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
)
_CRI = "k8s.io"
"""The namespace of containerd in which the Kubernetes interface keeps its containers; others write what they like."""
_DOCKER = "/var/lib/docker/containers"
_STORAGE = "/var/lib/containers/storage/overlay-containers"
_POD_LOGS = "/var/log/pods"
JOBS = "/run/replguard-jobs"
"""Where a prolog leaves a file for each job: lines ``account=`` and ``job=``."""
_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
"""The letters of which Kubernetes makes random ends of names."""
_WORKLOADS = (
    re.compile(rf"(.+)-\d{{8,9}}-{_SAFE}{{5}}"),  # CronJob, with the minute
    re.compile(rf"(.+)-{_SAFE}{{6,10}}-{_SAFE}{{5}}"),  # Deployment, with the hash of its template
    re.compile(rf"(.+)-{_SAFE}{{5}}"),  # DaemonSet, ReplicaSet, Job
    re.compile(r"(.+)-\d+"),  # StatefulSet
)
_T = TypeVar("_T")


class Named(NamedTuple):
    """What is known of where a process runs. ``whole``: nothing more can be found, or nothing has a name."""

    container: Container | None = None
    orchestrator: Orchestrator | None = None
    whole: bool = True


class _Spec(msgspec.Struct):
    annotations: dict[str, str] = {}


class _DockerConfig(msgspec.Struct):
    Image: str = ""


class _Docker(msgspec.Struct):
    Name: str = ""
    Config: _DockerConfig = msgspec.field(default_factory=_DockerConfig)


class _Stored(msgspec.Struct):
    id: str
    names: list[str] | None = None
    metadata: str = ""


class _Found(NamedTuple):
    runtime: str
    name: str | None = None
    image: str | None = None
    pod: tuple[str, str] | None = None
    """Namespace and name."""


def bare(place: Place) -> Named:
    """Return what the path of the control group alone tells."""
    container = None
    if place.key is not None:
        container = Container(id=place.id, name=place.machine, runtime=place.runtime)
    return Named(container, _pod(place, None) or _job(place, None), whole=place.id is None and place.job is None)


def look(place: Place, host: str = "") -> Named:
    """Return all that is known, from the disk. ``host`` is what leads to the host's root, where ours is another."""
    if place.users or (place.id is None and place.pod is None and place.job is None):
        return bare(place)._replace(whole=True)
    found = next((told for told in _sources(place, host)), None) if place.id is not None else None
    container = None
    if place.key is not None:
        container = Container(
            id=place.id,
            name=found.name if found is not None else place.machine,
            runtime=found.runtime if found is not None else place.runtime,
            image=Image(name=found.image) if found is not None and found.image else None,
        )
    pod = (found.pod if found is not None else None) or (_logged(place.pod, host) if place.pod else None)
    job = _prolog(place.job, host) if place.job is not None else None
    whole = (place.id is None or found is not None) and (place.pod is None or pod is not None)
    return Named(container, _pod(place, pod) or _job(place, job), whole and (place.job is None or job is not None))


def workload(pod: str) -> str:
    """Return the name of what a pod belongs to, derived from its own as controllers make it; its own without one.

    >>> workload("chat-7d9c5b8f6d-x2kqz"), workload("llama-0"), workload("backup-28400000-abcde")
    ('chat', 'llama', 'backup-28400000-abcde')
    """
    return next((found[1] for pattern in _WORKLOADS if (found := pattern.fullmatch(pod)) is not None), pod)


def _sources(place: Place, host: str) -> Iterator[_Found]:
    """Yield what each engine that knows a container says, the one that its group names first."""
    ways = {"docker": _docker, "containerd": _containerd, "cri-o": _crio, "podman": _podman}
    first = place.runtime if place.runtime in ways else None
    for name in dict.fromkeys([first, *ways] if place.runtime is None else [first]):
        told = ways[name](place, host) if name is not None else None
        if told is not None:
            yield told


def _docker(place: Place, host: str) -> _Found | None:
    told = _json(f"{host}{_DOCKER}/{place.id}/config.v2.json", _Docker)
    return None if told is None else _Found("docker", _word(told.Name.lstrip("/")), _word(told.Config.Image))


def _containerd(place: Place, host: str) -> _Found | None:
    for folder in _TASKS:
        spaces = [_CRI] if place.pod else _listed(f"{host}{folder}")
        for space in spaces:
            told = _json(f"{host}{folder}/{space}/{place.id}/config.json", _Spec)
            if told is None:
                continue
            if space != _CRI:
                return _Found("docker" if space == "moby" else "containerd")
            given = told.annotations.get
            pod = (given("io.kubernetes.cri.sandbox-namespace"), given("io.kubernetes.cri.sandbox-name"))
            uid = given("io.kubernetes.cri.sandbox-uid")
            return _Found(
                "containerd",
                _word(given("io.kubernetes.cri.container-name")),
                _word(given("io.kubernetes.cri.image-name")),
                _own(place, uid, pod),
            )
    return None


def _crio(place: Place, host: str) -> _Found | None:
    told = _json(f"{host}{_STORAGE}/{place.id}/userdata/config.json", _Spec)
    if told is None or "io.kubernetes.cri-o.ContainerType" not in told.annotations:
        return None
    given = told.annotations.get
    pod = (given("io.kubernetes.pod.namespace"), given("io.kubernetes.pod.name"))
    uid = given("io.kubernetes.pod.uid")
    return _Found(
        "cri-o",
        _word(given("io.kubernetes.container.name")),
        _word(given("io.kubernetes.cri-o.ImageName") or given("io.kubernetes.cri-o.Image")),
        _own(place, uid, pod),
    )


def _podman(place: Place, host: str) -> _Found | None:
    stored = _json(f"{host}{_STORAGE}/containers.json", list[_Stored], LARGEST_LIST) or []
    for one in stored:
        if one.id == place.id:
            metadata = _decoded(one.metadata.encode("utf-8", "replace"), dict[str, Any]) or {}
            name = one.names[0] if one.names else None
            return _Found("podman", _word(name), _word(metadata.get("image-name")))
    return None


def _logged(uid: str, host: str) -> tuple[str, str] | None:
    """Return namespace and name of a pod by the folder of its logs: ``NAMESPACE_NAME_UID``."""
    for entry in _listed(f"{host}{_POD_LOGS}"):
        if entry.endswith(f"_{uid}"):
            space, name, *_ = *entry.split("_"), ""
            return _named(space, name)
    return None


def _prolog(job: str, host: str) -> tuple[str | None, str | None] | None:
    """Return account and name of a job, None where nobody left them."""
    text = _read(f"{host}{JOBS}/{job}", 4096)
    if text is None:
        return None
    given = dict(line.partition("=")[::2] for line in text.decode("utf-8", "replace").splitlines())
    return _word(given.get("account")), _word(given.get("job"))


def _pod(place: Place, named: tuple[str, str] | None) -> Orchestrator | None:
    if place.pod is None:
        return None
    space, name = named or (None, None)
    resource = Resource(type="pod", id=place.pod, name=name)
    return Orchestrator(
        type="kubernetes", namespace=space, workload=workload(name) if name else None, resource=resource
    )


def _job(place: Place, named: tuple[str | None, str | None] | None) -> Orchestrator | None:
    if place.job is None:
        return None
    account, name = named or (None, None)
    return Orchestrator(type="slurm", account=account, resource=Resource(type="job", id=place.job, name=name))


def _own(place: Place, uid: str | None, pod: tuple[str | None, str | None]) -> tuple[str, str] | None:
    """Return namespace and name of a pod, None where they are of another than the control group is of."""
    return _named(*pod) if uid in (None, place.pod) else None


def _named(space: str | None, name: str | None) -> tuple[str, str] | None:
    space, name = _word(space), _word(name)
    return (space, name) if space and name else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST else None


def _listed(folder: str) -> list[str]:
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(found) >= MOST_ENTRIES:
                    break
                found.append(entry.name)
    except OSError:
        pass
    return found


def _json(path: str, shape: type[_T], most: int = LARGEST) -> _T | None:
    data = _read(path, most)
    return None if data is None else _decoded(data, shape)


def _decoded(data: bytes, shape: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(path: str, most: int) -> bytes | None:
    """Return a whole regular file of root's, or of whoever we are; None for anything else and for what is longer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most or found.st_uid not in (0, os.geteuid()):
            return None
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(most + 1)
        return data if len(data) <= most else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
