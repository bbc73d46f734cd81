"""The ledger on disk: a restart forgives nothing, and what is lost is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from replguard.events.event import Event
from replguard.provenance.accounts import Accounts
from replguard.provenance.egress_store import EVERY, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + EVERY


def filled(path: Path | None) -> tuple[Store, Accounts]:
    """Return a store at its first start, and accounts with something in them."""
    accounts = Accounts()
    store = Store(path, accounts)
    store.open(START, first_start=True)
    accounts.touch("p", "o", "llama", "/m", START)
    account = accounts.find("p", START)
    assert account is not None
    for line in (account.total, accounts.line(account, "llama", "far")):
        assert line.count(70, "tcp", START, 50)
    store.changed()
    return store, accounts


def reopened(path: Path) -> tuple[list[Event], Accounts]:
    """Return what a later start tells, and what it knows."""
    accounts = Accounts()
    store = Store(path, accounts)
    store.open(LATER, first_start=False)
    return store.tick(LATER), accounts


def difference(told: list[Event]) -> str:
    (event,) = told
    assert event.action == "authority_change"
    assert event.replguard is not None
    assert (event.replguard.source, event.replguard.attribution) == ("egress ledger", "unknown")
    assert event.replguard.actor is not None
    assert event.replguard.actor.standing == "session"
    return event.replguard.difference or ""


def test_a_restart_keeps_what_was_sent_and_told(tmp_path: Path) -> None:
    """Nothing is told anew, and the next threshold is the next."""
    store, _ = filled(tmp_path / "state" / "egress.json")
    assert store.tick(LATER) == []
    told, accounts = reopened(tmp_path / "state" / "egress.json")
    assert told == []
    account = accounts.find("p", LATER)
    assert account is not None
    assert account.touched["llama"].path == "/m"
    assert accounts.evicted == 0
    line = accounts.line(account, "llama", "far")
    assert (line.total(LATER), line.protocols, line.told) == (70, ["tcp"], 50)
    assert not line.news(LATER, 50)
    assert line.count(30, "udp", LATER, 50)
    assert account.total.total(LATER) == 70


def test_it_is_written_now_and_then_and_at_once_when_something_was_told(tmp_path: Path) -> None:
    """What changed waits a moment; what was told is not to be told again after a crash."""
    path = tmp_path / "egress.json"
    store, accounts = filled(path)
    store.tick(START)
    before = path.read_bytes()
    accounts.touch("q", "o", "llama", None, START)
    store.changed()
    store.tick(START + timedelta(seconds=0.5))
    assert path.read_bytes() == before
    store.soon()
    store.tick(START + timedelta(seconds=0.6))
    assert path.read_bytes() != before
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "gone although the daemon has run"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"bytes":70', b'"bytes":10')), "damaged"),
        (lambda path: path.write_bytes(b'{"digest": "x", "ledger": {}}'), "damaged"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "damaged"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
    ids=["gone", "empty", "cut", "changed", "forged", "binary", "folder"],
)
def test_a_ledger_that_was_lost_is_told(tmp_path: Path, damage: object, says: str) -> None:
    """Once, as something that is known no more, and never taken for a first start."""
    path = tmp_path / "egress.json"
    store, _ = filled(path)
    store.save(LATER)
    damage(path)  # type: ignore[operator]
    told, accounts = reopened(path)
    assert says in difference(told[:1])
    assert accounts.find("p", LATER) is None


def test_the_first_start_has_nothing_to_lose(tmp_path: Path) -> None:
    """And leaves a file, so that the next start misses it when it is gone."""
    store = Store(tmp_path / "egress.json", Accounts())
    store.open(START, first_start=True)
    assert store.tick(START) == []
    assert msgspec.json.decode((tmp_path / "egress.json").read_bytes())["ledger"]
    assert reopened(tmp_path / "egress.json")[0] == []


def test_what_cannot_be_written_is_told_once_and_tried_again(tmp_path: Path) -> None:
    """A file where the folder has to be."""
    store, _ = filled(tmp_path / "state" / "egress.json")
    (tmp_path / "state").write_text("in the way")
    assert "cannot be written" in difference(store.tick(LATER))
    assert store.tick(LATER + EVERY) == []
    (tmp_path / "state").unlink()
    assert store.tick(LATER + 2 * EVERY) == []
    assert reopened(tmp_path / "state" / "egress.json")[1].find("p", LATER) is not None


def test_without_a_place_nothing_is_kept() -> None:
    """As in a replay or a test."""
    store, _ = filled(None)
    store.soon()
    assert store.tick(LATER) == []


def test_what_has_gone_by_is_not_written(tmp_path: Path) -> None:
    """Neither touches nor lines of more than thirty days ago."""
    path = tmp_path / "egress.json"
    store, _ = filled(path)
    store.save(START + timedelta(days=31))
    kept = msgspec.json.decode(path.read_bytes())["ledger"]
    assert (kept["accounts"], kept["lines"]) == ([], [])
