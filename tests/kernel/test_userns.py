"""Who answers for the users in a namespace."""

import os
import subprocess
from pathlib import Path

import pytest
from support.host import FakeHost
from support.targets import target

from replguard.kernel.userns import owner


def test_ours_has_no_other_owner(tmp_path: Path) -> None:
    """Nor has what is no namespace."""
    host = FakeHost(tmp_path)
    host.write("7/ns/user", b"x")
    assert owner(os.getpid()) is None
    assert owner(7, host.root) is None
    assert owner(8, host.root) is None


@pytest.mark.root
def test_whoever_made_a_namespace_answers_for_those_in_it() -> None:
    """Also for those in a further one below, whoever they are there."""
    by = ("setpriv", "--reuid", "65534", "--clear-groups", "unshare", "-Ur", "unshare", "-U")
    if subprocess.run([*by, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace may be made here")
    with subprocess.Popen([*by, "sh", "-c", "echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert owner(process.pid) == 65534
        process.kill()
    with target() as plain:
        assert owner(plain.pid) is None
