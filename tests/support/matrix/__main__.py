"""Plays the matrix and says what is missed: PYTHONPATH=tests python -m support.matrix [portable | day] [WORD …].

Without a word the whole is played, and what is missed is noted as the gaps that the page shows and the tests hold.
"""

import sys
import time

from support.matrix import day, field, gaps
from support.matrix.cases import CASES
from support.matrix.rows import ROWS


def attacks(tier: str, words: list[str]) -> None:
    rows = [row for row in ROWS if all(word in row.name for word in words)]
    began = time.monotonic()
    with field.played(tier=tier, rows=rows) as one:
        missed = one.all_missed()
        for name, what in missed.items():
            print(f"{name}: {', '.join(sorted(what))}")
            print("\n".join(f"    {line}" for line in one.lines(one.rows[one.slugs[name]])))
        for name, why in one.failed.items():
            print(f"not played: {name}: {why}")
        spent = time.monotonic() - began
        print(f"{len(rows)} rows, {len(missed)} missed, {len(one.failed)} not played, {spent:.0f} s, {tier} tier")
        if not words:
            gaps.note(tier, missed)


def ordinary(words: list[str]) -> None:
    cases = [case for case in CASES if all(word in case.name for word in words)]
    began = time.monotonic()
    with day.lived(cases) as one:
        for slug, case in [*one.cases.items(), (None, None)]:
            found = [f"  without: {line}" for line in one.raised("alone", slug, "high")]
            found += [f"  with: {line}" for line in one.raised("told", slug, "medium")]
            if found:
                print("\n".join([f"{case.name if case else 'nobody'} [{slug}]", *found]))
        for name, why in one.failed.items():
            print(f"not played: {name}: {why}")
        print(f"{len(cases)} cases, {time.monotonic() - began:.0f} s")


def main(words: list[str]) -> None:
    if "day" in words:
        ordinary([word for word in words if word != "day"])
    else:
        tier = "portable" if "portable" in words else "kernel"
        attacks(tier, [word for word in words if word != "portable"])


if __name__ == "__main__":
    main(sys.argv[1:])
