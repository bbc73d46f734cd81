"""The ways to copy weights with the hooks of Linux 5.15 only: what each row of the table still tells, and what not."""

import subprocess
import time
from dataclasses import dataclass

import pytest
from support import ground, ways

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
ROWS = [way for way in ways.COMMANDS if way.name != "through-bind"]
"""The way through a bind mount needs one that is made for it; what it loses is what `cp` loses."""
PROGRESS, MEMORY = ways.ALL["progress"], ways.ALL["mem"]


@dataclass(frozen=True)
class Played:
    """The ground, and the pid by which each way was gone; a way that the machine lacks has none."""

    ground: ground.Ground
    pids: dict[str, int]

    def lost(self, way):
        """Return what is not told of a way: the use, the copy, or who made the copy by the kernel's word."""
        one, pid = self.ground, self.pids[way.name]
        source, target = str(one.source(way)), str(one.target(way))
        copies = [f for f in one.facts("weights_copy") if f["file"]["path"].endswith(target)]
        uses = [f for f in one.facts("weights_access") if f["file"]["path"] == source and who(f, pid, child=way.child)]
        lost = set() if way.access is None or way.access_by is None or uses else {"access"}
        if not any(f["replguard"]["status"] == "done" for f in copies):
            return lost | {"copy"}
        by_whom = way.copy_by is None or any(one.acted(f, pid, child=way.child, by=way.copy_by) for f in copies)
        return lost if by_whom else lost | {"who"}


def who(fact, pid, *, child):
    process = fact.get("process") or {}
    return pid == ((process.get("parent") or {}).get("pid") if child else process.get("pid"))


def wait(condition):
    """Wait until something holds, or for as long as a fact is waited for; the tests say what was wrong."""
    deadline = time.monotonic() + ground.SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Go every way once; then the tests ask what was told."""
    with ground.running(
        tmp_path_factory.mktemp("ground"), {"sensors": {"hooks": "5.15"}}, [*ROWS, PROGRESS, MEMORY]
    ) as one:
        held, pids = [], {}
        for way in ROWS:
            if {way.source, way.target} & one.lacking.keys():
                continue
            target = one.target(way)
            places = {"source": one.source(way), "target": target, "to": target.parent, **one.programs}
            process = one.start(*[word.format(**places) for word in way.command])
            pids[way.name] = process.pid
            if way.until is None:
                process.stdin.close()
                assert process.wait(30) == 0
            else:
                held.append((way, process))
        one.settle()
        done = Played(one, pids)
        mapped = [way for way in ROWS if way.until == "access" and way.name in pids]
        wait(lambda: all("access" not in done.lost(way) for way in mapped))
        for process in (process for way, process in held if way.until == "access"):
            process.stdin.close()
            assert process.wait(30) == 0
        yield done
        # Judged is what is told while their makers live: of a namespace whose last process ended nothing can be.
        wait(lambda: all(done.lost(way) == way.lost for way in ROWS if way.name in pids))
        for process in (process for way, process in held if way.until == "copy"):
            process.stdin.close()
            assert process.wait(30) == 0
        one.settle()
        now = {way.name: done.lost(way) for way in ROWS if way.name in pids}
        assert now == {way.name: set(way.lost) for way in ROWS if way.name in pids}


@pytest.mark.parametrize("way", ROWS, ids=lambda way: way.name)
def test_a_row_loses_what_it_says(played, way):
    """What is told of the way with the hooks of 5.15 is what the table says: no less, and no more."""
    if way.name not in played.pids:
        pytest.skip("; ".join(played.ground.lacking.values()))
    wait(lambda: played.lost(way) == way.lost)
    about = "\n".join(map(ground.brief, played.ground.about(played.ground.source(way), played.ground.target(way))))
    assert played.lost(way) == way.lost, about


def test_an_open_is_a_use_there(played):
    """How much is read is not known, and the facts say so: what they go by is the open."""
    one, pid = played.ground, played.pids["cat"]
    fits = (f for f in one.facts("weights_access") if who(f, pid, child=False))
    about = next(fits)["replguard"]
    assert (about["precision"], about.get("bytes"), about.get("share")) == ("open", None, None)


def test_a_copy_in_progress_is_told_there(played):
    """A writer that never closes its file is told as having started, also there."""
    one = played.ground
    source, target = one.need(PROGRESS)
    with one.start(one.programs["piece"], source, target, 0, -1, 0, "hold", stdout=subprocess.PIPE) as writer:
        try:

            def fits(fact):
                started = fact["file"]["path"] == str(target) and fact["replguard"]["status"] == "started"
                return started and one.acted(fact, writer.pid)

            assert one.fact("weights_copy", fits, source, target)["replguard"]["origin"]["path"] == str(source)
        finally:
            writer.kill()


def test_the_memory_file_of_a_server_is_told_there(played):
    """Who opens `/proc/PID/mem` of a serving process is told without handles of procfs (before 6.6) too."""
    one = played.ground
    source, target = one.need(MEMORY)
    with one.served(MEMORY) as server:
        pid = one.run(one.programs["peek"], server, source, target, "mem")
        # Told with a descriptor, which can be made as long as the server lives only. The use is not told anew: the
        # server, whose reads nobody counts there, was seen to have the model in its memory.
        event = one.event("process_access", lambda event: event["process"]["pid"] == pid)
    assert event["replguard"]["attribution"] in {"kernel", one.surest}
    assert event["target"]["pid"] == server
