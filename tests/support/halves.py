"""Observer and judge joined without threads, queues or bytes between them: an event in, alerts and a log out."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from replguard.alerts.manager import Manager
from replguard.analyser.judge import Judge
from replguard.collector.observer import Observer
from replguard.config import Config, Stream
from replguard.detector import Detector
from replguard.events.alert import Alert
from replguard.events.event import Event, Meta
from replguard.events.evidence import Kept
from replguard.events.process import Process
from replguard.frames import Evidence, Told
from replguard.log.keys import Keys
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.provenance.authority import Authority
from replguard.provenance.baseline import Baseline
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.manifest import Manifest
from replguard.provenance.provenance import Provenance
from replguard.rules import load
from replguard.rules.model import RuleSet
from replguard.sinks import Sinks

BOOT = "b" * 32
RULE = """
title: A probe
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a-probe
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: /probe}
  condition: selection
level: high
"""
"""A rule that fires on what `probe` makes."""


class Outlet(Sinks):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__({}, lambda _: None)
        self.alerts: list[Alert] = []
        self.kept: list[Kept] = []

    def deliver(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def keep(self, checkpoint: Kept) -> None:
        self.kept.append(checkpoint)


def probe(pid: int = 4711) -> Event:
    """An exec that the rule fires on."""
    return Event(
        timestamp=datetime.now(UTC),
        event=Meta(action="process_exec"),
        process=Process(pid=pid, entity_id=f"e{pid}", executable="/opt/probe", args=("probe",), command_line="probe"),
    )


class Halves:
    """``asked`` holds the wishes for evidence. What the observer tells reaches the judge at once."""

    def __init__(self, folder: Path, rules: RuleSet, sinks: Sinks, *, buffered: bool = False) -> None:
        first = 1000 if (folder / "log").exists() else 1
        self.asked: list[Evidence] = []
        self.raw, self.evidence = (_writer(folder, name, buffered=buffered) for name in ("raw", "evidence"))
        self.sinks = sinks
        self.judge = Judge(
            detector=Detector(rules, Manager(Config())),
            sequencer=Sequencer(BOOT, first),
            raw=self.raw,
            evidence=self.evidence,
            sinks=sinks,
            ask=self._ask,
            memory=folder / "alerts.state",
        )
        self.provenance = Provenance(
            own=(),
            authority=Authority(Manifest(), Baseline(None)),
            endpoints=Endpoints([]),
            by_inode=lambda _, __: None,
            files=list,
            examine=lambda _: None,
            watch=lambda _: None,
            index_ready=lambda: True,
        )
        self.observer = Observer(self.provenance, self._tell)
        self.observe: Callable[[Any], None] = self.observer.observe

    def _tell(self, frame: Told) -> None:
        self.judge.observe(frame)  # type: ignore[arg-type]

    def _ask(self, asked: Evidence) -> None:
        self.asked.append(asked)
        self.observer.put(asked)

    def tick(self) -> None:
        """Let a second pass."""
        self.observer.tick()
        self.judge.tick()

    def close(self) -> None:
        """Close the log."""
        for writer in (self.raw, self.evidence):
            writer.close()


def _writer(folder: Path, name: str, *, buffered: bool) -> Writer:
    return Writer(
        folder / "log",
        name,
        Stream(),
        keys=Keys(folder / f"{name}.key"),
        boot_id=BOOT,
        buffered=buffered and name == "raw",
        report=lambda _: None,
    )


def with_one_rule(folder: Path, *, buffered: bool = False) -> Halves:
    """Return both halves with `RULE`, sinks that keep what they are handed, and a log below a folder."""
    (folder / "probe.yml").write_text(RULE)
    rules = load.load([folder / "probe.yml"], shipped=folder / "none")
    return Halves(folder, rules, Outlet(), buffered=buffered)
