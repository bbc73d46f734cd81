"""Users and their passwords: a good one costs a hash once, guessing costs no more than a twentieth of a core."""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from typing import Literal

from replguard.events import clock

Verdict = Literal["yes", "no", "later"]
_REST = 19.0
"""Times as long as a guess took nobody at the same address is heard: a twentieth of a core."""
_REST_OF_ALL = 4.0
"""The same for all addresses together."""
_WAIT = 1.0
"""Seconds that one waits for another's guess."""
_MOST = 1_000
"""Addresses whose rest is remembered."""
_LONGEST = 72
"""Bytes of a password that bcrypt heeds, wherever it is made."""


class Users:
    """Names with the bcrypt hashes of their passwords. Safe from any thread."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        self._known = dict(known)
        self._key = secrets.token_bytes(32)
        self._good: dict[str, bytes] = {}
        self._guess = threading.Lock()
        self._rest: dict[str, float] = {}
        self._rest_of_all = 0.0

    def allows(self, header: str | None, who: str) -> Verdict:
        """Return whether the value of an Authorization header names a user and the password.

        ``who`` is the address that asks. ``later``: it, or somebody, guessed just now, and it was not looked at.
        """
        if not self._known:
            return "yes"
        given = _parsed(header)
        if given is None:
            return "no"
        name, password = given
        told = hmac.digest(self._key, password, hashlib.sha256)
        if name in self._good and hmac.compare_digest(self._good[name], told):
            return "yes"
        if not self._guess.acquire(timeout=_WAIT):
            return "later"
        try:
            return self._guessed(name, password, told, who)
        finally:
            self._guess.release()

    def _guessed(self, name: str, password: bytes, told: bytes, who: str) -> Verdict:
        now = clock.monotonic()
        if now < max(self._rest_of_all, self._rest.get(who, 0.0)):
            return "later"
        # Of a name that nobody has, the time is as long.
        right = _fits(password, self._known.get(name) or next(iter(self._known.values()))) and name in self._known
        took = clock.monotonic() - now
        self._rest_of_all = now + took * (1 + _REST_OF_ALL)
        if len(self._rest) >= _MOST:
            self._rest = {each: until for each, until in self._rest.items() if until > now}
        if len(self._rest) < _MOST:
            self._rest[who] = now + took * (1 + _REST)
        if right:
            self._good[name] = told
            self._rest.pop(who, None)
        return "yes" if right else "no"


def _fits(password: bytes, known: bytes) -> bool:
    import bcrypt  # only where passwords are asked for

    try:
        return bcrypt.checkpw(password[:_LONGEST], known)
    except ValueError:
        return False


def _parsed(header: str | None) -> tuple[str, bytes] | None:
    """Return user and password of a header (RFC 7617), None if it has none."""
    kind, _, coded = (header or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(coded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None
