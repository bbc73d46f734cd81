"""The keys that sign the log: each is in use for one segment, vouches for the next one, and is then forgotten."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from replguard import wholefile
from replguard.events import wire

EARLIER = 16
"""Keys that are kept at most while no header that tells of a later one gets onto the disk."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A private key, with its public half and that of the key that vouches for it (None for the first of all)."""

    private: SigningKey
    public: str
    by: str | None


class _Held(msgspec.Struct, frozen=True):
    """A key as the file holds it: its seed, and the public half of the one that vouches for it."""

    seed: bytes
    by: str | None = None


class _File(msgspec.Struct, frozen=True):
    """What the file holds, the oldest first: the keys of segments that may be the newest on the disk, and the next."""

    held: tuple[_Held, ...]


class Keys:
    """The key of one stream, in a file that only its owner reads.

    A key is on the disk before anything tells of it (``prepare``), and it goes when a header is there that tells of
    the next one (``forget``): whatever the moment of a crash, the file holds the key of the newest segment. Those two
    wait for the disk; nothing else does. ``trouble`` says why the file cannot be written: the log goes on, and after
    the next start nobody vouches for its keys.
    """

    def __init__(self, path: Path) -> None:
        self.trouble: str | None = None
        self._path = path
        self._key: _Key | None = None
        self._coming: _Key | None = None
        self._earlier: list[_Key] = []

    @property
    def are_there(self) -> bool:
        """Whether the file holds any."""
        return bool(self._read())

    def knows(self, key: str | None, by: str | None) -> bool:
        """Tell whether the file holds a key, vouched for by that other one: only the newest header tells of both."""
        return by is not None and any((each.public, each.by) == (key, by) for each in self._read())

    def open(self, told: str | None) -> bool:
        """Take up the key whose public half the newest segment tells; without one make the first.

        False if the file does not hold the key that is told: nobody vouches for what is written from now on.
        """
        for each in reversed(self._read()):
            if each.public == told:
                self._key = each
                return True
        self._key = _new(None)
        return told is None

    def prepare(self) -> None:
        """Have the key that comes next, and the one in use, on the disk."""
        if self._coming is None or self.trouble is not None:
            self._coming = self._coming or _new(self.public)
            self._write()

    def succeed(self) -> str:
        """Return the public half of the key that comes next."""
        if self._coming is None:
            self.prepare()
        return _there(self._coming).public

    def taken_over(self) -> None:
        """Sign by the key that came next from now on: it was told."""
        self._earlier = [*self._earlier[1 - EARLIER :], _there(self._key)]
        self._key, self._coming = self._coming, None

    def forget(self) -> None:
        """Let go of the keys before the one in use, with the next ``prepare``: its header is on the disk."""
        self._earlier = []

    @property
    def public(self) -> str:
        """The public half of the key in use."""
        return _there(self._key).public

    def sign(self, data: bytes) -> str:
        """Return the signature by the key in use."""
        return text(_there(self._key).private.sign(data).signature)

    def _read(self) -> list[_Key]:
        try:
            held = msgspec.json.decode(self._path.read_bytes(), type=_File).held
            return [_made(SigningKey(each.seed), each.by) for each in held]
        except (OSError, *wire.UNREADABLE, ValueError):
            return []

    def _write(self) -> None:
        keys = [*self._earlier, _there(self._key), *filter(None, [self._coming])]
        data = msgspec.json.encode(_File(tuple(_Held(bytes(each.private), each.by) for each in keys)))
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            wholefile.write(self._path, data, flush=True)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror or error}"
        else:
            self.trouble = None


def _new(by: str | None) -> _Key:
    return _made(SigningKey.generate(), by)


def _made(private: SigningKey, by: str | None) -> _Key:
    return _Key(private, public(private), by)


def _there(key: _Key | None) -> _Key:
    if key is None:
        raise RuntimeError("the keys were not opened")
    return key


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
