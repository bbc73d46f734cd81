"""The manifest: what the operator allows. Read whole, every fault at its line; matched key by key, all must hold."""

import fnmatch
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from replguard import yamlfile
from replguard.errors import ConfigError, Problem

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
    """Who acts, as the manifest's keys see it. None never satisfies a key."""

    unit: str | None = None
    container: str | None = None
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


KEYS = ("unit", "namespace", "workload", "container", "image", "service_account", "scheduler", "user")


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
            documents = yamlfile.read(file)
        except ConfigError as error:
            problems += error.problems
            continue
        for document in documents:
            if document.value is None:
                continue
            made = yamlfile.convert(document, Manifest, problems)
            if made is not None:
                problems += _keyless(document, made)
                deployments += made.deployments
                jobs += made.jobs
    return Manifest(tuple(deployments), tuple(jobs)), problems


def _keyless(document: yamlfile.Document, manifest: Manifest) -> list[Problem]:
    """An entry that names nobody would allow everybody: that is never meant."""
    found = []
    for kind, entries in (("deployments", manifest.deployments), ("jobs", manifest.jobs)):
        for i, entry in enumerate(entries):
            if all(getattr(entry, key) is None for key in (*KEYS, "executable", "command")):
                text = f"'{entry.name}' names nobody: give one of {', '.join((*KEYS, 'executable', 'command'))}"
                found.append(document.problem((kind, i), text))
    return found


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


def allows(entry: Who, subject: Subject, now: datetime) -> bool:
    """Whether every key that the entry gives holds for the subject."""
    if subject.agent and not entry.agent:
        return False
    if entry.expires is not None and now.astimezone(UTC).date() > entry.expires:
        return False
    for key in ("unit", "namespace", "workload", "container", "image", "service_account", "executable", "command"):
        wanted = getattr(entry, key)
        if wanted is not None and not _glob(getattr(subject, key), wanted):
            return False
    if entry.user is not None and entry.user not in (subject.uid, subject.user) and str(entry.user) != str(subject.uid):
        return False
    return entry.scheduler is None or _scheduled(entry.scheduler, subject.scheduler)


def _glob(value: str | None, pattern: str) -> bool:
    return value is not None and fnmatch.fnmatchcase(value, pattern)


def _scheduled(wanted: Scheduler, given: Scheduler | None) -> bool:
    if given is None:
        return False
    return wanted.account in (None, given.account) and wanted.job in (None, given.job)


def covers(entry: Deployment | Job, path: str) -> bool:
    """Whether the entry's weights include a file; a job that names none means all."""
    if not entry.weights:
        return isinstance(entry, Job)
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in entry.weights)
