"""Accounts of what was sent: by principal, model and destination, by days, for thirty of them after a touch.

Only who touched a model has an account. A line is of one destination; the total of an account is of all of them, so
that many destinations and models add up. An owner is whom a flood of names must not make larger: who starts programs
under a thousand paths has a thousand principals and is one owner still. Full, the owner who has most loses his oldest;
of an account that goes its bytes stay, in one line for all such of its owner.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from replguard.fair import Fair

KEEPS = timedelta(days=30)
"""How long a touch and what was sent after it count (meanings: Touched)."""
MOST_ACCOUNTS, MOST_LINES = 1024, 8192
MOST_MODELS = 64
"""Models of one account; of more, the one that was touched longest ago is let go."""
EVERYWHERE = ""
"""The destination of a line that adds up all of them."""
_DAYS = KEEPS.days


class Day(msgspec.Struct):
    """Bytes of one day, and when the first of them was sent."""

    bytes: int
    first: datetime


class Line(msgspec.Struct, kw_only=True):
    """What was sent to one destination after a model was touched. ``told`` is the threshold that was told last."""

    principal: str
    owner: str
    model: str = ""
    destination: str = EVERYWHERE
    days: dict[int, Day] = {}
    protocols: list[str] = []
    told: int = 0

    def count(self, amount: int, protocol: str | None, when: datetime, limit: int) -> bool:
        """Count bytes; True if the total passes the limit, its double, its quadruple … of which it was not told yet.

        What was told is forgotten once half of it has gone by: then it is news again.
        """
        for gone in [day for day in self.days if day <= _day(when) - _DAYS]:
            del self.days[gone]
        if 2 * self.total(when) < self.told:
            self.told = threshold(self.total(when), limit)
        day = self.days.setdefault(_day(when), Day(0, when))
        day.bytes, day.first = day.bytes + amount, min(day.first, when)
        if protocol is not None and protocol not in self.protocols:
            self.protocols.append(protocol)
        return self.news(when, limit)

    def take_back(self, amount: int, when: datetime, limit: int) -> None:
        """Undo what was counted at a time: it was another's, and what was told of it is told again of that one."""
        day = self.days.get(_day(when))
        if day is not None:
            day.bytes = max(0, day.bytes - amount)
        self.told = min(self.told, threshold(self.total(when), limit))

    def total(self, now: datetime) -> int:
        """Return the bytes of the last thirty days."""
        return sum(day.bytes for number, day in self.days.items() if number > _day(now) - _DAYS)

    def since(self, now: datetime) -> datetime | None:
        """Return when the first of them was sent."""
        kept = [day.first for number, day in self.days.items() if day.bytes and number > _day(now) - _DAYS]
        return min(kept, default=None)

    def news(self, now: datetime, limit: int) -> bool:
        """Whether the total has passed a threshold since one was told last."""
        passed = threshold(self.total(now), limit)
        news = passed > self.told
        self.told = max(self.told, passed)
        return news


class Touch(msgspec.Struct):
    """When a model was touched last, and one file of it."""

    when: datetime
    path: str | None = None


class Account(msgspec.Struct, kw_only=True):
    """What one principal touched, and all that it has sent since."""

    principal: str
    owner: str
    touched: dict[str, Touch] = {}
    total: Line

    def models(self, now: datetime) -> list[str]:
        """Return the models whose touch still holds, the one that was touched last first."""
        held = [model for model, touch in self.touched.items() if now - touch.when < KEEPS]
        return sorted(held, key=lambda model: self.touched[model].when, reverse=True)

    def untouch(self, model: str, when: datetime, before: datetime | None) -> None:
        """Take back a touch, if no other came since: it was somebody else's."""
        touch = self.touched.get(model)
        if touch is not None and touch.when == when and before is not None:
            touch.when = before
        elif touch is not None and touch.when == when:
            del self.touched[model]


class Accounts:
    """All accounts, within bounds."""

    def __init__(self, accounts: int = MOST_ACCOUNTS, lines: int = MOST_LINES) -> None:
        self._accounts: Fair[str, Account] = Fair(accounts, self._folded)
        self._lines: Fair[tuple[str, str, str], Line] = Fair(lines)
        self._rests: Fair[str, Line] = Fair(accounts)

    @property
    def evicted(self) -> int:
        """How many accounts and lines were forgotten for want of room."""
        return self._accounts.evicted + self._lines.evicted + self._rests.evicted

    def find(self, principal: str, now: datetime) -> Account | None:
        """Return the account of a principal who touched anything in the last thirty days."""
        account = self._accounts.get(principal)
        if account is None or not account.touched:
            return None
        newest = max(touch.when for touch in account.touched.values())
        if now - newest >= KEEPS:
            self._accounts.pop(principal)
            return None
        return account

    def touch(self, principal: str, owner: str, model: str, path: str | None, now: datetime) -> datetime | None:
        """Note that a principal touched a model; return when it had done so before."""
        account = self.find(principal, now) or Account(
            principal=principal, owner=owner, total=Line(principal=principal, owner=owner)
        )
        before = account.touched.pop(model, None)
        account.touched[model] = Touch(now, path or (before.path if before else None))
        if len(account.touched) > MOST_MODELS:
            del account.touched[next(iter(account.touched))]
        self._accounts.put(principal, account, account.owner)
        return before.when if before is not None else None

    def line(self, account: Account, model: str, destination: str) -> Line:
        """Return the line of a destination, the newest of its owner's from now on."""
        key = (account.principal, model, destination)
        line = self._lines.get(key) or Line(
            principal=account.principal, owner=account.owner, model=model, destination=destination
        )
        self._lines.put(key, line, account.owner)
        return line

    def rest(self, owner: str) -> Line | None:
        """Return the line of what accounts of an owner had sent that were forgotten."""
        return self._rests.get(owner)

    def lines(self) -> Iterator[Line]:
        """Yield the line of every destination."""
        yield from self._lines.values()

    def __iter__(self) -> Iterator[Account]:
        yield from self._accounts.values()

    def rests(self) -> Iterator[Line]:
        """Yield the lines of what was forgotten."""
        yield from self._rests.values()

    def load(self, accounts: list[Account], lines: list[Line], rests: list[Line]) -> None:
        """Take back what was kept on disk."""
        for account in accounts:
            self._accounts.put(account.principal, account, account.owner)
        for line in lines:
            self._lines.put((line.principal, line.model, line.destination), line, line.owner)
        for line in rests:
            self._rests.put(line.owner, line, line.owner)

    def _folded(self, account: Account) -> None:
        rest = self._rests.get(account.owner) or Line(principal=account.owner, owner=account.owner)
        for number, day in account.total.days.items():
            kept = rest.days.setdefault(number, Day(0, day.first))
            kept.bytes, kept.first = kept.bytes + day.bytes, min(kept.first, day.first)
        rest.protocols += [each for each in account.total.protocols if each not in rest.protocols]
        self._rests.put(account.owner, rest, account.owner)


def threshold(total: int, limit: int) -> int:
    """Return which of limit, 2 × limit, 4 × limit … a total has passed last, 0 for none."""
    times = total // max(1, limit)
    return max(1, limit) << (times.bit_length() - 1) if times else 0


def _day(when: datetime) -> int:
    return when.astimezone(UTC).toordinal()
