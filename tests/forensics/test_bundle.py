"""An incident in one file."""

import hashlib
import io
import json
import zipfile

import pytest
from support import bundles, cases, logs

from replguard.events.evidence import RuleText
from replguard.forensics import incident


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Give a log with an incident."""
    place = tmp_path_factory.mktemp("log")
    return cases.made(place / "log", place / "state")


@pytest.fixture
def bundle(log, tmp_path):
    """Give its bundle."""
    path = tmp_path / "b.zip"
    path.write_bytes(bundles.made(log))
    return path


def test_it_holds_what_is_asked_of_it(log, bundle):
    """Manifest, records, proofs, headers, checkpoint, rule texts, the page, and a word for a lawyer."""
    files = bundles.files(bundle)
    rule = f"rules/self-replication-{hashlib.sha256(cases.RULE.encode()).hexdigest()[:8]}.yml"
    names = ["manifest.json", "records.jsonl", "proofs.jsonl", "headers.jsonl", "checkpoint", "unproven.jsonl"]
    assert list(files) == [*names, "report.html", "README.txt", rule]
    assert files[rule].decode() == cases.RULE
    records = set(files["records.jsonl"].splitlines())
    assert {entry.at.data for entry in incident.gather(log, cases.INCIDENT).entries} <= records
    assert b"replguard verify" in files["README.txt"]


def test_the_manifest_says_what_it_is_of(bundle):
    """The incident in a sentence, the host, the tool, the files with their hashes, and what is missing."""
    files = bundles.files(bundle)
    manifest = json.loads(files["manifest.json"])
    assert (manifest["bundle"], manifest["schema"], manifest["incident"]) == ("replguard", 1, cases.INCIDENT)
    assert (manifest["level"], manifest["state"]) == ("critical", "firing")
    assert manifest["sentence"] == "Agent ag copied llama, then served it."
    assert (manifest["host"], manifest["alerts"]) == ({"name": "gpu1"}, ["a1", "b2"])
    assert manifest["log"].startswith("replguard/evidence/")
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    for name, member in manifest["files"].items():
        assert member == {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}
    assert [(rule["name"], rule["kept"]) for rule in manifest["rules"]] == [("self-replication", True)]
    assert manifest["missing"] == ["of 1 of its rules the text as it was then is not in the evidence"]


def test_the_same_incident_is_the_same_bytes(log):
    """Whoever makes it again can compare."""
    assert bundles.made(log) == bundles.made(log)


def test_of_a_rule_without_a_kept_text_todays_is_given(log):
    """And the manifest says so; a name that is a path is none here."""
    now = RuleText(id="rule-weights-copy-agent", name="../../Etc/X", path="x.yml", sha256="0" * 64, text="title: x\n")
    data = bundles.made(log, today=lambda rule: [now] if rule == now.id else [])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        (name,) = [rule["file"] for rule in manifest["rules"] if not rule["kept"]]
        assert (name, archive.read(name)) == ("rules/-etc-x-00000000.yml", b"title: x\n")
    assert manifest["missing"][-1] == "of these rules the text of today is given, and not that of then: ../../Etc/X"


def test_somebody_else_can_check_it(log, bundle):
    """By the description alone, in another way, with the key that was noted elsewhere."""
    key = logs.found(log, "evidence").parts[0].header.by
    records = bundles.proven(bundle, key)
    assert len(records) == bundles.check(bundle, [key]).records > 15
    with pytest.raises(AssertionError):
        bundles.proven(bundle, "A" * 43 + "=")


def test_what_is_not_sealed_stands_apart(tmp_path):
    """The daemon wrote it a moment ago."""
    folder = cases.made(tmp_path / "log", tmp_path / "state", cases.records()[:-1])
    to = logs.writer(folder, tmp_path / "state", "evidence")
    to.write(cases.records()[-1], cases.at(100))
    to.flush(cases.at(100))
    path = tmp_path / "b.zip"
    path.write_bytes(bundles.made(folder))
    assert b'"id":"a1"' in bundles.files(path)["unproven.jsonl"]
    found = bundles.check(path)
    assert (found.findings, found.unproven) == ([], 1)
    to.close()
