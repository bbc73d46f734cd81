"""What the operator allows is read whole, with every fault at its line, and matched key by key."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.credentials import PLAIN

from replguard.provenance.manifest import (
    Deployment,
    Job,
    Manifest,
    Scheduler,
    Subject,
    Who,
    allows,
    covers,
    load,
    warnings,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
VLLM = Subject(unit="vllm.service", uid=900, user="serve", executable="/usr/bin/python3", command="python3 -m vllm")


def written(folder: Path, text: str, name: str = "manifest.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_manifest_and_its_folder_add_up(tmp_path: Path) -> None:
    """``manifest.d/*.yaml`` are read after the manifest itself; empty documents are nothing."""
    path = written(
        tmp_path,
        "deployments:\n  - {name: chat, weights: [/models/chat], unit: vllm.service, max_instances: 2, ports: [1]}\n",
    )
    written(
        tmp_path, "---\n---\njobs:\n  - {name: b, unit: restic.service, may: [access, copy], expires: 2027-01-01}\n",
        "manifest.d/backup.yaml",
    )  # fmt: skip
    manifest, problems = load(path)
    assert not problems
    assert manifest == Manifest(
        (Deployment(name="chat", weights=("/models/chat",), unit="vllm.service", max_instances=2, ports=(1,)),),
        (Job(name="b", unit="restic.service", may=("access", "copy"), expires=date(2027, 1, 1)),),
    )


def test_no_manifest_allows_nothing(tmp_path: Path) -> None:
    """An absent file is an empty manifest, not an error."""
    assert load(tmp_path / "none.yaml") == (Manifest(), [])


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("deployments:\n  - {name: x, weights: [/m]}\n", 2, "names nobody"),
        ("jobs:\n  - {name: x, may: [copy]}\n", 2, "names nobody"),
        ("jobs:\n  - {name: x, unit: a, may: [steal]}\n", 2, "steal"),
        ("jobs:\n  - {name: x, unit: a, mai: [copy]}\n", 2, "mai"),
        ("deployment: []\n", 1, "deployment"),
        ("deployments:\n  - {name: x, unit: '*', weights: [/m]}\n", 2, "names nobody"),
        ("jobs:\n  - {name: x, scheduler: {}, may: [copy]}\n", 2, "names nobody"),
        ("deployments:\n  - name: x\n    unit: a\n    ports: [8000,\n      80000]\n", 5, "80000 is no port"),
        ("deployments:\n  - name: x\n    unit: a\n    max_instances: 0\n", 4, "allows none"),
        ("deployments:\n  - name: x\n    unit: [\n", 4, ""),
        ("jobs:\n  - {unit: a}\n", 2, "name"),
        ("jobs:\n  - {name: x, unit: a, expires: tomorrow}\n", 2, "for example 2027-01-31"),
    ],
)
def test_every_fault_has_its_line(tmp_path: Path, text: str, line: int, word: str) -> None:
    """Unknown keys, unknown acts, missing names, broken YAML, and entries that would allow everybody."""
    _, problems = load(written(tmp_path, text))
    assert problems
    assert word in problems[0].text
    assert problems[0].line == line


def test_no_fault_hides_another(tmp_path: Path) -> None:
    """A date that is none, a wrong type, a misspelt key, and numbers and entries that make no sense."""
    _, problems = load(
        written(
            tmp_path,
            "deployments:\n  - {name: a, unit: x, weights: /m}\n  - {name: b, unit: x, expires: 2020-13-01}\n"
            "  - {name: c, unit: x, max_instance: 2}\n  - {name: d, unit: x, ports: [0]}\n"
            "jobs:\n  - {name: e, unit: x, may: copy}\n  - {name: f, may: [copy]}\n  - [x]\n",
        )
    )
    assert sorted(problem.line for problem in problems) == [2, 3, 4, 5, 7, 8, 9]
    assert any("did you mean 'max_instances'" in problem.text for problem in problems)


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """One broken file hides no fault of another, and what is good is kept."""
    path = written(tmp_path, "jobs:\n  - {name: x, may: [copy]}\n  - {name: y, unit: y.service, may: [copy]}\n")
    written(tmp_path, "[\n", "manifest.d/a.yaml")
    manifest, problems = load(path)
    assert len(problems) == 2
    assert [job.name for job in manifest.jobs] == ["x", "y"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"unit": "vllm.service"}, True),
        ({"unit": "vllm*.service"}, True),
        ({"unit": "other.service"}, False),
        ({"unit": "vllm.service", "executable": "/usr/bin/python3"}, True),
        ({"unit": "vllm.service", "executable": "/usr/bin/ruby"}, False),
        ({"command": "* -m vllm"}, True),
        ({"user": 900}, True),
        ({"user": "900"}, True),
        ({"user": "serve"}, True),
        ({"user": "root"}, False),
        ({"user": 0}, False),
        ({"container": "abc"}, False),
        ({"image": "*"}, False),
        ({"namespace": "*"}, False),
        ({"workload": "*"}, False),
        ({"service_account": "*"}, False),
        ({"scheduler": Scheduler(account="ml")}, False),
    ],
)
def test_every_given_key_must_hold(keys: dict[str, Any], expected: bool) -> None:
    """What the subject does not have satisfies no key, not even a star."""
    assert allows(Who(name="x", **keys), VLLM, NOW) is expected


def test_a_command_with_a_key_allows_the_command_line_as_it_is_known() -> None:
    """Nobody has to know that it is known without the key, and another key is the same command."""
    who = Who(name="x", command=f"vllm serve /m --api-key {PLAIN} --port 8000")
    subject = msgspec.structs.replace(VLLM, command="vllm serve /m --api-key *** --port 8000")
    assert allows(who, subject, NOW)
    assert not allows(who, msgspec.structs.replace(VLLM, command="vllm serve /m --port 8000"), NOW)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(Scheduler(account="ml"), True), (Scheduler(job="night"), True), (Scheduler("ml", "day"), False)],
)
def test_a_scheduler_is_account_and_job(wanted: Scheduler, expected: bool) -> None:
    """What is not asked for may be anything."""
    subject = Subject(scheduler=Scheduler("ml", "night"))
    assert allows(Who(name="x", scheduler=wanted), subject, NOW) is expected


def test_an_agent_inherits_nothing() -> None:
    """Unless the entry says so."""
    tool = Subject(unit="vllm.service", agent=True)
    assert not allows(Who(name="x", unit="vllm.service"), tool, NOW)
    assert allows(Who(name="x", unit="vllm.service", agent=True), tool, NOW)


def test_an_entry_holds_through_its_last_day() -> None:
    """Until midnight UTC of the day that it names."""
    entry = Who(name="x", unit="vllm.service", expires=date(2026, 6, 1))
    assert allows(entry, VLLM, NOW)
    assert not allows(entry, VLLM, datetime(2026, 6, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("roots", "path", "expected"),
    [
        (("/models/chat",), "/models/chat/w.safetensors", True),
        (("/models/chat/",), "/models/chat/w.safetensors", True),
        (("/models/chat/w.safetensors",), "/models/chat/w.safetensors", True),
        (("/models/chat",), "/models/chat2/w.safetensors", False),
        (("/",), "/anything", True),
        (("/models/*/w.safetensors",), "/models/chat/w.safetensors", True),
        (("/models/*/w.safetensors",), "/models/a/b/w.safetensors", False),
        (("/models/chat/w-[0-9]*-of-00003.bin",), "/models/chat/w-00002-of-00003.bin", True),
        (("/models/chat/w-[0-9]*-of-00003.bin",), "/models/chat/other.bin", False),
        (("/models/[[]x]",), "/models/[x]/w", True),
        ((), "/anything", False),
    ],
)
def test_weights_are_folders_or_files(roots: tuple[str, ...], path: str, expected: bool) -> None:
    """A folder covers what lies in it; a deployment that names none covers nothing, a job everything."""
    assert covers(Deployment(name="x", weights=roots), path) is expected
    assert covers(Job(name="x", weights=roots), path) is (expected or not roots)


