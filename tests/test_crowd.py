import pytest

from replguard import crowd
from replguard.crowd import EACH, ROOT, Crowd
from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.file import File
from replguard.events.health import Health
from replguard.events.process import Process, User


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still."""
    time = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: time[0])
    return time


def event(
    entity: str | None = None,
    user: int | None = None,
    action: str = "file_create",
    cgroup: str = "/a",
    *,
    pid: int | None = None,
    file: File | None = None,
) -> Event:
    return Event(
        timestamp=clock.now(),
        event=Meta(action=action),
        process=None if entity is pid is None else Process(pid=pid, entity_id=entity, cgroup=cgroup),
        user=None if user is None else User(id=user),
        file=file,
    )


def taken(one: Crowd, *events: Event, times: int = 10_000) -> int:
    return sum(one.takes(each, pressure=1.0) for _ in range(times // len(events)) for each in events)


def test_while_little_waits_everything_is_taken() -> None:
    """A burst is no flood."""
    one = Crowd()
    assert all(one.takes(event("p", 7), pressure=0.9) for _ in range(10 * ROOT))
    assert one.takes(event("p", 7), pressure=1.0)


def test_a_user_has_so_many_however_many_processes_he_makes(now: list[float]) -> None:
    """Others are not concerned; in the next second he has as many again."""
    one = Crowd()
    assert taken(one, *(event(f"p{number}", 7) for number in range(100))) == EACH
    assert taken(one, event("q", 8), times=EACH) == EACH
    now[0] += 1
    assert taken(one, event("p", 7)) == EACH


def test_what_a_process_does_is_its_users() -> None:
    """Of files and sockets the process alone is told; who runs it was told when it began."""
    one = Crowd()
    for number in range(10):
        one.takes(event(f"p{number}", 7, "process_exec"), pressure=0.9)
    assert taken(one, *(event(f"p{number}") for number in range(10))) == EACH
    assert taken(one, event("stranger")) == EACH
    assert taken(one, event()) == EACH


def test_what_is_looked_at_late_is_its_users_too() -> None:
    """Who ended meanwhile is known by his pid, what nobody saw made by its owner: others keep their shares."""
    one = Crowd()
    one.takes(event("p", 7, "process_exec", pid=3), pressure=0.9)
    found, late = event(file=File(path="/found", uid=8)), event(pid=3, file=File(path="/late", uid=8))
    assert taken(one, found) == EACH
    assert taken(one, late) == EACH
    assert taken(one, event("p")) == 0
    assert taken(one, event("q", 9), times=EACH) == EACH


def test_root_has_more_in_each_control_group() -> None:
    """In one container it keeps no other from being told."""
    one = Crowd()
    assert taken(one, event("a", 0, cgroup="/docker/a")) == ROOT
    assert taken(one, event("b", 0, cgroup="/docker/b")) == ROOT


def test_our_own_trouble_is_always_told() -> None:
    """What was lost must not be lost too."""
    one = Crowd()
    loss = Event(timestamp=clock.now(), event=Meta(action="sensor_health"), health=Health(component="x", state="loss"))
    assert taken(one, loss) == 10_000


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes there were."""
    monkeypatch.setattr(crowd, "_KNOWN", 10)
    one = Crowd()
    for number in range(100):
        one.takes(event(f"p{number}", 7), pressure=0.9)
    assert len(one._owners) == 20
    one._owners.clear()
    one._forget()


def test_the_more_waits_the_less_is_taken() -> None:
    """A host that carries through less than the shares are would else let the queue grow all the same."""
    one = Crowd()
    assert sum(one.takes(event("p", 7), pressure=2.0) for _ in range(EACH)) == EACH // 4
