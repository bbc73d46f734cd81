import os
from pathlib import Path

import pytest

from replguard.sinks.secret import Secret, read


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def test_the_line_of_a_file(tmp_path: Path) -> None:
    """Without the end of the line, and as it is now."""
    path = written(tmp_path / "token", "Bearer abc\n")
    secret = Secret(str(path))
    assert (secret.read(), secret.check(), read(secret), read("plain")) == (*["Bearer abc"] * 3, "plain")
    written(path, "Bearer def")
    assert secret.read() == "Bearer def"


@pytest.mark.parametrize("held", ["", "\n", "a\nX-More: b", "a\0b", "\xe9", b"\xff", "x" * 20_000])
def test_what_is_no_line_is_an_error_that_does_not_quote_it(tmp_path: Path, held: str | bytes) -> None:
    """Nothing of it may end up in a log, nor as a header of its own."""
    secret = Secret(str(written(tmp_path / "token", held)))
    with pytest.raises(OSError, match="has to hold one line of plain characters"):
        secret.read()
    with pytest.raises(ValueError, match="has to hold one line"):
        secret.check()


def test_a_name_is_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked for where the service manager put it; one that is not there names the setting that it takes."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    written(tmp_path / "hook", "https://hooks.example.org/x")
    assert Secret("hook").read() == "https://hooks.example.org/x"
    with pytest.raises(OSError, match="LoadCredential=none:FILE"):
        Secret("none").read()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert Secret("hook").path == Path("/run/credentials/replguard.service/hook")


def test_a_file_for_everybody_is_a_fault_and_is_used(tmp_path: Path) -> None:
    """`check` tells it; an alert is not lost for it."""
    path = written(tmp_path / "token", "abc")
    path.chmod(0o644)
    with pytest.raises(ValueError, match="can be read by everybody: chmod o-rwx it"):
        Secret(str(path)).check()
    assert Secret(str(path)).read() == "abc"


def test_a_folder_or_nothing_is_told(tmp_path: Path) -> None:
    """Whatever lies there instead."""
    for path in (tmp_path, tmp_path / "none", Path(os.devnull, "x")):
        with pytest.raises(OSError, match="cannot be read"):
            Secret(str(path)).read()
