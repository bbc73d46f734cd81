"""The archive carries all that it needs and says what that is; unpacked on a host without Python it runs.

The short form looks at the archive where there is one (`make package`). The long one (`make package-test`) also unpacks
it on clean roots of three releases and into a real system.
"""

import email
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from numpy._core import _multiarray_umath
from support import systemd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import elf  # noqa: E402 - beside the tool that is tested
import package  # noqa: E402
import sbom  # noqa: E402

ARCHIVE = next(iter(sorted((ROOT / "dist").glob("replguard-*-linux-x86_64.tar.gz"))), None)
ROOTS = os.environ.get("PACKAGE_ROOTS")
UNIT = "replguard.service"
PROGRAM = f"{package.HOME}/bin/replguard"
BUILDS = pytest.mark.skipif(ARCHIVE is None, reason="there is no archive: make package")
LONG = pytest.mark.skipif(not ROOTS, reason="the archive is tried on clean roots by make package-test")
NEWER = {"bookworm", "trixie"}
"""Releases whose C library is new enough; bullseye's is not."""


# -- the tools -------------------------------------------------------------------------------------------------------


def test_a_version_that_is_asked_for_can_be_an_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the older name is as long, and where it stands in the file already; else it is told, and nothing done."""
    data = Path(_multiarray_umath.__file__).read_bytes()
    needs = sorted(name for name in elf.Object(data).needs() if name.startswith(b"GLIBC_2"))
    assert len(needs) > 1
    for newer in needs:
        as_long = b"GLIBC_" + b"9" * (len(newer) - 6)
        for older in (as_long, *(name for name in needs if len(name) != len(newer))):
            monkeypatch.setattr(elf, "_OLDER", {newer: older})
            lowered = elf.Object(elf.Object(data).lower())
            assert newer not in set(lowered.needs())
            assert older in set(lowered.needs())
            assert len(lowered.data) == len(data)
    monkeypatch.setattr(elf, "_OLDER", {needs[0]: b"GLIBC_2.9999999"})
    with pytest.raises(ValueError, match="is not named"):
        elf.Object(data).lower()


def test_what_is_no_program_is_told() -> None:
    """A script is none, and no reason to stop half way."""
    with pytest.raises(ValueError, match="not a 64-bit ELF"):
        elf.Object(b"#!/bin/sh\n" + b"x" * 100)
    assert not elf.is_elf(Path(__file__))


def test_the_bill_is_the_same_for_the_same() -> None:
    """Whatever the order; another component makes another serial number."""
    one = sbom.Component("b", "1", "pkg:pypi/b@1", "MIT", "0" * 64)
    two = sbom.Component("a", "2", "pkg:deb/debian/a@2", "BSD-2-Clause OR MIT", None, "changed", spdx=True)
    text = sbom.document("replguard", "0.1.0", "Apache-2.0", [one, two], 0)
    assert text == sbom.document("replguard", "0.1.0", "Apache-2.0", [two, one], 0)
    bill = json.loads(text)
    assert [each["name"] for each in bill["components"]] == ["a", "b"]
    assert bill["components"][0]["licenses"] == [{"expression": "BSD-2-Clause OR MIT"}]
    assert bill["components"][0]["pedigree"] == {"notes": "changed"}
    assert bill["components"][1]["licenses"] == [{"license": {"name": "MIT"}}]
    assert bill["components"][1]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    other = json.loads(sbom.document("replguard", "0.1.0", "Apache-2.0", [one], 0))
    assert other["serialNumber"] != bill["serialNumber"]


def test_an_entry_tells_nothing_of_who_built_it() -> None:
    """Neither owner nor time; it can be changed by its owner alone, and run by all where it could be run."""
    entry = tarfile.TarInfo("x")
    entry.uid, entry.uname, entry.mtime, entry.mode = 1000, "me", 5, 0o4775
    told = package._same(7)(entry)
    assert (told.uid, told.uname, told.mtime, told.mode) == (0, "root", 7, 0o755)
    entry.mode = 0o666
    assert package._same(7)(entry).mode == 0o644


# -- the archive -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entries() -> dict[str, tarfile.TarInfo]:
    """Return what the archive holds."""
    with tarfile.open(ARCHIVE) as archive:
        return {entry.name: entry for entry in archive}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the archive was unpacked."""
    folder = tmp_path_factory.mktemp("archive")
    subprocess.run(["tar", "-C", folder, "-xzf", ARCHIVE], check=True)
    return folder / "replguard"


