"""Two network namespaces with a wire between them: traffic that leaves a host, without a network."""

import contextlib
import ipaddress
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support.programs import Lacking

_PID = os.getpid()
"""Addresses are of this process alone: the kernel tells of all namespaces, also of what other tests send in theirs."""
NEAR, FAR, NOBODY = (f"10.{64 + (_PID >> 8) % 64}.{_PID % 256}.{end}" for end in (1, 2, 9))
NEAR6, FAR6 = (str(ipaddress.ip_address(f"fd00:77:{_PID >> 16:x}:{_PID % 65536:x}::{end}")) for end in (1, 2))
_HOLD = ["unshare", "--net", "sh", "-c", "echo; exec cat"]


@dataclass(frozen=True, slots=True)
class End:
    """One end of the wire: a network namespace that the process ``pid`` holds."""

    pid: int

    def inside(self, *command: str) -> list[str]:
        """Return the command as it is run in here."""
        return ["nsenter", f"--target={self.pid}", "--net", *command]

    @contextlib.contextmanager
    def python(self, code: str, *args: object, before: tuple[str, ...] = ()) -> Iterator[Any]:
        """Run Python code in here, with pipes for text; it ends when it is left."""
        command = self.inside(*before, sys.executable, "-c", code, *map(str, args))
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            with process, contextlib.suppress(OSError):
                process.kill()


def _ip(end: End, line: str) -> None:
    done = subprocess.run(end.inside("ip", *line.split()), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Lacking(f"no wire between two network namespaces can be made here: {done.stderr.strip()[:80]}")


@contextlib.contextmanager
def wire() -> Iterator[tuple[End, End]]:
    """Yield both ends; the wire goes with the last process in them. Raises Lacking where it cannot be made."""
    with contextlib.ExitStack() as stack:
        ends = []
        for _ in range(2):
            try:
                held = subprocess.Popen(_HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            except FileNotFoundError:
                raise Lacking("no unshare here") from None
            stack.enter_context(held)
            stack.callback(held.kill)
            if held.stdout is None or held.stdout.readline() != b"\n":
                raise Lacking("no new network namespace may be made here")
            ends.append(End(held.pid))
        near, far = ends
        try:
            _ip(near, f"link add near type veth peer name far netns {far.pid}")
        except FileNotFoundError:
            raise Lacking("no nsenter or ip here") from None
        for end, name, four, six in ((near, "near", NEAR, NEAR6), (far, "far", FAR, FAR6)):
            _ip(end, f"addr add {four}/24 dev {name}")
            _ip(end, f"-6 addr add {six}/64 dev {name} nodad")
            _ip(end, f"link set {name} up")
            _ip(end, "link set lo up")
        yield near, far
