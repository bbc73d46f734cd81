"""The part of the published attacks: which trials there are, one of them played, and what the page says of all."""

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.host import ROOT, Lacking, commit, machine
from proof.attacks import ATTACKS
from proof.kinds import KINDS, Kind
from proof.trial import play

from replguard.errors import ReplguardError

TITLE = "Published attacks"
TRIALS = 10
COMPRESSED = 25.0
"""Seconds that the gaps of an attack take together, however long they took in the publication."""
TRIES = 2
"""An attack that did not come about, as on a busy machine, is played once more."""
KEPT = ROOT / "var" / "prove" / "kept"
Row = dict[str, Any]


def planned(trials: int) -> list[str]:
    """Return the keys of so many trials of each attack, the first of each first; at full length one, at last."""
    numbers = range(1, trials + 1)
    keys = [f"{name}/{number}" for number in numbers for name, attack in ATTACKS.items() if not attack.full]
    return keys + [f"{name}/1" for name, attack in ATTACKS.items() if attack.full]


def run(key: str) -> Row:
    """Play one trial. Raises Lacking."""
    name, _, number = key.partition("/")
    attack, failed = ATTACKS[name], ""
    factor = 1.0 if attack.full else round(attack.length / COMPRESSED, 1)
    kind = kind_of(key)
    for _ in range(TRIES):
        try:
            row = play(attack, int(number), kind, factor, KEPT / key.replace("/", "-"))
        except ReplguardError as error:
            failed = str(error)
            continue
        return _about(kind, factor) | row
    return _about(kind, factor) | {"failed": failed}


def kind_of(key: str) -> Kind:
    """Return the server of a trial: each attack meets them in an order of its own. Raises Lacking without any."""
    name, _, number = key.partition("/")
    order = list(KINDS.values())
    random.Random(name).shuffle(order)
    lacking = "there is no model server"
    for at in range(len(order)):
        kind = order[(int(number) + at) % len(order)]
        try:
            kind.weights()
        except Lacking as error:
            lacking = str(error)
            continue
        return kind
    raise Lacking(lacking)


def _about(kind: Kind, factor: float) -> Row:
    about = {"server": kind.name, "factor": factor, "day": time.strftime("%Y-%m-%d"), "commit": commit()}
    return about | {"machine": machine(), "gpu": any(Path("/dev").glob("nvidia[0-9]*"))}


def line(row: Row) -> str:
    """Return what is printed of a trial."""
    if row.get("failed"):
        return f"not played: {row['failed']}"
    told = f"{row['critical']} {row['delay']:+.2f} s after '{row['act']}'" if row["critical"] else "not at critical"
    faults = [
        f"the loudest is {row['loudest']}" if not row["critical"] else "",
        "after the replica's answer" if row["before_answer"] is False else "",
        f"wrong actor: {', '.join(row['wrong'])}" if row["wrong"] or (row["critical"] and not row["right"]) else "",
        f"{row['incidents']} incidents" if row["incidents"] != 1 else "",
        f"replay: {row['replay']}" if row["replay"] else "",
        f"stretched: {row['stretched']}" if row["stretched"] else "",
    ]
    return f"[{row['server']}] {told}{''.join(f'; {fault}' for fault in faults if fault)}"


# -- figures -----------------------------------------------------------------------------------------------------------

CLAIMS: dict[str, Callable[[Row], bool | None]] = {
    "told at critical": lambda row: bool(row["critical"]),
    "before the first answer": lambda row: row["before_answer"],
    "right actor": lambda row: row["right"],
    "one incident": lambda row: row["incidents"] == 1,
    "replay the same": lambda row: not row["replay"],
    "stretched the same": lambda row: not row["stretched"],
}
"""What must hold in each trial; None where it does not apply."""


def share(rows: Iterable[Row], claim: str) -> tuple[int, int]:
    """Return in how many trials a claim holds, and of how many."""
    found = [held for row in rows if not row.get("failed") and (held := CLAIMS[claim](row)) is not None]
    return sum(found), len(found)


def figures(rows: dict[str, Row]) -> dict[str, float]:
    """Return the figures of which none may become less: the share of trials in which each claim holds."""
    return {
        f"{name}: {claim}": held / of
        for name, its in by_attack(rows).items()
        for claim in CLAIMS
        for held, of in [share(its, claim)]
        if of
    }


def by_attack(rows: dict[str, Row]) -> dict[str, list[Row]]:
    """Return the trials of each attack."""
    return {name: [row for key, row in rows.items() if key.partition("/")[0] == name] for name in ATTACKS}
