"""The programs of tests/support/techniques, compiled where a C compiler is."""

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).with_name("techniques")


class Lacking(Exception):  # noqa: N818 - it is no error of the test's
    """The machine lacks what a test needs; the text is the reason for skipping."""


def built(folder: Path) -> dict[str, str]:
    """Compile every program into a folder and return their paths by name. Raises Lacking."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Lacking("no C compiler here")
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for source in sorted(SOURCES.glob("*.c")):
        done = subprocess.run(
            [compiler, "-O1", "-Wall", "-Werror", "-o", str(folder / source.stem), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Lacking(f"{source.name} does not compile here: {done.stderr.strip().splitlines()[:1]}")
        found[source.stem] = str(folder / source.stem)
    return found
