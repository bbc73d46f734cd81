"""Secrets that stand in files of their own, or that systemd hands to the service: read at each use, never shown."""

import os
import stat
from pathlib import Path

_SERVICE = "/run/credentials/replguard.service"
"""Where systemd keeps what ``LoadCredential=`` names, for whoever asks outside of the service."""
_LARGEST = 16 * 2**10


class Secret:
    """The one line of a file. A name without a slash is that of a systemd credential."""

    def __init__(self, name: str) -> None:
        self._name = name
        folder = os.environ.get("CREDENTIALS_DIRECTORY") or _SERVICE
        self.path = Path(name) if "/" in name else Path(folder, name)

    def read(self) -> str:
        """Return it. Raises OSError with a sentence that says what to do, and quotes nothing of it."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            made = "" if "/" in self._name else f"; the unit needs LoadCredential={self._name}:FILE"
            raise OSError(error.errno, f"{self.path} cannot be read: {error.strerror}{made}") from error
        text = data.decode("ascii", "replace").strip()
        if not text or len(data) > _LARGEST or not (text.isascii() and text.isprintable()):
            raise OSError(0, f"{self.path} has to hold one line of plain characters")
        return text

    def check(self) -> str:
        """Return it. Raises ValueError where it cannot be read, or can be read by everybody."""
        try:
            text, mode = self.read(), self.path.stat().st_mode
        except OSError as error:
            raise ValueError(error.strerror) from error
        if mode & stat.S_IROTH:
            raise ValueError(f"{self.path} can be read by everybody: chmod o-rwx it")
        return text


def read(value: "str | Secret") -> str:
    """Return what stands in the configuration, or in the file that it names. Raises OSError."""
    return value.read() if isinstance(value, Secret) else value