@BUILDS
def test_it_holds_nothing_that_could_harm(entries: dict[str, tarfile.TarInfo]) -> None:
    """Files and folders below one folder, all root's, none that others can change or that runs as somebody else."""
    assert {name.partition("/")[0] for name in entries} == {"replguard"}
    for entry in entries.values():
        assert entry.isreg() or entry.isdir(), entry.name
        assert (entry.uid, entry.gid, entry.mode & ~0o755) == (0, 0, 0), entry.name
        assert ".." not in entry.name
    assert entries["replguard/bin/replguard"].mode & stat.S_IXUSR
    assert not [name for name in entries if "/tests/" in name and "/dist-packages/" in name]


@BUILDS
def test_it_asks_for_no_newer_c_library_than_is_said(unpacked: Path) -> None:
    """And finds each of its libraries in itself, or in what every host has."""
    binaries = [path for path in unpacked.rglob("*") if path.is_file() and elf.is_elf(path)]
    assert len(binaries) > 50
    assert elf.floor(binaries) <= package.FLOOR
    page = (ROOT / "docs/installing.md").read_text()
    assert f"glibc {package.FLOOR[0]}.{package.FLOOR[1]}" in page
    names = {path.name for path in (unpacked / "lib").iterdir()}
    assert set(package.LIBRARIES) <= names


@BUILDS
def test_the_bill_names_all_that_is_in_it(unpacked: Path) -> None:
    """Each distribution and each package of Debian, with version and licence, and the hash of what was fetched."""
    bill = json.loads((unpacked / "share/sbom.cdx.json").read_text())
    told = {(each["name"].lower(), each["version"]) for each in bill["components"]}
    for path in unpacked.rglob("*.dist-info/METADATA"):
        about = email.message_from_string(path.read_text())
        assert about["Name"] == "replguard" or (about["Name"].lower(), about["Version"]) in told
    assert set(package.DEBS) <= {name for name, _ in told}
    lock = "".join((ROOT / f"requirements/{name}.lock").read_text() for name in ("run", "dev"))
    for each in bill["components"]:
        assert each["licenses"], each["name"]
        assert each["hashes"][0]["content"] in lock or each["purl"].startswith("pkg:deb/"), each["name"]
    for name in (*package.DEBS, "replguard"):
        assert (unpacked / "share/licences" / f"{name}.txt").stat().st_size > 500
    assert (ARCHIVE.parent / ARCHIVE.name.replace(".tar.gz", ".cdx.json")).read_text() == (
        unpacked / "share/sbom.cdx.json"
    ).read_text()


@BUILDS
def test_the_sums_are_right() -> None:
    """Of the archive and of the bill."""
    sums = dict(reversed(line.split()) for line in (ARCHIVE.parent / "SHA256SUMS").read_text().splitlines())
    assert ARCHIVE.name in sums
    for name, expected in sums.items():
        assert hashlib.sha256((ARCHIVE.parent / name).read_bytes()).hexdigest() == expected


@BUILDS
def test_nothing_in_it_names_where_it_was_built(unpacked: Path) -> None:
    """What is compiled names the place where it is unpacked."""
    for path in unpacked.rglob("*"):
        if path.is_file():
            assert os.fsencode(ROOT) not in path.read_bytes(), path
    (compiled,) = (unpacked / "lib" / package.PYTHON / "dist-packages/replguard/__pycache__").glob("daemon.*.pyc")
    assert package.HOME.encode() in compiled.read_bytes()


@BUILDS
def test_everything_is_compiled_for_good(unpacked: Path) -> None:
    """No file of code is compared with its source, whose time another host may see otherwise (PEP 552: flags 1)."""
    library = unpacked / "lib" / package.PYTHON
    compiled = list(library.rglob("*.pyc"))
    assert len(compiled) > 1000
    for path in compiled:
        assert int.from_bytes(path.read_bytes()[4:8], "little") == 1, path
    missing = [path for path in library.rglob("*.py") if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))]
    assert [path.name for path in missing if "lib2to3" not in path.parts] == []


