"""The manifest: what the operator allows. Read whole, every fault at its line; matched key by key, all must hold."""

import fnmatch
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import msgspec

from replguard import yamlfile
from replguard.errors import ConfigError, Problem
from replguard.events.network import ports
from replguard.masking.mask import mask

May = Literal["access", "copy", "egress", "serve", "signal"]


class Scheduler(msgspec.Struct, frozen=True):
    """A batch scheduler's account and job name."""

    account: str | None = None
    job: str | None = None


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that name a principal. All that are given must hold; globs are allowed."""

    name: str
    unit: str | None = None
    namespace: str | None = None
    workload: str | None = None
    container: str | None = None
    image: str | None = None
    service_account: str | None = None
    scheduler: Scheduler | None = None
    user: str | int | None = None
    executable: str | None = None
    command: str | None = None
    agent: bool = False
    expires: date | None = None


class Deployment(Who, frozen=True, kw_only=True):
    """Serving that is wanted: which weights, by whom, on which ports, how many at once."""

    weights: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    max_instances: int = 1
    peers: tuple[str, ...] = ()


class Job(Who, frozen=True, kw_only=True):
    """Other work on the weights that is wanted."""

    may: tuple[May, ...] = ()
    weights: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """Everything that is allowed."""

    deployments: tuple[Deployment, ...] = ()
    jobs: tuple[Job, ...] = ()


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, as the manifest's keys see it. None never satisfies a key.

    A container is meant by its id, or by what it is ``called``.
    """

    unit: str | None = None
    container: str | None = None
    called: str | None = None
    image: str | None = None
    namespace: str | None = None
    workload: str | None = None
    service_account: str | None = None
    scheduler: Scheduler | None = None
    uid: int | None = None
    user: str | None = None
    executable: str | None = None
    command: str | None = None
    agent: bool = False


EPHEMERAL = 32768
"""First port that the kernel gives to who asks for any (ip_local_port_range)."""
KEYS = ("unit", "namespace", "workload", "container", "image", "service_account", "scheduler", "user")
PORTS = range(1, 65536)


def files(path: Path, problems: list[Problem] | None = None) -> list[Path]:
    """Return the files that make up a manifest: itself where it exists, then ``manifest.d/*.yaml``."""
    faults = problems if problems is not None else []
    return [*([path] if yamlfile.is_there(path) else []), *yamlfile.drop_ins(path.parent / "manifest.d", faults)]


def load(path: Path) -> tuple[Manifest, list[Problem]]:
    """Return what a manifest and its ``manifest.d/*.yaml`` allow, and every problem. An absent manifest is empty."""
    problems: list[Problem] = []
    found = files(path, problems)
    manifest, wrong = load_files(found)
    return manifest, problems + wrong


def load_files(paths: list[Path]) -> tuple[Manifest, list[Problem]]:
    """Return what these files allow together, and every problem."""
    problems: list[Problem] = []
    deployments: list[Deployment] = []
    jobs: list[Job] = []
    for file in paths:
        try:
            documents = yamlfile.read(file, problems)
        except ConfigError as error:
            problems += error.problems
            continue
        for document in documents:
            if document.value is None:
                continue
            made = yamlfile.convert(document, Manifest, problems)
            problems += _senseless(document)
            if made is not None:
                deployments += made.deployments
                jobs += made.jobs
    return Manifest(tuple(deployments), tuple(jobs)), problems


def _senseless(document: yamlfile.Document) -> Iterator[Problem]:
    """An entry that names nobody would allow everybody: that is never meant. Nor is a number that can never hold.

    Each entry is looked at by itself: the faults of one hide none of another.
    """
    for place, entry in _entries(document):
        if not any(_names(getattr(entry, key)) for key in (*KEYS, "executable", "command")):
            text = f"'{entry.name}' names nobody: give one of {', '.join((*KEYS, 'executable', 'command'))}"
            yield document.problem(place, text)
        if not isinstance(entry, Deployment):
            continue
        for n, port in enumerate(entry.ports):
            if port not in PORTS:
                yield document.problem((*place, "ports", n), f"'ports': {port} is no port (1 to 65535)")
        if entry.max_instances < 1:
            text = f"'max_instances': {entry.max_instances} allows none: take the entry out, or say 1 or more"
            yield document.problem((*place, "max_instances"), text)


def _entries(document: yamlfile.Document) -> Iterator[tuple[yamlfile.Place, Deployment | Job]]:
    """Yield the entries of a document that are whole, each with its place."""
    kinds: tuple[tuple[str, type[Deployment | Job]], ...] = (("deployments", Deployment), ("jobs", Job))
    for key, kind in kinds:
        listed = document.value.get(key) if isinstance(document.value, dict) else None
        for i in range(len(listed) if isinstance(listed, list) else 0):
            if (made := yamlfile.convert(document, kind, [], (key, i))) is not None:
                yield (key, i), made


