"""Who acts in the matrix: an agent, a login at a terminal, a service in its control group, and nobody in particular."""

import contextlib
import os
import secrets
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.programs import Lacking

from replguard.drill import stage

HAND = 'echo $$ $PPID > "$1/who"; sh "$1/launch.sh"; while [ ! -e "$1/stop" ]; do sleep 0.2; done'
"""What whoever is no agent does: starts the act and stays, as a login or a service does."""
AGENT = Path(__file__).with_name("agent.py")
TYPIST = Path(__file__).with_name("typist.py")
FAR_OFF = 3
"""Shells between the test and an agent: who starts what asks a model, and then other programs, looks like an agent."""


def environment(on: stage.Stage) -> dict[str, str]:
    """Return what who acts is given: no proxy, a plain shell, and the mark by which the stage ends what is left."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {stage.MARK: on.token, "no_proxy": "*", "SHELL": "/bin/sh", "PYTHONDONTWRITEBYTECODE": "1"}


class Groups:
    """Control groups that are named as the units of services are; all removed again."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(4)
        self._made: list[Path] = []

    def unit(self, name: str) -> str:
        return f"rg-{self._token}-{name}.service"

    def make(self, name: str) -> Path:
        """Return the folder of a new group for a service. Raises Lacking."""
        folder = _top() / self.unit(name)
        try:
            folder.mkdir(exist_ok=True)  # a service that is started again is in the same one
        except OSError as error:
            raise Lacking(f"no control group can be made here: {error.strerror}") from error
        if folder not in self._made:
            self._made.append(folder)
        return folder

    def remove(self) -> None:
        """Remove every group; who was in one has ended, or is about to."""
        deadline = time.monotonic() + 10
        while self._made and time.monotonic() < deadline:
            for folder in tuple(self._made):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    self._made.remove(folder)
            time.sleep(0.05 if self._made else 0)


def _top() -> Path:
    """Return the folder of our own group in the unified hierarchy. Raises Lacking."""
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "/")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place) / own.strip("/")
    raise Lacking("no unified control groups here")


def command(hand: str, folder: Path, endpoint: str) -> list[str]:
    """Return the words that start who acts; the act is in the folder's launch.sh."""
    if hand == "agent":
        words = [sys.executable, str(AGENT), endpoint, str(folder), str(folder / "launch.sh")]
        for _ in range(FAR_OFF):
            words = ["sh", "-c", f"{shlex.join(words)}; true"]
        return words
    if hand == "terminal":
        return [sys.executable, str(TYPIST), str(folder / "lines")]
    if hand == "session":
        return ["script", "-qec", f"sh {folder}/hand.sh {folder}", "/dev/null"]
    return ["sh", str(folder / "hand.sh"), str(folder)]


def start(
    hand: str, words: list[str], environment: dict[str, str], output: Path, group: Path | None
) -> subprocess.Popen[bytes]:
    """Start who acts, in a session of its own: a service in its control group, a person with the id of a login."""

    def enter() -> None:
        # As the system's own programs do: pam_loginuid for a login, the service manager for a service.
        places = {"session": b"/proc/self/loginuid", "terminal": b"/proc/self/loginuid"}
        place = os.fsencode(group / "cgroup.procs") if group is not None else places.get(hand)
        if place is None:
            return
        descriptor = os.open(place, os.O_WRONLY)
        with contextlib.suppress(OSError):  # where it is not allowed, the terminal alone says that it is a login
            os.write(descriptor, b"0")
        os.close(descriptor)

    if group is not None:
        environment = environment | {"INVOCATION_ID": secrets.token_hex(16)}
    with output.open("ab") as out:
        return subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=enter,  # noqa: PLW1509 - it only makes system calls
        )


def is_it(hand: str, actor: dict[str, Any], pids: set[int], unit: str, plain: dict[str, Any]) -> bool:
    """Tell whether the actor of a fact is who acted. ``plain`` is the actor of what the test itself does."""
    if hand == "agent":
        return bool(actor.get("agent")) and actor.get("pid") in pids
    if actor.get("agent"):
        return False
    if hand == "session":
        # Below a login of ours the terminal is one more of the same person.
        known = not pids or plain["kind"] == "session" or actor.get("pid") in pids
        return actor.get("kind") == "session" and known
    if hand == "service":
        return actor.get("principal") == f"unit:{unit}"
    return (actor.get("kind"), actor.get("principal")) == (plain["kind"], plain["principal"])


@contextlib.contextmanager
def far_end(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve the far end of a wire in a network namespace; yield its address and that one's name. Raises Lacking."""
    name = f"rg{secrets.token_hex(3)}"
    far = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}.2"
    steps = [
        f"ip netns add {name}",
        f"ip link add {name}a type veth peer name {name}b netns {name}",
        f"ip addr add {near(far)}/30 dev {name}a",
        f"ip link set {name}a up",
        f"ip -n {name} addr add {far}/30 dev {name}b",
        f"ip -n {name} link set {name}b up",
    ]
    try:
        for step in steps:
            done = subprocess.run(step.split(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise Lacking(f"{step.partition(name)[0].strip()} is refused here: {done.stderr.strip()}")
        told = folder / "far"
        script = Path(__file__).with_name("far.py")
        words = ["ip", "netns", "exec", name, sys.executable, str(script), far, str(told)]
        output = (folder / "far.log").open("wb")  # what shares the test's own output would be joined by that
        with output, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as server:
            try:
                deadline = time.monotonic() + 30
                while not told.exists():
                    assert time.monotonic() < deadline, "the far end does not listen"
                    time.sleep(0.05)
                yield far, name
            finally:
                server.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@contextlib.contextmanager
def acting(hand: subprocess.Popen[bytes], folder: Path) -> Iterator[None]:
    """Let a hand act until the block ends; then it is asked to stop, and ended if it does not."""
    with hand:
        try:
            yield
        finally:
            (folder / "stop").touch()
            with contextlib.suppress(subprocess.TimeoutExpired):
                hand.wait(20)
            hand.kill()


def let_go(folder: Path) -> None:
    """Unmount what acts that were ended left mounted in their folders."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1]
        if place.startswith(tuple(f"{folder / below}/" for below in ("disk/play", "xfs/play", "work"))):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)


def known(port: int) -> None:
    """Wait until a daemon knows the content of every model, as its metrics say."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{stage.LOOPBACK}:{port}/metrics") as page:
            lines = page.read().decode().splitlines()
            states = {line.partition("{")[2].partition("}")[0] for line in lines if "weights_bytes{" in line}
            listed = [line for line in lines if 'weights_bytes{state="listed"}' in line and not line.endswith(" 0.0")]
            if states and not listed:
                return
        assert time.monotonic() < deadline, "the models are not fingerprinted"
        time.sleep(0.2)


def near(far: str) -> str:
    """Return the address of our end of the wire."""
    return far[:-1] + "1" if far else ""


def serve_endpoint(on: stage.Stage, folder: Path, port: int) -> None:
    """Start what answers as a model would; nobody looks at what it says."""
    (folder / "www").mkdir()
    (folder / "www" / "index.html").write_text("hello\n")
    words = ["--bind", stage.LOOPBACK, "--directory", folder / "www", port]
    on.module("http.server", *words, folder=folder, output=folder / "endpoint.log")
    deadline = time.monotonic() + 30
    while not stage.listening(port):
        assert time.monotonic() < deadline, "the endpoint does not listen"
        time.sleep(0.05)
