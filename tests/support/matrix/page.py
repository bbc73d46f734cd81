"""The reference page of the technique matrix, made from its rows: `python -m support.matrix.page` writes it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from support.matrix import gaps, rows
from support.matrix.cases import CASES
from support.matrix.rows import ROWS, Row

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "matrix.md"
_WORDS = {
    "copy": "the copy",
    "then": "what was made of it",
    "serve": "the server",
    "send": "what was sent",
    "use": "the use",
    "who": "who",
    "level": "the level",
}
_HEAD = """# The technique matrix

% Made from tests/support/matrix by `make matrix-page`. Do not edit.

What is told of each way to replicate weights, by real programs: how a model is copied, what is made of the copy then,
how that is started, and by whom. Every two choices of these four meet in a row at least. Expected is what
{doc}`the meanings of the facts <../facts>` say: the fact, how sure it is (its *confidence*), the actor who planned it,
and the level of the alert. A row is right when all of that is told, and missed when any of it is not.

"""


def text() -> str:
    """Return the page."""
    return _HEAD + "\n".join([*_figures(), *_levels(), *_choices(), *_gaps(), *_rows(), *_benign()]) + "\n"


def _figures() -> Iterator[str]:
    yield "## How much is right\n\n| | rows | kernel tier | portable tier |\n|---|---|---|---|"
    there = gaps.PORTABLE
    families = {"copy": "copied", "serve": "served", "send": "sent off the host", "use": "read"}
    for family, shown in (*families.items(), ("", "all")):
        names = [row.name for row in ROWS if family in ("", row.family)]
        shares = (1 - sum(name in missed for name in names) / len(names) for missed in (gaps.KERNEL, there))
        yield f"| {shown} | {len(names)} | {' | '.join(f'{share:.1%}' for share in shares)} |"
    yield (
        "\nThe kernel tier's figure is held by a test, row by row. The portable tier looks now and then: its figure is"
        " that of the last play of the whole (`make matrix`).\n"
    )
    words = Counter(word for words in there.values() for word in words)
    if words:
        parts = ", ".join(f"{_WORDS[word]} {count}" for word, count in words.most_common())
        yield f"Missed there, by what (a row may miss more than one): {parts}.\n"


def _levels() -> Iterator[str]:
    yield "## Levels\n\n| | service | session | agent | nobody in particular |\n|---|---|---|---|---|"
    for family, by in rows.LEVELS.items():
        cells = [by[standing] or "no alert" for standing in ("service", "session", "agent", "unknown")]
        yield f"| `{rows.FACTS[family]}` | {' | '.join(cells)} |"
    yield ""


def _choices() -> Iterator[str]:
    yield "## What is played\n\nOf several programs each is taken in turn.\n"
    for title, choices in (("Copied by", rows.COPY), ("Then", rows.THEN)):
        yield f"| {title.lower()} | programs |\n|---|---|"
        for name, programs in choices.items():
            yield f"| {name} | {', '.join(_code(program) for program in programs if program) or '–'} |"
        yield ""
    for title, steps in (
        ("started as", rows.LAUNCHES),
        ("held as", rows.HELD),
        ("served", rows.SERVED),
        ("sent by", rows.SENT),
    ):
        yield f"| {title} | |\n|---|---|"
        yield "\n".join(f"| {name} | {_code(step)} |" for name, step in steps.items()) + "\n"
    yield "| read by | |\n|---|---|"
    yield "\n".join(f"| {name} | {_code(step)} |" for name, (_, step) in rows.USED.items()) + "\n"


def _gaps() -> Iterator[str]:
    yield "## Known gaps\n"
    if not gaps.KERNEL:
        yield "None in the kernel tier.\n"
        return
    yield "| row | missed | why |\n|---|---|---|"
    for name, words in gaps.KERNEL.items():
        yield f"| {name} | {_missed(words)} | {gaps.why(rows.BY_NAME[name])} |"
    yield ""


def _rows() -> Iterator[str]:
    there = gaps.PORTABLE
    for family, title in (("copy", "Copied"), ("serve", "Served"), ("send", "Sent off the host"), ("use", "Read")):
        yield f"## {title}\n\n| what | then | started as | by | expected | level | kernel | portable |\n{'|---' * 8}|"
        for row in (row for row in ROWS if row.family == family):
            level = rows.LEVELS[family][rows.STANDING[row.told_as]] or "–"
            told = [_missed(missed.get(row.name, frozenset())) or "✓" for missed in (gaps.KERNEL, there)]
            then = row.then or "–"
            who = row.hand if row.told_as == row.hand else f"{row.hand}, told as a {row.told_as}"
            cells = (row.first, then, row.launch, who, _expected(row), level, *told)
            yield f"| {' | '.join(cells)} |"
        yield ""


def _expected(row: Row) -> str:
    parts = []
    for word, allowed in row.facts.items():
        how = f", `{rows.LINKS[row.first]}`" if word == "copy" and row.first in rows.LINKS else ""
        told = " or ".join(f"`{one}`" for one in sorted(allowed))
        parts.append(f"{'then ' if word == 'then' else ''}{told or '`weights_egress`'}{how}")
    return "; ".join(parts)


def _missed(words: frozenset[str]) -> str:
    return ", ".join(_WORDS[word] for word in sorted(words, key=list(_WORDS).index))


def _code(step: str) -> str:
    shown = re.sub(r"\s+", " ", step.replace("\n", "; ")).strip()
    shown = shown.replace('"$PY" "$RESHAPE" ', "python ").replace('"$TOOLS/', '"').replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def _benign() -> Iterator[str]:
    yield "## Ordinary work\n"
    yield (
        "Played before two daemons at once. Without a manifest nothing of it is high or critical, but where the last"
        " column says why; with one, that allows what the third column says, nothing is medium or above.\n"
    )
    yield "| work | by | the manifest allows | by nature unauthorised |\n|---|---|---|---|"
    for case in CASES:
        may = [", ".join(f"`{word}`" for word in case.may)] if case.may else []
        may += [f"a deployment of {case.instances}"] if case.instances else []
        yield f"| {case.name} | {case.hand} | {'; '.join(may) or '–'} | {case.nature or '–'} |"


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
