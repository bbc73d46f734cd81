"""The short options of each program are its own."""

import pytest
from support.credentials import PLAIN

from replguard.masking.mask import masked
from replguard.masking.programs import PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_rule_of_every_program_hides_what_it_says(name: str) -> None:
    """By its option apart and joined, or by its place; the same words of another program stay."""
    for rule in PROGRAMS[name]:
        secret = f"u{rule.sign}{PLAIN}" if rule.sign else f"pass:{PLAIN}" if rule.option == "-pass" else PLAIN
        before = [rule.after] if rule.after else []
        ways = []
        if rule.place:
            ways = [[*("w" for _ in range(rule.place - 1)), secret]]
        else:
            ways += [[rule.option, secret]] if rule.apart else []
            ways += [[rule.option + secret]] if rule.joined and not rule.option.startswith("--") else []
        for way in ways:
            args = (f"/usr/bin/{name}", *before, *way, "--end")
            shown = masked(args)
            assert not any(PLAIN in word for word in shown), (args, shown)
            assert shown[0] == args[0]
            assert shown[-1] == "--end"
            other = ("other", *before, *way, "--end")
            assert rule.option.startswith(("--", "-pass")) or masked(other) is other
