"""The egress ledger on disk, so that a restart forgives nothing. What is lost is told, and begins anew."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from replguard import wholefile
from replguard.events import wire
from replguard.events.event import Event
from replguard.events.identity import short_hash
from replguard.provenance.accounts import Account, Accounts, Line
from replguard.provenance.baseline import Change, changed

SOURCE = "egress ledger"
EVERY, AT_MOST = timedelta(seconds=1), timedelta(seconds=10)
"""How long after a change it is written: a daemon that is killed loses as much; nothing of what it told."""
RATE = 64 * 2**10
"""Bytes a second that are written on the average: a large ledger is written less often."""


class _Ledger(msgspec.Struct, kw_only=True):
    accounts: list[Account] = []
    lines: list[Line] = []
    rests: list[Line] = []


class _File(msgspec.Struct):
    """What is kept on disk, with a digest of it as it stands there."""

    digest: str
    ledger: msgspec.Raw


class Store:
    """Keeps accounts in one file. Trouble is told once, as a change of what is known, and tried again."""

    def __init__(self, path: Path | None, accounts: Accounts) -> None:
        self._path = path
        self._accounts = accounts
        self._dirty = self._soon = False
        self._written: datetime | None = None
        self._pause = EVERY
        self._failed = False
        self._news: list[str] = []

    def open(self, now: datetime, *, first_start: bool) -> None:
        """Load what was kept. Only at the first start of all is there nothing to load."""
        self._written = now
        self._dirty = self._soon = True  # a file that is there from the first start on is missed when it is gone
        try:
            data = self._path.read_bytes() if self._path is not None else None
        except FileNotFoundError:
            if not first_start:
                self._news.append("it is gone although the daemon has run here before: what was sent is counted anew")
            return
        except OSError as error:
            self._news.append(f"it cannot be read, what was sent is counted anew: {error}")
            return
        ledger = _decoded(data) if data is not None else _Ledger()
        if ledger is None:
            self._news.append("it is damaged or was changed by somebody else: what was sent is counted anew")
            return
        self._accounts.load(ledger.accounts, ledger.lines, ledger.rests)

    def changed(self) -> None:
        """Note that there is something to write."""
        self._dirty = True

    def soon(self) -> None:
        """Note that something was told: it is not to be told again after a restart."""
        self._dirty = self._soon = True

    def tick(self, now: datetime) -> list[Event]:
        """Write what changed, and return what has to be told."""
        if self._dirty and (self._soon or self._written is None or abs(now - self._written) >= self._pause):
            self._written = now
            self.save(now)
        told = [changed(Change(news, ours=False), now, SOURCE) for news in self._news]
        self._news.clear()
        return told

    def save(self, now: datetime) -> None:
        """Write everything, atomically."""
        if self._path is None or not self._dirty:
            return
        lines = [line for line in self._accounts.lines() if line.total(now)]
        accounts = [account for account in self._accounts if account.models(now)]
        ledger = msgspec.json.encode(_Ledger(accounts=accounts, lines=lines, rests=list(self._accounts.rests())))
        self._pause = min(AT_MOST, max(EVERY, timedelta(seconds=len(ledger) / RATE)))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            wholefile.write(self._path, msgspec.json.encode(_File(_digest(ledger), msgspec.Raw(ledger))))
        except OSError as error:
            if not self._failed:
                self._news.append(f"it cannot be written and would be lost with the daemon: {error}")
            self._failed = True
            return
        self._dirty = self._soon = self._failed = False


def _decoded(data: bytes) -> _Ledger | None:
    try:
        file = msgspec.json.decode(data, type=_File)
        return msgspec.json.decode(file.ledger, type=_Ledger) if file.digest == _digest(bytes(file.ledger)) else None
    except wire.UNREADABLE:
        return None


def _digest(data: bytes) -> str:
    return short_hash(data.decode())
