"""What SigmaHQ's rules for Linux say of an audit log, by Zircolite: of its records, and of programs that they tell of.

Its rules for processes ask for a program's path and command line, which lie in two records of the log. Whoever uses
them puts these together first, as Laurel and Sysmon for Linux do; so do we.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.host import Lacking
from proof.auditing import Record, rules
from support import prepared


@dataclass(frozen=True)
class Hit:
    """A rule that matched: how often, and when first, in seconds since the epoch, of which some are whole ones."""

    title: str
    level: str
    count: int
    first: float


def hits(found: Sequence[Record], folder: Path) -> list[Hit]:
    """Return what the rules say of acts. Raises Lacking."""
    folder.mkdir()
    (folder / "audit.log").write_text("".join(line for record in found for line in record.lines))
    events = list(started(found))
    (folder / "processes.json").write_text("".join(json.dumps(event) + "\n" for event in events))
    told = [_run(folder / "audit.log", "-AU"), _run(folder / "processes.json", "-j") if events else []]
    return [_hit(one) for each in told for one in each]


def started(found: Sequence[Record]) -> list[dict[str, str]]:
    """Return the programs that were started, by the names that Sigma's rules have for what is known of them."""
    known: dict[int, Record] = {}
    events = []
    for record in found:
        if not record.args:
            continue
        parent, known[record.pid] = known.get(record.ppid), record
        events.append({
            "EventID": "1", "UtcTime": datetime.fromtimestamp(record.time, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
            "Image": record.exe, "CommandLine": " ".join(record.args), "CurrentDirectory": record.cwd, "User": "root",
            "ProcessId": str(record.pid), "ParentProcessId": str(record.ppid),
            "ParentImage": parent.exe if parent else "", "ParentCommandLine": " ".join(parent.args) if parent else "",
        })  # fmt: skip
    return events


def _run(log: Path, kind: str) -> list[dict[str, Any]]:
    place, out = rules() / "zircolite", log.with_suffix(".out")
    words = [str(prepared.python("sigma")), str(place / "zircolite.py"), "-q", "-e", str(log), kind]
    words += ["-r", str(place / "rules" / "rules_linux.json"), "-c", str(place / "config" / "config.yaml")]
    done = subprocess.run(
        [*words, "-o", str(out), "-l", str(log.with_suffix(".said"))], capture_output=True, text=True, check=False
    )
    if done.returncode or not out.exists():
        raise Lacking(f"Zircolite ends with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return list(json.loads(out.read_text() or "[]"))


def _hit(one: dict[str, Any]) -> Hit:
    times = [str(match.get("timestamp") or match.get("UtcTime")) for match in one["matches"]]
    first = datetime.fromisoformat(min(times)).replace(tzinfo=UTC).timestamp()
    return Hit(one["title"], one["rule_level"], int(one["count"]), first)