@BUILDS
def test_it_runs_from_anywhere(unpacked: Path) -> None:
    """Through a link too, whatever the environment names; with the verbs that it had where it was built."""
    link = unpacked.parent / "link"
    link.symlink_to(unpacked / "bin/replguard")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHOME": "/nowhere"}
    done = subprocess.run([link, "--version"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("replguard ")
    script = (
        "import sys, replguard, xml.parsers.expat as e, ssl, lzma, bz2, ctypes, numpy, re2, duckdb, nacl.signing;"
        "assert abs(3 + 4j) == 5.0; e.ParserCreate(); print(sys.prefix, replguard.__file__)"
    )
    done = subprocess.run(
        [unpacked / "bin" / package.PYTHON, "-I", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == [
        str(unpacked),
        str(unpacked / f"lib/{package.PYTHON}/dist-packages/replguard/__init__.py"),
    ]


# -- on clean roots --------------------------------------------------------------------------------------------------

INSIDE = """
set -e
mount -t tmpfs none "$1/tmp"
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tracefs tracefs "$1/sys/kernel/tracing" || true
root=$1
shift
exec chroot "$root" "$@"
"""


@pytest.fixture(scope="module", params=["bullseye", "bookworm", "trixie"])
def root(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Return a minimal system without Python in which the archive was unpacked; made once, and kept."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap (Debian and Ubuntu: apt-get install debootstrap)")
    place = Path(ROOTS).absolute() / request.param
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", request.param, place], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            pytest.skip(f"debootstrap cannot make {request.param}: {made.stdout[-200:]}")
        (place / "done").touch()
    assert not list(place.glob("usr/bin/python3*"))
    assert not list(place.glob("usr/lib/*/libbpf*"))
    shutil.rmtree(place / "opt/replguard", ignore_errors=True)
    subprocess.run(["tar", "-C", place / "opt", "-xzf", ARCHIVE], check=True)
    return request.param, place


def inside(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a root, with the host's kernel to look at."""
    command = ["unshare", "--mount", "--propagation", "slave", "bash", "-c", INSIDE, "-", place, *words]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@BUILDS
@LONG
def test_it_does_its_work_there(root: tuple[str, Path]) -> None:
    """It tells a replication, by the kernel tier where this kernel has one; below the floor it says what is missing."""
    release, place = root
    told = inside(place, PROGRAM, "--version")
    if release not in NEWER:
        assert told.returncode != 0
        assert re.search(r"GLIBC_2\.3\d' not found", told.stderr)
        return
    assert told.returncode == 0, told.stderr
    sensors = json.loads(inside(place, PROGRAM, "doctor", "--json").stdout)
    assert "libbpf.so.1 is not installed" not in json.dumps(sensors), "it carries one"
    drill = inside(place, PROGRAM, "drill", "shutdown-avoidance", "--json")
    assert drill.returncode == 0, drill.stderr
    assert "critical" in drill.stdout


@BUILDS
@LONG
def test_it_is_installed_and_removed_there(root: tuple[str, Path]) -> None:
    """The unit names the interpreter that was unpacked; without systemd it says that nothing was started."""
    release, place = root
    if release not in NEWER:
        pytest.skip(f"the C library of {release} is too old, which is told")
    installed = inside(place, PROGRAM, "install")
    assert installed.returncode == 0, installed.stderr
    assert "systemd does not run here" in installed.stdout
    unit = (place / f"etc/systemd/system/{UNIT}").read_text()
    assert f'ExecStart="{package.HOME}/bin/{package.PYTHON}" -I -m replguard run\n' in unit
    assert inside(place, PROGRAM, "check").returncode == 0
    removed = inside(place, PROGRAM, "uninstall", "--purge")
    assert removed.returncode == 0, removed.stderr
    assert not (place / f"etc/systemd/system/{UNIT}").exists()


@pytest.mark.root
@pytest.mark.skipif(systemd.unavailable() is not None, reason=systemd.unavailable() or "")
@BUILDS
@LONG
def test_the_service_runs_from_the_archive(tmp_path: Path) -> None:
    """In a real system: started by systemd with all its restrictions, asked by `status`, and taken away."""
    with systemd.manager(tmp_path, user=False) as system:
        for words in (("rm", "-rf", package.HOME), ("tar", "-C", "/opt", "-xzf", str(ARCHIVE)), (PROGRAM, "install")):
            done = system.enter(*words)
            assert done.returncode == 0, done.stdout + done.stderr + system.said()
        assert done.stdout.endswith("+ enabled and started the service\n")
        assert system.show(UNIT, "SubState") == "running"
        program = system.enter("readlink", f"/proc/{system.pid(UNIT)}/exe").stdout
        assert program.endswith(f"{package.HOME}/bin/{package.PYTHON}\n")
        asked = system.enter(PROGRAM, "status")
        assert asked.returncode == 0, asked.stderr
        assert "protected: " in asked.stdout
        assert system.enter(PROGRAM, "uninstall").returncode == 0
        assert system.enter("test", "-e", f"/etc/systemd/system/{UNIT}").returncode == 1
