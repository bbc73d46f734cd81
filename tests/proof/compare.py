"""The part of the comparison: the same attacks and the same ordinary work, and what others would have said of them.

Each is played once more with auditd, its rules, and a watcher of names beside the daemon; what SigmaHQ's rules say of
the audit log is asked afterwards.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.host import Lacking, commit
from proof import auditing, published, sigma
from proof.attacks import ATTACKS
from proof.trial import play
from support.matrix import day
from support.matrix.cases import CASES

from replguard.errors import ReplguardError

TITLE = "Comparison"
TRIALS = 1
DAY = "ordinary"
Row = dict[str, Any]
Words = list[str]


def planned(trials: int) -> list[str]:
    """Return the keys: each attack so many times, and the ordinary work once."""
    names = [name for name, attack in ATTACKS.items() if not attack.full]
    return [f"{name}/{number}" for number in range(1, trials + 1) for name in names] + [DAY]


def run(key: str) -> Row:
    """Play a trial, or the ordinary work, before all of them."""
    with tempfile.TemporaryDirectory(prefix="pw-") as place:
        beside = Beside(Path(place))
        try:
            return (_ordinary(beside) if key == DAY else _attack(key, beside)) | _about()
        except (ReplguardError, Lacking) as error:
            return {"failed": str(error)}


class Beside:
    """What runs beside the daemon: auditd with a rule set, and a watcher of names on all that is laid in ``seen``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, folder / "s"
        self._names, self._log = folder / "names.jsonl", folder / "audit" / "audit.log"
        self.seen.mkdir()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Have all of them watch, and temporary folders made where the watcher of names looks."""
        words = [sys.executable, str(Path(__file__).with_name("naming.py")), str(self.seen), str(self._names)]
        before = tempfile.tempdir
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as watcher, auditing.audited(self.folder / "audit"):
            try:
                while not Path(f"{self._names}.ready").exists() and watcher.poll() is None:
                    time.sleep(0.05)
                tempfile.tempdir = str(self.seen)
                yield
            finally:
                tempfile.tempdir = before
                watcher.terminate()

    def said(self, begins: Callable[[Words], bool], span: tuple[float, float], act: float, names: str) -> Row:
        """Return what each said in a ``span`` of who ``begins`` and what descends from him, in seconds after an act.

        ``names`` is a part of the paths that count.
        """
        since, until = span
        found = [one for one in auditing.records(self._log, begins) if since <= one.time <= until]
        lines = self._names.read_text().splitlines() if self._names.exists() else []
        noted = [one for one in map(json.loads, lines) if since <= one["time"] <= until and names in one["path"]]
        return {
            "records": len(found), "audit": _keys(found, act),
            "sigma": _rules(sigma.hits(found, self.folder / "sigma"), act),
            "names": len(noted), "named": round(noted[0]["time"] - act, 2) if noted else None,
            "what": noted[0]["what"] if noted else None,
        }  # fmt: skip


def _attack(key: str, beside: Beside) -> Row:
    name, _, number = key.partition("/")
    attack = ATTACKS[name]
    factor, kind = round(attack.length / published.COMPRESSED, 1), published.kind_of(key)
    with beside.watching():
        row = play(attack, int(number), kind, factor, published.KEPT / f"compared-{name}-{number}")

    def begins(args: Words) -> bool:
        agent = args[1:2] == ["start.py"] and args[0].startswith(str(beside.seen))
        return agent or args[0].endswith("/opt/ssh/sshd")

    kept = {name: row[name] for name in ("act", "critical", "delay", "right", "lost")} | {"server": kind.name}
    began = row["began"]
    return kept | beside.said(begins, (began, began + row["seconds"]), began + row["acts"][row["act"]], "")


def _ordinary(beside: Beside) -> Row:
    with beside.watching(), day.lived(CASES) as lived:
        levels = {which: _levels(lived, which) for which in lived.daemons}
        row, place = {"cases": len(CASES) - len(lived.failed), "replguard": levels}, str(lived.place(""))
        over = time.time()
    return row | beside.said(lambda args: any("rg-day-" in word for word in args[:4]), (0.0, over), 0.0, place)


def _levels(lived: day.Day, which: str) -> dict[str, int]:
    """Return by level how many alerts a daemon raised about the work, of each rule once for each piece of it.

    A daemon of another test on the machine reads each model too, and listens: what is said of it is no part of the day.
    """
    told = {
        (slug, text.partition(":")[0])
        for slug in lived.slugs.values()
        for text in lived.raised(which, slug, "low")
        if "/control.sock" not in text
    }
    return dict(Counter(text.partition(" ")[0] for _, text in told))


def _keys(found: Iterable[auditing.Record], act: float) -> dict[str, list[Any]]:
    """Return by the key of a rule how often it matched, and when first in seconds after the act."""
    keys: dict[str, list[Any]] = {}
    for one in found:
        if one.key and one.key != "exec":
            keys.setdefault(one.key, [0, round(one.time - act, 2)])[0] += 1
    return keys


def _rules(found: Sequence[sigma.Hit], act: float) -> dict[str, list[Any]]:
    """Return by the title of a rule its level, how often it matched, and when first in seconds after the act."""
    return {one.title: [one.level, one.count, round(one.first - act, 2)] for one in found}


def _about() -> Row:
    folder = auditing.rules()
    return {
        "day": time.strftime("%Y-%m-%d"),
        "rules": {name: commit(folder / name, "--short=12") or "unknown" for name in ("auditd", "zircolite")},
    }


def line(row: Row) -> str:
    """Return what is printed of a trial."""
    if row.get("failed"):
        return f"not played: {row['failed']}"
    said = f"{len(row['audit'])} keys, {len(row['sigma'])} rules of Sigma, {row['names']} names"
    return said if "cases" in row else f"replguard {row['critical']} {row['delay']} s; {said}"


def figures(_: dict[str, Row]) -> dict[str, float]:
    """Return none: what others say is no promise of ours."""
    return {}
