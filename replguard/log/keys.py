"""The keys that sign the log: each is in use for one segment, vouches for the next one, and is then forgotten."""

import base64
import hashlib
from pathlib import Path

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from replguard import wholefile

SEED = 32
"""Bytes of a private key (RFC 8032)."""


class _File(msgspec.Struct, frozen=True):
    """What the file holds: the seed of the key in use, and of the one that may have taken its place."""

    current: bytes
    coming: bytes | None = None


class Keys:
    """The key of one stream, in a file that only its owner reads.

    A new key is on the disk before anything tells of it, and the old one goes when the new one was told: whatever the
    moment of a crash, the file holds the key of the newest segment. ``trouble`` says why the file cannot be written:
    the log goes on, and after the next start nobody vouches for its keys.
    """

    def __init__(self, path: Path) -> None:
        self.trouble: str | None = None
        self._path = path
        self._key: SigningKey | None = None
        self._coming: SigningKey | None = None

    def open(self, told: str | None) -> bool:
        """Read the key whose public half the newest segment tells; without one make the first.

        False if the file does not hold the key that is told: nobody vouches for what is written from now on.
        """
        held = self._read()
        for seed in (held.coming, held.current) if held else ():
            if seed is not None and told == public(SigningKey(seed)):
                self._key = SigningKey(seed)
                return True
        self._key = SigningKey.generate()
        self._write()
        return told is None

    def succeed(self) -> str:
        """Make the key that comes next, and return its public half."""
        self._coming = SigningKey.generate()
        self._write()
        return public(self._coming)

    def taken_over(self) -> None:
        """Forget the old key: the new one was told."""
        self._key, self._coming = self._coming, None
        self._write()

    @property
    def public(self) -> str:
        """The public half of the key in use."""
        return public(self._in_use())

    def sign(self, data: bytes) -> str:
        """Return the signature by the key in use."""
        return text(self._in_use().sign(data).signature)

    def _in_use(self) -> SigningKey:
        if self._key is None:
            raise RuntimeError("the keys were not opened")
        return self._key

    def _read(self) -> _File | None:
        try:
            held = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except (OSError, msgspec.DecodeError):
            return None
        return held if all(len(seed) == SEED for seed in (held.current, held.coming) if seed is not None) else None

    def _write(self) -> None:
        coming = bytes(self._coming) if self._coming is not None else None
        data = msgspec.json.encode(_File(bytes(self._in_use()), coming))
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            wholefile.write(self._path, data, flush=True)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror or error}"
        else:
            self.trouble = None


def public(key: SigningKey) -> str:
    """Return the public half of a key as it is told."""
    return text(bytes(key.verify_key))


def short(key: str) -> str:
    """Return a key as people compare it: 16 hexadecimal digits of its hash."""
    return hashlib.sha256(base64.b64decode(key)).hexdigest()[:16]


def text(data: bytes) -> str:
    """Return bytes as they stand in the log."""
    return base64.b64encode(data).decode()


def note(signed: bytes, name: str, key: str, signature: str) -> str:
    """Return a signed note (C2SP signed-note): the text, an empty line, and the signature of a named Ed25519 key."""
    about = hashlib.sha256(f"{name}\n".encode() + b"\x01" + base64.b64decode(key)).digest()[:4]
    return f"{signed.decode()}\n— {name} {text(about + base64.b64decode(signature))}\n"


class Verifier:
    """Checks signatures by one key. Raises ValueError for what is no key."""

    def __init__(self, key: str) -> None:
        self._key = VerifyKey(base64.b64decode(key, validate=True))

    def holds(self, data: bytes, signature: str) -> bool:
        """Tell whether a signature is this key's and is over the data."""
        try:
            found = base64.b64decode(signature, validate=True)
            self._key.verify(data, found)
        except (BadSignatureError, ValueError, TypeError):
            return False
        return text(found) == signature
