"""What is handed in is ours by its name and its kind, or closed; a set is whole, or given up."""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import until
from support.keeping import Keeper, keeper

from replguard.kernel import keep
from replguard.kernel.keep import Kept, build

FORM = "a form"
RECEIVES = """
import json, os, sys
from replguard.kernel import keep
kept = keep.Kept()
kept.receive()
parts = kept.adopt("exec", "a form")
print(json.dumps({
    "parts": {part: [keep.kind(number), os.get_inheritable(number)] for part, number in parts.items()},
    "unfit": kept.unfit, "owners": sorted(kept.owners), "left": [key for key in os.environ if key.startswith("LISTEN")],
    "open": [number for number in range(3, 9) if os.path.lexists(f"/proc/self/fd/{number}")]}))
"""


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """A service manager that we are told of."""
    with keeper(tmp_path) as one:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield one


def name(part: str, parts: list[str], owner: str = "exec", form: str = FORM) -> str:
    return f"{owner}.{build(form, dict.fromkeys(parts))}.{part}"


def received(manager: Keeper, folder: Path, stored: list[tuple[str, int]], **given: str) -> dict[str, object]:
    """Return what a program finds that is started with these."""
    manager.stored += stored
    output = folder / "output"
    process = manager.start([sys.executable, "-c", RECEIVES], folder=Path.cwd(), output=output, **given)
    assert process.wait(60) == 0, output.read_text()
    found: dict[str, object] = json.loads(output.read_text())
    return found


def test_what_is_ours_is_taken_and_is_for_no_child(manager: Keeper, tmp_path: Path) -> None:
    """The variables are gone as well: what is handed in is so once."""
    stored = [(name(part, ["a", "b"]), os.eventfd(0)) for part in ("a", "b")]
    found = received(manager, tmp_path, stored)
    assert found["parts"] == {"a": ["counter", False], "b": ["counter", False]}
    assert (found["unfit"], found["left"]) == ({}, [])


def test_what_is_of_another_kind_or_name_is_closed(manager: Keeper, tmp_path: Path) -> None:
    """Files, sockets, pipes and epoll; names that are not as ours, and a second one of the same name."""
    others = [os.memfd_create("x"), os.open("/dev/null", os.O_RDONLY), os.pipe()[0], select.epoll().fileno()]
    others = [os.dup(other) for other in others]
    stored = [(name("a", ["a"]), other) for other in others]
    stored += [("stored", os.eventfd(0)), ("../../x.0.a", os.eventfd(0)), ("", os.eventfd(0))]
    stored += [(name("a", ["a"]), os.eventfd(0)), (name("a", ["a"]), os.eventfd(0))]
    found = received(manager, tmp_path, stored)
    assert found["parts"] == {"a": ["counter", False]}
    assert found["owners"] == ["exec"]


@pytest.mark.parametrize("missing", [True, False])
def test_a_set_that_is_not_whole_or_of_another_form_is_given_up(manager: Keeper, tmp_path: Path, missing: bool) -> None:
    """A store that was full has lost a part; another version made the parts otherwise."""
    stored = [(name("a", ["a", "b"]), os.eventfd(0))] if missing else [(name("a", ["a"], form="new"), os.eventfd(0))]
    found = received(manager, tmp_path, stored)
    assert found["parts"] == {}
    assert found["unfit"] == {"exec": keep.UNFIT}
    assert found["open"] == []
    until(lambda: f"FDSTOREREMOVE=1\nFDNAME={stored[0][0]}" in manager.said)
    assert manager.names == []


@pytest.mark.parametrize("pid", ["1", "", "x", "-3"])
def test_what_is_meant_for_another_process_is_left_alone(
    manager: Keeper, monkeypatch: pytest.MonkeyPatch, pid: str
) -> None:
    """A shell in between hands on both the variables and the descriptors."""
    inherited = os.eventfd(0)
    monkeypatch.setattr(keep, "FIRST", inherited)
    kept = Kept()
    given = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "LISTEN_FDNAMES": name("a", ["a"])}
    kept.receive(given)
    assert (kept.owners, given) == (set(), {})
    os.close(inherited)


@pytest.mark.parametrize("count", ["", "x", "-1", "9" * 99])
def test_a_count_that_makes_no_sense_is_no_trouble(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    """Numbers at which nothing is open are passed over."""
    monkeypatch.setattr(keep, "FIRST", 60_000)
    kept = Kept()
    kept.receive({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": ":" * 2000})
    assert kept.owners == set()


def test_a_new_set_takes_the_place_of_the_one_before(manager: Keeper) -> None:
    """So that what failed is not found again at the next start."""
    kept, first, second = Kept(), os.eventfd(0), os.eventfd(0)
    kept.keep("exec", FORM, {"a": first, "b": second})
    kept.keep("names", FORM, {"a": first})
    kept.keep("exec", FORM, {"a": second})
    until(lambda: manager.names == [name("a", ["a"], "names"), name("a", ["a"])])
    assert manager.names == [name("a", ["a"], "names"), name("a", ["a"])]
    assert all("FDPOLL=0" in said for said in manager.said if said.startswith("FDSTORE=1"))
    kept.drop("exec")
    until(lambda: len(manager.names) == 1)
    for descriptor in (first, second):
        os.close(descriptor)


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor with one that is gone, nor with one that does not answer."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    kept, one = Kept(), os.eventfd(0)
    kept.keep("exec", FORM, {"a": one})
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    kept.keep("exec", FORM, {"a": one})
    kept.drop("exec")
    kept.release()
    assert kept.adopt("exec", FORM) == {}
    os.close(one)


def test_what_nobody_went_on_with_is_kept_no_more(manager: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all have begun; who has not yet may still."""
    numbers = [os.eventfd(0) for _ in range(3)]
    first = 300
    for place, number in enumerate(numbers):
        os.dup2(number, first + place)
    monkeypatch.setattr(keep, "FIRST", first)
    kept, owners = Kept(), ("exec", "gone", "late")
    names = [name("a", ["a"], owner) for owner in owners]
    kept.receive({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": ":".join(names)})
    assert kept.owners == set(owners)
    (mine,) = kept.adopt("exec", FORM).values()
    os.close(mine)
    kept.adopted.add("exec")
    kept.release(["late"])
    assert set(kept.unfit) == {"gone"}
    assert [os.path.lexists(f"/proc/self/fd/{first + place}") for place in range(3)] == [False, False, True]
    kept.release()
    until(lambda: [said for said in manager.said if "REMOVE" in said])
    assert set(kept.unfit) == {"gone", "late"}
    for number in numbers:
        os.close(number)


def test_no_socket_is_taken_for_ours(tmp_path: Path) -> None:
    """What a service manager listens at for others is of no kind that we keep."""
    with socket.socket(socket.AF_UNIX) as one:
        assert keep.kind(one.fileno()) is None
    assert keep.kind(99_999) is None
    assert subprocess.run(["true"], check=False).returncode == 0
