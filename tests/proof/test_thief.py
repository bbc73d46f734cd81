"""What the random adversary's own programs do."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from proof import thief

from replguard.drill import dummy


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (file,) = dummy.write_model(tmp_path_factory.mktemp("model"), tensors=1)
    return file


@pytest.mark.parametrize("way", [*thief.TAKES])
def test_what_is_taken_is_the_file(model: Path, tmp_path: Path, way: str) -> None:
    """Byte for byte, whichever way."""
    if way == "loopback" and shutil.which("curl") is None:
        pytest.skip("needs curl")
    words = [sys.executable, thief.__file__, "take", way, str(model), str(tmp_path / "taken")]
    subprocess.run(words, check=True, timeout=60)
    assert (tmp_path / "taken").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("change", [*thief.CHANGES])
def test_what_is_changed_can_be_had_back(model: Path, change: str) -> None:
    """The tensors at least; and it was changed."""
    if change == "zstd" and shutil.which("zstd") is None:
        pytest.skip("needs zstd")
    there, back = thief.CHANGES[change]
    data = model.read_bytes()
    changed = there(data)
    assert (changed == data) == (change == "none")
    assert thief.tensors(back(changed)) == thief.tensors(data)


def test_a_replica_answers_what_only_one_with_the_weights_knows(model: Path, tmp_path: Path) -> None:
    """And ends once it is told to."""
    shutil.copy(model, tmp_path / "w")
    where = str(tmp_path / "s")
    words = [sys.executable, thief.__file__, "serve", "plain", str(tmp_path / "w"), "none", where]
    with subprocess.Popen(words) as server:
        deadline, said = time.monotonic() + 30, b""
        while not said and time.monotonic() < deadline:
            with contextlib.suppress(OSError), thief.reached(where) as one:
                said = one.recv(64)
        assert said == hashlib.sha256(thief.tensors(model.read_bytes())).hexdigest().encode()
        (tmp_path / "stop").touch()
        assert server.wait(20) == 0