def _names(value: object) -> bool:
    """Whether the value of a key leaves anybody out."""
    if isinstance(value, Scheduler):
        return _names(value.account) or _names(value.job)
    return value is not None and (not isinstance(value, str) or bool(value.strip("*")))


def warnings(manifest: Manifest, today: date) -> list[str]:
    """Return a sentence for whatever an entry says that is hardly meant: it allows too much, or nothing."""
    entries: tuple[Deployment | Job, ...] = (*manifest.deployments, *manifest.jobs)
    return [f"'{entry.name}' {text}" for entry in entries for text in _doubtful(entry, today)]


def _doubtful(entry: Deployment | Job, today: date) -> Iterator[str]:
    only = "executable" if entry.executable else "command" if entry.command else None
    if only and all(getattr(entry, key) is None for key in KEYS):
        yield f"is known only by its {only}, which anyone can run; add a unit, user, container or image"
    if isinstance(entry, Job) and not entry.may:
        yield f"allows nothing: list in `may` some of {', '.join(get_args(May))}"
    if isinstance(entry, Deployment) and not entry.weights:
        yield "allows nothing: name its `weights`"
    if entry.expires is not None and today > entry.expires:
        yield f"allows nothing any more: it expired on {entry.expires}"
    for path in entry.weights:
        if not path.startswith("/"):
            yield f"never covers '{path}' of its `weights`: write the whole path, from / on"


def difference(before: Manifest, now: Manifest) -> str:
    """Return by name which entries came, went and changed, '' for none."""
    if before == now:
        return ""
    old, new = _by_name(before), _by_name(now)
    parts = [f"{name} added" for name in new if name not in old]
    parts += [f"{name} changed" for name in new if name in old and old[name] != new[name]]
    parts += [f"{name} removed" for name in old if name not in new]
    return "; ".join(parts) or "entries in another order"


def _by_name(manifest: Manifest) -> dict[str, list[Who]]:
    found: dict[str, list[Who]] = {}
    entries: tuple[Who, ...] = (*manifest.deployments, *manifest.jobs)
    for entry in entries:
        found.setdefault(f"{'deployment' if isinstance(entry, Deployment) else 'job'} {entry.name}", []).append(entry)
    return found


def allows(entry: Who, subject: Subject, now: datetime) -> bool:
    """Whether every key that the entry gives holds for the subject."""
    if subject.agent and not entry.agent:
        return False
    if entry.expires is not None and now.astimezone(UTC).date() > entry.expires:
        return False
    if entry.container is not None and not any(
        _glob(known, entry.container) for known in (subject.container, subject.called)
    ):
        return False
    for key in ("unit", "namespace", "workload", "image", "service_account", "executable", "command"):
        wanted = getattr(entry, key)
        if wanted is not None and not _glob(getattr(subject, key), _masked(wanted) if key == "command" else wanted):
            return False
    if entry.user is not None and entry.user not in (subject.uid, subject.user) and str(entry.user) != str(subject.uid):
        return False
    return entry.scheduler is None or _scheduled(entry.scheduler, subject.scheduler)


@lru_cache
def _masked(command: str) -> str:
    """Return a pattern as the command lines are that it is held against: no key or password stands in them."""
    return mask(command)


def _glob(value: str | None, pattern: str) -> bool:
    return value is not None and fnmatch.fnmatchcase(value, pattern)


def _scheduled(wanted: Scheduler, given: Scheduler | None) -> bool:
    if given is None:
        return False
    return wanted.account in (None, given.account) and wanted.job in (None, given.job)


def covers(entry: Deployment | Job, path: str) -> bool:
    """Whether the entry's weights include a file; a job that names none means all.

    Each is the path of a file, or of a folder with all that lies in it. A glob holds inside one part of the path.
    """
    if not entry.weights:
        return isinstance(entry, Job)
    parts = path.split("/")
    return any(_within(parts, root.rstrip("/").split("/")) for root in entry.weights)


def _within(parts: list[str], root: list[str]) -> bool:
    return len(root) <= len(parts) and all(map(fnmatch.fnmatchcase, parts, root))


def takes(entry: Deployment | Job, listen: Iterable[str]) -> bool:
    """Whether an instance listens only where the entry says.

    A port that the kernel chose is for its own ranks to talk: it counts only where there is no other to come by. Who
    does not listen yet, or at a path, listens at no other port.
    """
    if isinstance(entry, Job) or not entry.ports:
        return True
    every = ports(listen)
    doors = {port for port in every if port < EPHEMERAL or port in entry.ports} or every
    return doors <= set(entry.ports)
