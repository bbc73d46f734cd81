"""The collector's process."""

import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import structlog

from replguard import standing
from replguard.collector.collector import Collector
from replguard.collector.link import Link
from replguard.errors import ConfigError, ReplguardError
from replguard.events import clock
from replguard.events.text import printable
from replguard.kernel import notify, rights
from replguard.kernel.carried import CARRIED
from replguard.kernel.keep import KEPT
from replguard.masking.mask import also, mask
from replguard.part import Given, begin
from replguard.policy import Policy
from replguard.stage import health
from replguard.supervisor import WRONG

HEEDS = 1.0
"""Seconds after which a signal is heeded at the latest."""
KEEPS = 10.0
"""Seconds that the end waits until all that was seen is in the log."""

_log = structlog.get_logger(__name__)


def main(given: dict[str, Any]) -> None:
    """Watch until told to stop."""
    try:
        _watch(msgspec.convert(given, Given))
    except ConfigError as error:
        _refuse(*map(str, error.problems))
    except ReplguardError as error:
        _refuse(f"replguard: {error}")


def _refuse(*why: str) -> None:
    """End as what cannot begin with this configuration."""
    for line in why:
        sys.stderr.write(printable(line) + "\n")
    sys.exit(WRONG)


def _watch(given: Given) -> None:
    KEPT.receive()
    CARRIED.begin()
    stop, reload = threading.Event(), threading.Event()
    begin(stop.set, reload.set)
    policy = Policy(Path(given.config) if given.config else None, strict=False)
    for problem in policy.problems:
        sys.stderr.write(f"replguard: {policy.in_force}: {printable(mask(str(problem)))}\n")
    also(policy.config.log.mask)
    standing.alone(Path(policy.config.state_dir))
    _give_up_rights(policy.config.state_dir)
    collector = Collector(policy, lambda frame: link.send(frame), unsent=lambda: link.held)  # noqa: PLW0108 - made below
    link = Link(
        Path(given.socket),
        collector.hello,
        collector.take,
        lambda state, reason, lost: collector.put(health("analyser", state, reason, lost=lost)),
    )
    link.start()
    collector.start()
    try:
        notify.notify("READY=1", f"STATUS=watching, {len(collector.runner.sensors)} sensors")
        # Not without end: a signal that comes as the wait begins, or to another thread, interrupts nothing.
        while not stop.wait(HEEDS):
            collector.observer.rhythm.step(clock.monotonic())
            if reload.is_set():
                reload.clear()
                collector.reload()
    finally:
        notify.notify("STOPPING=1")
        collector.close()
        if not link.stop(KEEPS):
            _log.warning("not all that was seen is known to be in the log", events=link.held)


def _give_up_rights(state_dir: str) -> None:
    """Keep what watching needs (systemd/replguard.service says why each) and to write our state, and nothing else."""
    try:
        rights.keep(rights.DAC_READ_SEARCH, rights.SYS_PTRACE, rights.SYS_ADMIN, *rights.to_write([state_dir]))
    except OSError as error:
        _log.warning("rights that are not needed cannot be given up", reason=str(error))
