"""What the pages of the first hour show can be done, from top to bottom, and says what they show."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import until

from replguard.drill import dummy, stage
from replguard.errors import Unavailable
from replguard.kernel import libbpf

ROOT = Path(__file__).resolve().parents[2]
GROUPS = next(
    (path for path in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")) if (path / "cgroup.procs").exists()), None
)
SERVICE, LOGIN = "system.slice/chat.service", "user.slice/user-0.slice/session-1.scope"
PATIENCE = 60.0
WHOLE = os.environ.get("PAGES") == "whole"
"""`make pages`: both pages, with drills and replays. By itself the first half hour."""
HALF = "## Ring the pager"
LOOKS = ("replguard status", "replguard replay", "jq", "cat")
"""Commands that only look: what they show may take a moment to come."""
FOLDERS = [
    *map(Path, ("/etc/replguard", "/var/lib/replguard", "/var/log/replguard", "/run/replguard", "/srv")),
    *map(Path, ("/usr/local/sbin", "/models")),
]
HOST = """
set -e
for folder in {folders}; do mount -t tmpfs -o mode=0755 none $folder; done
mkdir /etc/replguard/manifest.d
mount --bind {models} /models
echo 'exec {python} -m replguard "$@"' > /usr/local/sbin/replguard
cat > /usr/local/sbin/systemctl << 'END'
[ "$*" = "restart replguard" ]
cd /run/replguard
[ ! -e pid ] || {{ kill $(cat pid); while grep -q . /proc/$(cat pid)/cmdline 2> /dev/null; do sleep 0.1; done; }}
RUNTIME_DIRECTORY=/run/replguard setsid replguard run > out 2>&1 &
echo $! > pid
until grep -qx ready out; do kill -0 $!; sleep 0.1; done
END
chmod +x /usr/local/sbin/*
touch {folder}/there
exec sleep 1000
"""
"""A host of its own folders, on which `systemctl` starts the daemon as the unit does."""

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(GROUPS is None, reason="no control groups of version 2"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="no jq"),
]


class Host:
    """Runs commands there as somebody who has logged in."""

    def __init__(self, on: stage.Stage) -> None:
        self.stage = on
        dummy.write_model(on.folder / "models" / "chat")
        self.folder = on.folder / "work"
        self.folder.mkdir()
        script = HOST.format(
            models=on.folder / "models", python=sys.executable, folder=on.folder, folders=" ".join(map(str, FOLDERS))
        )
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self.holder = on.start(command, folder=on.folder, output=on.folder / "host.log")
        assert until((on.folder / "there").exists, PATIENCE), (on.folder / "host.log").read_text()
        serves = f"exec {sys.executable} -m replguard.drill.server --weights /models/chat --port 8000"
        on.start(self.inside(SERVICE, serves), folder=on.folder, output=on.folder / "server.log")
        assert until(lambda: stage.listening(8000), PATIENCE), (on.folder / "server.log").read_text()

    def inside(self, group: str, command: str) -> list[str]:
        """Return what runs a command there, in a control group."""
        enter = f'echo 0 > {GROUPS}/{group}/cgroup.procs; PATH=/usr/local/sbin:$PATH sh -c "$1"; exit $?'
        there = ["nsenter", "-t", str(self.holder.pid), "--mount", f"--wd={self.folder}"]
        return [*there, "sh", "-c", enter, "-", command]

    def says(self, command: str) -> str:
        """Run a command and return what it says."""
        ended = subprocess.run(
            self.inside(LOGIN, command), env=self.stage.environment(), capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def does(self, command: str, shown: list[str]) -> None:
        """Run a command; fail where it does not say what is shown. One that only looks is asked again for a while."""
        end = time.monotonic() + (PATIENCE if command.startswith(LOOKS) else 0)
        while missing := lacking(said := self.says(command), shown):
            assert time.monotonic() < end, f"`{command}` does not say {missing}, but:\n{said}"
            time.sleep(0.2)


@pytest.fixture
def host() -> Iterator[Host]:
    """Give a host that serves a model as a service, and has replguard's folders to itself."""
    assert GROUPS is not None
    try:
        libbpf.check()
    except Unavailable as error:
        pytest.skip(f"the page shows the kernel tier: {error}")
    if stage.listening(8000):
        pytest.skip("somebody serves on port 8000 already")
    made = []
    for wanted in (*FOLDERS, GROUPS / SERVICE, GROUPS / LOGIN):
        for each in (*reversed(wanted.parents), wanted):
            if not each.exists():
                each.mkdir()
                made.append(each)
    try:
        with stage.Stage() as on:
            yield Host(on)
    finally:
        for each in reversed(made):
            each.rmdir()


def lacking(said: str, shown: list[str]) -> list[str]:
    """Return the lines that are shown and were not said."""
    lines = {alike(line) for line in said.splitlines()}
    return [line for line in shown if line != "…" and alike(line) not in lines]


def alike(line: str) -> str:
    """Return a line without what differs from run to run: numbers with their units, and how wide columns are."""
    return re.sub(r"\d[\d,.]*( ([KMG]iB|s|min)\b)?", "0", " ".join(line.split()))


def steps(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a page, each with the lines that it is shown to say; a configuration is written."""
    whole = (ROOT / "docs" / page).read_text()
    shown = whole if WHOLE else whole.partition(HALF)[0]
    for kind, text in re.findall(r"^```(console|yaml)\n(.*?)^```", shown, re.MULTILINE | re.DOTALL):
        if kind == "yaml":
            if (name := re.match(r"# (\S+\.yaml)\n", text)) is not None:
                yield f"cat > {name[1]} << 'END'\n{text}END", []
            continue
        for part in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
            command, _, said = re.sub(r" \\\n +", " ", part).partition("\n")
            yield command, said.splitlines()


def test_the_first_hour_can_be_followed_and_then_be_tuned(host: Host) -> None:
    """Every command of both pages; what is shown beneath one is said."""
    for page in ("first-hour.md", "tune.md") if WHOLE else ("first-hour.md",):
        for command, shown in steps(page):
            host.does(command, shown)
