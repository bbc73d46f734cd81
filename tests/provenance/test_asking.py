"""What the examiner refused, or could not tell yet, is asked again."""

import pytest

from replguard.events import clock
from replguard.events.file import File
from replguard.provenance import asking as module
from replguard.provenance.asking import Asking
from replguard.weights.examiner import Examination, Request


class Busy:
    """An examiner that takes so many requests and refuses the others."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[Request] = []
        self.refused: list[Request] = []

    def submit(self, request: Request) -> bool:
        """Take it if there is room."""
        took = self.room > len(self.taken)
        (self.taken if took else self.refused).append(request)
        return took


def file(inode: int, uid: int | None = 1000) -> File:
    return File(path=f"/srv/{inode}", device=1, inode=inode, uid=uid)


def test_a_refused_file_is_asked_again_until_there_is_room() -> None:
    """Marked as asked before; and never again once it was taken."""
    examiner = Busy(0)
    asking = Asking(examiner.submit)
    asking.ask(file(1), "file_close_write")
    asking.tick(index_ready=False)
    assert [(one.again, one.uid, one.reason) for one in examiner.refused] == [
        (False, 1000, "file_close_write"),
        (True, 1000, "file_close_write"),
    ]
    examiner.room = 5
    asking.tick(index_ready=False)
    asking.tick(index_ready=False)
    assert [(one.inode, one.again) for one in examiner.taken] == [(1, True)]
    assert asking.evicted == 0


def test_what_is_remembered_is_bounded_and_shared_fairly(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user's flood leaves room for the file of another, which has its turn at once."""
    monkeypatch.setattr(module, "MOST", 20)
    examiner = Busy(0)
    asking = Asking(examiner.submit)
    for inode in range(100):
        asking.ask(file(inode), "file_close_write")
    asking.ask(file(500, uid=0), "file_close_write")
    assert asking.evicted == 90
    examiner.room = 2
    asking.tick(index_ready=True)
    assert [one.uid for one in examiner.taken] == [1000, 0]
    assert asking.evicted == 90


def test_what_the_index_could_not_tell_waits_for_it() -> None:
    """With the owner that it was first asked for; refused then, it is asked once more."""
    examiner = Busy(0)
    asking = Asking(examiner.submit)
    asked = Request("/srv/1", 1, 1, "file_close_write", 7)
    asking.undecided(Examination(asked, clock.now(), "/srv/1", device=1, inode=1, size=5))
    asking.tick(index_ready=False)
    assert examiner.refused == []
    asking.tick(index_ready=True)
    assert [(one.uid, one.again) for one in examiner.refused] == [(7, False)]
    examiner.room = 1
    asking.tick(index_ready=False)
    assert [(one.path, one.inode, one.uid) for one in examiner.taken] == [("/srv/1", 1, 7)]


def test_one_who_answers_nothing_has_refused_nothing() -> None:
    """Only False is a refusal."""
    taken: list[Request] = []
    asking = Asking(taken.append)
    asking.ask(file(1), "file_grow")
    asking.tick(index_ready=True)
    assert len(taken) == 1


def test_the_rank_of_who_made_a_file_stays_with_it() -> None:
    """However often it is asked about again."""
    examiner = Busy(0)
    asking = Asking(examiner.submit)
    asking.ask(file(1), "file_close_write", rank="toucher")
    asking.tick(index_ready=False)
    asking.undecided(Examination(examiner.refused[0], clock.now(), "/srv/2", 1, 2))
    asking.tick(index_ready=True)
    assert [(one.inode, one.rank) for one in examiner.refused[1:]] == [(1, "toucher")] * 2 + [(2, "toucher")]


def test_a_file_waits_for_the_model_that_it_is_most_likely_of() -> None:
    """Not for the whole index; once for each such model, and at last for all."""
    examiner = Busy(9)
    asking = Asking(examiner.submit)
    answer = Examination(Request("/srv/1", 1, 1), clock.now(), "/srv/1", device=1, inode=1)
    asking.undecided(answer, frozenset({"llama", "qwen"}))
    for indexed, taken in ((set(), 0), ({"other"}, 0), ({"other", "llama"}, 1)):
        asking.tick(index_ready=False, indexed=lambda: frozenset(indexed))  # noqa: B023 - asked at once
        assert len(examiner.taken) == taken
    asking.undecided(answer, frozenset({"llama", "qwen"}))
    asking.tick(index_ready=False, indexed=lambda: frozenset({"other", "llama"}))
    assert len(examiner.taken) == 1
    asking.tick(index_ready=False, indexed=lambda: frozenset({"qwen", "llama"}))
    assert len(examiner.taken) == 2
    asking.undecided(answer)
    asking.tick(index_ready=True)
    assert len(examiner.taken) == 3
