"""A container as the DaemonSet of the examples describes it, made with unshare: its mounts, capabilities and pids.

The image is a root of Debian with the product installed as the Containerfile says (``REPLGUARD_IMAGE``, made by `make
container`), or else a frame of folders around the interpreter and the checkout that run the tests.
"""

import contextlib
import os
import shlex
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from support.host import until

from replguard.kernel.mounts import mounts as mounted

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "kubernetes"
IMAGE = os.environ.get("REPLGUARD_IMAGE")


def documents() -> dict[str, dict[str, Any]]:
    """Return the objects of the manifest by their kind."""
    text = (EXAMPLES / "replguard.yaml").read_text()
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def pod() -> dict[str, Any]:
    """Return the pod that the DaemonSet makes."""
    return dict(documents()["DaemonSet"]["spec"]["template"]["spec"])


def container() -> dict[str, Any]:
    """Return its one container."""
    (one,) = pod()["containers"]
    return dict(one)


def mounts(host: dict[str, Path], at: dict[str, Path]) -> list[tuple[str, str, bool]]:
    """Return (source, point, read only) of each mount, the outer ones first; '' for memory.

    ``host`` gives the folder of a volume on this host, ``at`` another mount point than the manifest's.
    """
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    found = []
    for mount in container()["volumeMounts"]:
        name = mount["name"]
        source = str(host.get(name) or volumes[name].get("hostPath", {}).get("path", ""))
        point = str(at.get(name) or mount["mountPath"])
        found.append((source, point, bool(mount.get("readOnly"))))
    return sorted(found, key=lambda mount: mount[1].count("/"))


def _frame() -> tuple[list[str], list[str], dict[str, str]]:
    """Return which folders make up a root without an image, the command of the product in it, and its environment."""
    interpreter = os.path.realpath(sys.executable)
    folders = [f"/{name}" for name in ("usr", "lib", "lib64", "bin", "sbin") if Path(f"/{name}").exists()]
    folders += [path for path in (sys.base_prefix,) if not path.startswith("/usr")]
    paths = [str(ROOT / "replguard"), *site.getsitepackages()]
    environment = {"PYTHONPATH": ":".join(f"/checkout{number}" for number in range(len(paths)))}
    binds = [*folders, *(f"{path}=/checkout{number}" for number, path in enumerate(paths))]
    binds[len(folders)] = f"{ROOT / 'replguard'}=/checkout0/replguard"
    binds.append(f"{ROOT / 'rules'}=/checkout0/rules")
    return binds, [interpreter, "-m", "replguard"], environment


def script(new: Path, listed: list[tuple[str, str, bool]], arguments: list[str]) -> str:
    """Return what a shell in new namespaces does: lay out the root, enter it, drop what is not given, and run."""
    quote, here = shlex.quote, shlex.quote(str(new))
    command, environment, binds = ["/opt/replguard/bin/replguard"], {}, []
    lines = ["set -e", f"mount --bind {here} {here}", f"cd {here}"]
    if not IMAGE:
        binds, command, environment = _frame()
    for bind in binds:
        source, _, point = bind.partition("=")
        inside = quote("." + (point or source))
        lines += [f"mkdir -p {inside}", f"mount --bind {quote(source)} {inside}"]
        lines.append(f"mount -o remount,bind,ro {inside}")
    lines += ["mkdir -p etc proc sys old", "test -e etc/ld.so.cache || cp /etc/ld.so.cache etc/"]
    lines += ["mount -t proc proc proc", "mount --bind /sys sys", "mount -o remount,bind,ro sys"]
    for source, point, read_only in listed:
        inside = quote("." + point)
        lines.append(f"mkdir -p {inside}")
        lines.append(f"mount --bind {quote(source)} {inside}" if source else f"mount -t tmpfs none {inside}")
        if read_only:
            lines.append(f"mount -o remount,bind,ro {inside}")
    security = container()["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"]["drop"] == ["ALL"]
    given = ",".join(f"+{name.lower()}" for name in security["capabilities"]["add"])
    run = ["setpriv", f"--bounding-set=-all,{given}", "--inh-caps=-all", "env", "-i", "PATH=/usr/bin:/bin"]
    run += [f"{name}={value}" for name, value in environment.items()] + command + arguments
    lines += ["pivot_root . old", "cd /", "umount -l /old", "mount -o remount,bind,ro /", f"exec {shlex.join(run)}"]
    return "\n".join(lines)


@contextlib.contextmanager
def running(
    new: Path, listed: list[tuple[str, str, bool]], arguments: list[str], errors: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run the product in the container; leaving ends it. Its pid is the host's: the pid namespace is ours."""
    assert pod()["hostPID"]
    with rooted(new):
        yield from _run(new, listed, arguments, errors)


@contextlib.contextmanager
def rooted(new: Path) -> Iterator[None]:
    """Mount the overlay that an engine lays over its image, in the host's namespace as engines do."""
    lower, upper, work = (new.with_name(f"{new.name}-{part}") for part in ("lower", "upper", "work"))
    for folder in (new, lower, upper, work):
        folder.mkdir()
    layers = f"lowerdir={IMAGE or lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, new], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", new], check=True)


@contextlib.contextmanager
def _group() -> Iterator[str]:
    """Make a control group, as every container has one; yield what puts a shell into it, '' where none can be made."""
    for mount in mounted() or []:
        place = Path(os.fsdecode(mount.path), f"replguard-test-{os.getpid()}", "inner")
        if mount.kind == "cgroup2" and mount.root == "/":
            place.mkdir(parents=True)
            try:
                yield f"echo $$ > {shlex.quote(str(place / 'cgroup.procs'))};"
            finally:
                for folder in (place, place.parent):
                    until(lambda folder=folder: folder.rmdir() is None)
            return
    yield ""


def _run(
    new: Path, listed: list[tuple[str, str, bool]], arguments: list[str], errors: Path
) -> Iterator[subprocess.Popen[str]]:
    unshare = [str(shutil.which("unshare")), "--mount", "--uts", "--cgroup", "--propagation", "private"]
    with errors.open("w") as told, _group() as grouped:
        inner = shlex.join([*unshare, "sh", "-c", script(new, listed, arguments)])
        process = subprocess.Popen(
            ["sh", "-c", f"{grouped} exec {inner}"], stdout=subprocess.PIPE, stderr=told, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
