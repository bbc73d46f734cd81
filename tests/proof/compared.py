"""What the page says of the comparison."""

from collections import Counter

from proof.attacks import ATTACKS
from proof.compare import DAY, Row

LEVELS = ("critical", "high", "medium", "low", "informational")


def page(rows: dict[str, Row]) -> list[str]:
    """Return the lines for the page."""
    played = {key: row for key, row in rows.items() if not row.get("failed")}
    ordinary = played.pop(DAY, None)
    return [
        _HEAD.format(**_commits(rows)),
        "| attack | replguard, critical | audit: keys | only here | Sigma: rules | loudest | only here | names |",
        "|---|---:|---:|---|---:|---|---|---:|",
        *(_attack(key, row, ordinary) for key, row in _in_order(played)), "",
        *(_ordinary(ordinary) if ordinary else []),
        *(f"- {key}: not played: {row['failed']}" for key, row in rows.items() if row.get("failed")),
        _FOR,
    ]  # fmt: skip


def _in_order(rows: dict[str, Row]) -> list[tuple[str, Row]]:
    names = list(ATTACKS)
    return sorted(rows.items(), key=lambda pair: (names.index(pair[0].partition("/")[0]), pair[0]))


def _commits(rows: dict[str, Row]) -> dict[str, str]:
    return next((row["rules"] for row in rows.values() if "rules" in row), {"auditd": "?", "zircolite": "?"})


def _attack(key: str, row: Row, ordinary: Row | None) -> str:
    known = ordinary or {"audit": {}, "sigma": {}}
    keys, rules = row["audit"], row["sigma"]
    here = [f"`{name}` ({first:+.0f} s)" for name, (_, first) in keys.items() if name not in known["audit"]]
    said = [
        f"{name} ({level}, {first:+.0f} s)"
        for name, (level, _, first) in sorted(rules.items(), key=lambda rule: LEVELS.index(rule[1][0]))
        if name not in known["sigma"]
    ]
    cells = (
        ATTACKS[key.partition("/")[0]].title,
        f"{row['delay']:+.2f} s" if row["critical"] else "no",
        str(len(keys)),
        ", ".join(here) or "–",
        str(len(rules)),
        min((level for level, _, _ in rules.values()), key=LEVELS.index, default="–"),
        "; ".join(said) or "–",
        f"{row['named']:+.1f} s" if row["named"] is not None else "no",
    )
    return f"| {' | '.join(cells)} |"


def _ordinary(row: Row) -> list[str]:
    levels = Counter[str]()
    for level, count, _ in row["sigma"].values():
        levels[level] += count
    keyed = sum(count for count, _ in row["audit"].values())
    alone, told = (_by_level(row["replguard"][which]) for which in ("alone", "told"))
    return [
        f"The {row['cases']} pieces of ordinary work of the benign matrix, played once in the same way:", "",
        "| who | said | of them |", "|---|---:|---|",
        f"| replguard, no manifest | {sum(row['replguard']['alone'].values())} alerts | {alone} |",
        f"| replguard, with a manifest | {sum(row['replguard']['told'].values())} alerts | {told} |",
        f"| auditd, public rule set | {keyed:,} acts with a key | {len(row['audit'])} keys |",
        f"| SigmaHQ by Zircolite | {levels.total():,} matches of {len(row['sigma'])} rules | {_by_level(levels)} |",
        f"| names | {row['names']:,} changes of files called like weights | |", "",
    ]  # fmt: skip


def _by_level(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[level]:,} {level}" for level in LEVELS if counts.get(level)) or "–"


_HEAD = """\
The attacks once more, the first trial of each, with others beside the daemon in the same run. Seconds run from the act
as above; less than 0 means before it. Only what the agents did, and what descends from them, is counted for the others,
which is more than they know: none of them tells an agent from other work.

- **Audit**: auditd 3 with the rule set of Neo23x0/auditd ({auditd}), and one rule more that logs each program that
  is started. A key is what a rule calls the acts that it logs.
- **Sigma**: SigmaHQ's rules for Linux as Zircolite ({zircolite}) carries them, over that log: over its records, and
  over the programs that they tell of, put together as Laurel or Sysmon would. Asked when all was over; the times are
  those of the log, some of them in whole seconds.
- **Names**: `watchdog` (inotify) on the folder that all happens in, told of each file called like weights
  (`*.safetensors`, `*.gguf`, `*.bin`, `*.onnx` and others) that comes, goes, moves or was written.

*Only here* are those that none of the ordinary work below gives: what could wake somebody without doing so each day.
"""
_FOR = """\
What they are for: the rule set of auditd makes a record for whoever looks for something later, and calls nobody.
Sigma's rules tell known tools and tricks of people who break in, most of which no agent needs. A watcher of names tells
that a file came, and not what is in it or who did it. None was made to know that content is the same, that a process is
driven by a model, or what an operator allowed; where they say something here, it is about a command on the way.

Of runtime sensors Debian 12 has one, sysdig (0.29.3). It asks for a module or a probe that was compiled for the kernel,
of which this machine has no headers, and ends. Falco, Tetragon, Tracee and kunai are in no package of Debian's.
"""
