"""Other users of the host: programs run as one, with nothing of root's left."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator

NOBODY = 65534


def _python() -> str | None:
    """Return an interpreter that any user can run: one of root's home is none."""
    for path in (shutil.which("python3", path="/usr/bin:/usr/local/bin"), sys.executable):
        if path is not None and os.geteuid() == 0:
            with contextlib.suppress(OSError):
                if (
                    subprocess.run([path, "-c", ""], user=NOBODY, group=NOBODY, extra_groups=[], check=False).returncode
                    == 0
                ):
                    return path
    return None


PYTHON = _python()


APART = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
"""What begins a command that is root in namespaces of its own, as in a container."""


def apart(user: int) -> bool:
    """Whether a user may make such namespaces here."""
    return run(user, *APART, "true").returncode == 0


def run(user: int, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a program as a user, in a session of its own, and return what became of it."""
    return subprocess.run(
        list(map(str, words)),
        user=user,
        group=user,
        extra_groups=[],
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        check=False,
    )


@contextlib.contextmanager
def started(user: int, *words: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program as a user until the block ends: its input ends then, and if that is not enough, it."""
    process = subprocess.Popen(
        list(map(str, words)),
        user=user,
        group=user,
        extra_groups=[],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        preexec_fn=_room,  # noqa: PLW1509 - it takes no lock
    )
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _room() -> None:
    """Let it have as many descriptors as a login gives at most."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
