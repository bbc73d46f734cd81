"""What the page says of the published attacks."""

from statistics import median

from proof import judge
from proof.attacks import ATTACKS, Attack
from proof.kinds import KINDS, Kind
from proof.published import CLAIMS, Row, by_attack, line, share


def page(rows: dict[str, Row]) -> list[str]:
    """Return the lines for the page."""
    found = {name: its for name, its in by_attack(rows).items() if its}
    every = [row for its in found.values() for row in its if not row.get("failed")]
    heads = "".join(f" {claim} |" for claim in CLAIMS)
    return [
        _HEAD,
        f"| attack | trials |{heads} act | seconds to critical | first answer after |",
        f"|---|---:|{'---:|' * len(CLAIMS)}---|---:|---:|",
        *(_attack_line(ATTACKS[name], its) for name, its in found.items()), "",
        "![Seconds from the act to the critical alert](_static/proof-delays.svg)", "",
        "![One trial of the published log](_static/proof-fudan.svg)", "",
        "### Servers", "", "| server | trials | told at critical | seconds to critical |", "|---|---:|---:|---:|",
        *(_server_line(kind, [row for row in every if row["server"] == kind.name]) for kind in KINDS.values()), "",
        "### Cost", "", *_cost(every), "",
        "### What was missed", "", *(_misses(found) or ["Nothing."]), "",
        "### How long it took in the publication", "",
        "| attack | source | published | as played, median | factor of the gaps |", "|---|---|---:|---:|---:|",
        *(_length_line(ATTACKS[name], its) for name, its in found.items()),
    ]  # fmt: skip


_HEAD = """\
Each row is an attack that was published. A script fixes what its agent does, step by step; for each step the agent asks
a real model server, then runs a real command with a shell. Per trial a seed draws the order of steps that do not depend
on one another, names, ports, delays and tools. The daemon is `replguard run` in the kernel tier with the shipped rules
and the model's folder as `weights.paths`. It runs before the model server starts, as at boot; that one is a service in
a control group of its own, and the manifest allows it.

*Seconds to critical* run from the act (`live`: the first moment at which the replica listens; otherwise the end of the
command) to the line of the first critical alert on the disk, least to most, seen a hundred times a second; less than 0
means before it. *First answer after* is the time from that moment to the replica's first answer, asked for ten times a
second. *Right actor* means that each critical alert names the agent's process and calls it an agent; *stretched the
same* that the log, drawn out to the published length, raises the same alerts at the same levels.
"""


def _attack_line(attack: Attack, rows: list[Row]) -> str:
    cells = [f"{held}/{of}" if of else "–" for held, of in (share(rows, claim) for claim in CLAIMS)]
    played = [row for row in rows if not row.get("failed")]
    act = played[0]["act"] if played else "–"
    delays, answers = ([row[what] for row in played if row[what] is not None] for what in ("delay", "answer"))
    title = f"[{attack.title}]({attack.source})"
    return f"| {title} | {len(rows)} | {' | '.join(cells)} | {act} | {_span(delays)} | {_span(answers)} |"


def _span(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "–"


def _server_line(kind: Kind, rows: list[Row]) -> str:
    held, of = share(rows, "told at critical")
    return (
        f"| {kind.title} | {of} | {held}/{of} | {_span([row['delay'] for row in rows if row['delay'] is not None])} |"
    )


def _cost(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    cpu = [100 * row["cpu"] / row["seconds"] for row in rows]
    memory = [row["memory"] for row in rows]
    lost = sum(sum(row["lost"].values()) for row in rows)
    host = rows[-1]["machine"]
    text = (
        f"While an attack ran the daemon used {median(cpu):.1f} % of a core (median; {min(cpu):.1f} to {max(cpu):.1f}),"
        f" and {median(memory):.0f} MiB of memory at its most (PSS; {min(memory):.0f} to {max(memory):.0f}), its"
        f" examiner included. {lost:,.0f} events were lost. Machine: {host['cores']} × {host['cpu']},"
        f" {host['memory_gib']} GiB, Linux {host['kernel'].split('-')[0]}, Python {host['python']}; other work ran"
        " beside it."
    )
    if not any(row.get("gpu") for row in rows):
        text += " There was no GPU: no evidence here is of its memory; what a stand-in shows is told at the end."
    return [text]


def _misses(found: dict[str, list[Row]]) -> list[str]:
    return [
        f"- {ATTACKS[name].title}: {line(row)}"
        for name, rows in found.items()
        for row in rows
        if row.get("failed") or not judge.good(row)
    ]


def _length_line(attack: Attack, rows: list[Row]) -> str:
    played = [row["steps"][-1][1] for row in rows if not row.get("failed")]
    said = f"{attack.length / 60:.0f} min" + ("" if attack.published else " (assumed)")
    took = f"{median(played):.0f} s" if played else "–"
    return f"| {attack.title} | {attack.source.rpartition('/')[2]} | {said} | {took} | {rows[0]['factor']:.0f} |"
