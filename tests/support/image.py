"""Builds the root of an image by the steps of the Containerfile, without an engine: ``python -m support.image FOLDER``.

Packages come by debootstrap, Python's from where pip of this environment finds them, held to the same hashes.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "examples" / "container" / "Containerfile"
SUITE = "bookworm"
_INSTALL = re.compile(r"apt-get install -y --no-install-recommends ([a-z0-9 -]+)")


def steps() -> Iterator[tuple[str, str]]:
    """Yield the instructions of the file with their arguments, lines that go on joined."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def packages() -> list[str]:
    """Return the packages of Debian that the file installs."""
    found = (_INSTALL.search(rest) for word, rest in steps() if word == "RUN")
    return sorted({name for match in found if match is not None for name in match[1].split()})


def build(root: Path) -> None:
    """Make the root; one that is there is made anew but for Debian itself."""
    if not (root / "usr/bin/python3").exists():
        given = ["--variant=minbase", f"--include={','.join(packages())}", SUITE, str(root)]
        subprocess.run([_tool("debootstrap"), *given], check=True)
    wheels, there = root / "wheels", root / "src"
    for folder in (wheels, there, root / "opt", root / "wheel"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for name in ("run", "build"):
        lock = ROOT / "requirements" / f"{name}.lock"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--require-hashes", "-r", lock, "-d", wheels], check=True
        )
    for word, rest in steps():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, there / (source if target == "./" else target))
        elif word == "RUN" and "apt-get" not in rest:
            given = {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "HOME": "/root"}
            subprocess.run([_tool("chroot"), root, "sh", "-c", f"cd /src && {rest}"], check=True, env=given)
    for folder in (wheels, there, root / "wheel", root / "opt/build"):
        shutil.rmtree(folder)


def _tool(name: str) -> str:
    """Return a program of root's, whose folder an ordinary PATH may lack."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or name


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


if __name__ == "__main__":
    if os.geteuid() != 0 or _tool("debootstrap") == "debootstrap":
        raise SystemExit("a root is built by root, with debootstrap (apt-get install debootstrap)")
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    build(place)