def test_weak_entries_are_warned_of() -> None:
    """Anyone can run a program by the same name or with the same arguments."""
    manifest = Manifest(
        (
            Deployment(name="a", executable="/usr/bin/python3", weights=("/m",)),
            Deployment(name="b", unit="b.service", command="x", weights=("/m",)),
        ),
        (Job(name="c", command="x", may=("copy",)),),
    )
    assert [text.split("'")[1] for text in warnings(manifest, NOW.date())] == ["a", "c"]
    assert "executable" in warnings(manifest, NOW.date())[0]


def test_entries_that_allow_nothing_are_warned_of() -> None:
    """Whoever wrote them meant something: they would wait for a silence that never comes."""
    manifest = Manifest(
        deployments=(Deployment(name="a", unit="x.service"),),
        jobs=(
            Job(name="b", unit="x.service"),
            Job(name="c", unit="x.service", may=("copy",), expires=date(2026, 5, 31)),
            Job(name="d", unit="x.service", may=("copy",), weights=("models/x", "/models")),
            Job(name="e", unit="x.service", may=("copy",), expires=NOW.date()),
        ),
    )
    told = warnings(manifest, NOW.date())
    assert [text.split("'")[1] for text in told] == ["a", "b", "c", "d"]
    assert "`weights`" in told[0]
    assert "`may`" in told[1]
    assert "2026-05-31" in told[2]
    assert "'models/x'" in told[3]
