"""The part of the GPU: a process claims device memory, and the daemon tells whose it is, how much, and how soon.

Where there is no GPU a stand-in for NVIDIA's library says what a driver would, of a process that really holds a node by
the driver's name. It shows our half of the way: what a driver itself says, and when, it cannot show.
"""

import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.host import Lacking
from proof.trial import Bare

from replguard.drill.watcher import Watcher
from replguard.errors import ReplguardError
from replguard.events.event import Event
from replguard.log import reader

TITLE = "Device memory"
TRIALS = 5
CLAIMED = 2**30
SECONDS = 30.0
OFF, WITHIN = 0.01, 2.0
"""What a claim has to be told with: bytes within a hundredth, in two seconds."""
_LIBRARY = r"""
#include <stdio.h>
#include <string.h>
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } info;
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned int f) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int r) { return "stand-in"; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { *h = (void *)1; return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned int n) { strncpy(s, "GPU-stand-in", n); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned int n) { strncpy(s, "stand-in", n); return 0; }
int nvmlDeviceGetMigMode(void *h, unsigned int *now, unsigned int *later) { return 3; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned int *n, info *p) {
    unsigned int room = p ? *n : 0, found = 0, pid; unsigned long long used;
    FILE *f = fopen(LIST, "r");
    while (f && fscanf(f, "%u %llu", &pid, &used) == 2) {
        if (found < room) { p[found].pid = pid; p[found].used = used; }
        found++;
    }
    if (f) fclose(f);
    *n = found;
    return found > room ? 7 : 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned int *n, info *p) { return 3; }
"""
Row = dict[str, Any]


class Stage(Bare):
    """A stage whose programs see a device of NVIDIA's, and find the stand-in where they look for its library."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"LD_LIBRARY_PATH": str(self.folder / "lib")}

    def start(self, command: list[str], *, folder: Path, output: Path) -> subprocess.Popen[bytes]:
        """Start a process in a mount namespace of its own, which has the device."""
        device = "/sys/bus/pci/devices/0000:01:00.0"
        shown = f"mkdir -p {device}; echo 0x10de > {device}/vendor; echo 0x030200 > {device}/class"
        script = f'mount -t tmpfs none /sys/bus; {shown}; exec "$@"'
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"]
        return super().start([*inside, *command], folder=folder, output=output)


def planned(trials: int) -> list[str]:
    """Return the keys. A machine with a GPU has nothing to stand in for."""
    return [] if any(Path("/dev").glob("nvidia[0-9]*")) else [f"stand-in/{number}" for number in range(1, trials + 1)]


def run(key: str) -> Row:
    """Have memory claimed once."""
    try:
        with Stage() as on:
            return _claimed(on)
    except (ReplguardError, Lacking) as error:
        return {"failed": str(error)}


def _claimed(on: Stage) -> Row:
    on.bin = Path("/usr/bin")
    held = on.folder / "held"
    _compiled(on.folder / "lib", held)
    off = {"process": "auto", "file": "off", "network": "off", "gpu": "auto"}
    watcher = Watcher(on, on.folder / "daemon", {"weights": {"paths": [], "discover": False}, "sensors": off})
    watcher.start()
    claim = f'exec 3> /dev/nvidia-uvm; sleep 1.5; echo "$$ {CLAIMED}" > {shlex.quote(str(held))}; exec sleep 60'
    script = f"mount -t tmpfs none /dev; {claim}"
    process = on.start(["sh", "-ec", script], folder=on.folder, output=on.folder / "claim.log")
    deadline = time.monotonic() + SECONDS
    while not (found := _told(watcher.log_dir, process.pid)):
        if time.monotonic() > deadline or process.poll() is not None:
            raise Lacking(f"the claim was not told: {(on.folder / 'claim.log').read_text().strip()[-200:]}")
        time.sleep(0.05)
    seconds = time.time() - held.stat().st_mtime
    amount = (found.replguard.bytes if found.replguard else None) or 0
    watcher.stop()
    return {
        "bytes": amount, "off": round(abs(amount - CLAIMED) / CLAIMED, 4), "seconds": round(seconds, 2),
        "told": [found.gpu.id if found.gpu else None, found.action], "day": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def _compiled(folder: Path, held: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise Lacking("no C compiler to build the stand-in of NVIDIA's library")
    folder.mkdir()
    (folder / "nvml.c").write_text(_LIBRARY)
    made = folder / "libnvidia-ml.so.1"
    words = [compiler, "-shared", "-fPIC", f'-DLIST="{held}"', "-Wl,-soname,libnvidia-ml.so.1", "-o", str(made)]
    subprocess.run([*words, str(folder / "nvml.c")], check=True)


def _told(log: Path, pid: int) -> Event | None:
    """Return the fact of the claim by its process, once the log has it."""
    for item in reader.events([log]):
        if isinstance(item, Event) and item.action == "gpu_memory" and item.process and item.process.pid == pid:
            return item
    return None


def line(row: Row) -> str:
    """Return what is printed of a claim."""
    if row.get("failed"):
        return f"not played: {row['failed']}"
    return f"{row['bytes']:,} bytes of the right process after {row['seconds']:.2f} s"


def figures(rows: dict[str, Row]) -> dict[str, float]:
    """Return the share of claims that were told as they have to be."""
    found = [row["off"] <= OFF and row["seconds"] <= WITHIN for row in rows.values() if not row.get("failed")]
    return {"stand-in: told in time": sum(found) / len(found)} if found else {}


def page(rows: dict[str, Row]) -> list[str]:
    """Return the lines for the page."""
    played = [row for row in rows.values() if not row.get("failed")]
    failed = [f"- {key}: {line(row)}" for key, row in rows.items() if row.get("failed")]
    if not played:
        return failed or ["Not measured."]
    good, took = round(figures(rows)["stand-in: told in time"] * len(played)), [row["seconds"] for row in played]
    return [_TEXT.format(good=good, of=len(played), least=min(took), most=max(took)), *failed]


_TEXT = """\
**There was no GPU in this machine: nothing here is measured with one.** A library stood in for NVIDIA's and told a
running daemon of 1 GiB held by a process that has a node of the driver's name open. In {good} of {of} claims the daemon
told the right process and the bytes within 1 %, within 2 s ({least:.1f} to {most:.1f} s to the line in the log; it asks
the driver once a second). What a driver says of a process, and how soon, such a library cannot show.
"""
