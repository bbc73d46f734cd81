"""The evidence of a replication stands by itself: with it alone, an incident can be told a year later."""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import logs

from replguard.config import Stream
from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.process import Process
from replguard.forensics import incident, register
from replguard.log import names, reader
from replguard.log.segments import Writer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a drill of the kernel tier needs root")


@pytest.fixture(scope="module")
def log() -> Path:
    """The log of a daemon beside which a model copied itself and started the copy."""
    command = [sys.executable, "-m", "replguard", "drill", "chain-of-replication", "--keep"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    found = re.search(r"lie in (\S+)", told.stdout + told.stderr)
    assert found is not None, told.stdout
    return Path(found[1]) / "log"


@pytest.fixture(scope="module")
def evidence(log: Path) -> list[dict[str, Any]]:
    """Its records."""
    found = reader.records([log], "evidence")
    return [json.loads(each.data) for each in found if isinstance(each, reader.Record)]


def of(records: list[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    """The states of a kind."""
    return [each for each in records if each["event"].get("action") == action and each["event"].get("kind") == "state"]


def alerts(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alerts."""
    return [each for each in records if each["event"].get("kind") == "alert"]


def test_whatever_an_alert_names_is_there(evidence: list[dict[str, Any]]) -> None:
    """Facts and raw events, by the ids that it gives."""
    held = {each["event"]["id"] for each in evidence if each["event"].get("kind", "event") in ("event", "enrichment")}
    named = {id_ for alert in alerts(evidence) for id_ in alert["replguard"]["evidence"]}
    assert named
    assert named <= held
    assert any(each["event"]["action"] == "process_exec" for each in evidence if "kind" not in each["event"])


def test_the_rules_are_there_as_they_were(evidence: list[dict[str, Any]]) -> None:
    """Of each alert, under its incident."""
    texts = {(each["incident"], each["rule"]["id"]) for each in of(evidence, "rule_text")}
    assert {(alert["replguard"]["incident"], alert["rule"]["id"]) for alert in alerts(evidence)} <= texts


def test_each_process_that_acts_is_told_up_to_its_entry_point(evidence: list[dict[str, Any]]) -> None:
    """From the process of an alert one gets to the actor's by the parents that are told."""
    above = {each["process"]["entity_id"]: each["process"] for each in of(evidence, "process_lineage")}
    for alert in alerts(evidence):
        entity, entry = alert["process"]["entity_id"], alert["replguard"]["actor"]["id"].rpartition("#")[2]
        way = [entity]
        while way[-1] != entry and (here := above.get(way[-1])) is not None and len(way) < 20:
            way.append(here.get("parent", {}).get("entity_id"))
        assert way[-1] == entry, (alert["message"], way)


def test_who_served_the_copy_was_looked_at(evidence: list[dict[str, Any]]) -> None:
    """Its program, the port at which it listened and the copy that it held open; no value of its environment."""
    live = [each for each in alerts(evidence) if each["rule"]["level"] == "critical" and "server" in each]
    ports = {f"{each['server']['ip']}:{each['server']['port']}" for each in live}
    taken = [each["snapshot"] for each in of(evidence, "process_snapshot")]
    seen = {socket["local"] for each in taken for socket in each.get("sockets", ()) if socket.get("state") == "LISTEN"}
    assert ports
    assert ports <= seen
    assert any("model.safetensors" in each["path"] for some in taken for each in some.get("descriptors", ())) or any(
        "model.safetensors" in (each.get("path") or "") for some in taken for each in some.get("maps", ())
    )
    assert all(len(each["image"]["sha256"]) == 64 for each in taken if "image" in each)
    names_ = {name for each in taken for name in each.get("environment", ())}
    assert "PATH" in names_
    assert not any("=" in name or os.environ["PATH"] in name for name in names_)


def test_it_is_fixed_by_a_checkpoint_soon_after(log: Path, evidence: list[dict[str, Any]]) -> None:
    """At the end at the latest; each holds for the log as it is."""
    kept = [each["checkpoint"] for each in of(evidence, "log_checkpoint")]
    assert {each["stream"] for each in kept} == {"raw", "evidence"}
    assert names.segments(log, "evidence")
    for stream in ("raw", "evidence"):
        found = logs.found(log, stream)
        assert found.findings == []
        assert found.checkpoint is not None
        sizes = [each["size"] for each in kept if each["stream"] == stream]
        assert sizes == sorted(sizes)
        assert found.checkpoint.size - sizes[-1] <= 2


SCALE = 2000
"""The limits and the load are a two-thousandth of what they are."""
DAY = 86_400


def day(raw: Writer, evidence: Writer, number: int, words: random.Random) -> None:
    """Write a day of a host on which 100 programs start a second, of which every hundredth leads to a fact."""
    for second in range(0, DAY, SCALE // 100):
        at = logs.NOW + timedelta(days=number, seconds=second)
        for event in lives(at, words):
            raw.write(event, at)
            if event.event.kind == "enrichment":
                evidence.write(event, at)
    raw.tick(at)
    evidence.tick(at)


def lives(at: datetime, words: random.Random) -> Iterator[Event]:
    """A program that starts and ends, with what a command line may hold; at times a fact."""
    some = " ".join(f"{words.getrandbits(32):x}" for _ in range(4))
    line = f"/usr/bin/cc -c src/{words.getrandbits(24):x}.c -o build/{some}"
    process = Process(pid=words.randrange(2, 2**22), entity_id=f"{words.getrandbits(64):016x}", command_line=line)
    yield Event(timestamp=at, event=Meta(action="process_exec", id=f"b-{words.getrandbits(40)}"), process=process)
    yield Event(timestamp=at, event=Meta(action="process_exit", id=f"b-{words.getrandbits(40)}"), process=process)
    if words.random() < 0.01:
        meta = Meta(action="network_listen", kind="enrichment", id=f"b-{words.getrandbits(40)}")
        yield Event(timestamp=at, event=meta, process=process)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder without a disk: thousands of segments come and go within seconds."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.timeout(300)
def test_ninety_days_later_the_incident_is_still_there(log: Path, memory: Path) -> None:
    """The raw stream has long let go of it; from the evidence alone the report tells what it told on the first day."""
    folder = memory / "log"
    limits = {"raw": Stream(max_size=2 * 2**30 // SCALE), "evidence": Stream(max_size=2**30 // SCALE)}
    raw, evidence = (logs.writer(folder, memory / "state", name, limits[name]) for name in limits)
    for name, to in (("raw", raw), ("evidence", evidence)):
        for each in reader.records([log], name):
            assert isinstance(each, reader.Record)
            to.write(msgspec.Raw(each.data), logs.NOW)
        to.tick(logs.NOW)
    told = [wire.alert(each.data) for each in register.picked(folder, lambda line: register.ALERT in line)]
    worst = next(each for each in told if each.rule.level == "critical").replguard.incident
    first = incident.gather(folder, worst)
    words = random.Random(1)
    for number in range(1, 91):
        day(raw, evidence, number, words)
    for to in (raw, evidence):
        to.close(60, logs.NOW + timedelta(days=91))
    assert min(segment.number for segment in names.segments(folder, "raw")) > 1
    now = incident.gather(folder, worst)
    for part in ("alerts", "told", "events", "lineage", "snapshots", "rules"):
        assert [each.what for each in getattr(now, part)] == [each.what for each in getattr(first, part)], part
        assert getattr(now, part), part
    assert now.missing == first.missing
    assert logs.found(folder, "evidence").findings == []
