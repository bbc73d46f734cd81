"""Feeds one parser by atheris, which sees what of `replguard` an input reaches: `-m fuzz.guided NAME SECONDS FOLDER`.

libFuzzer never gives its process back, so each parser has one of its own; what came of it lies in FOLDER/told.
"""

import json
import os
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["replguard"], enable_loader_override=False):
    from fuzz.target import LARGEST, LONGEST, judged
    from fuzz.targets import TARGETS

SLOWER = 4
"""How much slower code that is looked at may be."""
GIVEN_UP = 120
"""Seconds after which libFuzzer ends an input that hangs where no clock of ours is looked at."""


def main(name: str, seconds: float, folder: Path) -> None:
    """Feed a parser for so many CPU seconds, or until a finding."""
    check, began, count = TARGETS[name].check, time.process_time(), 0

    def once(data: bytes) -> None:
        nonlocal count
        finding = judged(check, data, LONGEST * SLOWER)
        count += 1
        spent = time.process_time() - began
        if finding:
            (folder / "finding").write_bytes(data)
        if finding or spent >= seconds:
            told = {"seconds": spent, "inputs": count, "finding": finding}
            (folder / "told").write_text(json.dumps(told))
            os._exit(0)

    options = (f"-max_len={LARGEST}", f"-timeout={GIVEN_UP}", "-rss_limit_mb=2048", "-detect_leaks=0", "-reload=0")
    atheris.Setup([name, *options, f"-artifact_prefix={folder}/", str(folder / "corpus")], once)
    atheris.Fuzz()


main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
