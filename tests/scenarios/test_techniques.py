"""Each way to copy weights, played by a real program: what is told of it, and whose act it is said to be."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support import ground, ways
from support.filesystems import Mounts
from support.programs import Lacking

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    with ground.running(tmp_path_factory.mktemp("ground"), {}) as laid:
        yield laid


def accessed(one, way, pid, *, at=None):
    """Wait until the use of a way's source is told as this process's act."""
    source = one.source(way)
    paths = {str(source), str(at or source)}

    def fits(fact):
        told = fact["file"]["path"] in paths and fact["replguard"]["mode"] == way.access
        return told and one.acted(fact, pid, child=way.child, by=way.access_by)

    return one.fact("weights_access", fits, source)


def copied(one, way, pid, target, status="done"):
    """Wait until the copy is told, with its origin and its maker; without a pid whoever is named."""
    source = one.source(way)

    def fits(fact):
        told = fact["file"]["path"].endswith(str(target)) and fact["replguard"]["status"] == status
        return told and (pid is None or one.acted(fact, pid, child=way.child, by=way.copy_by))

    fact = one.fact("weights_copy", fits, source, target)
    assert fact["replguard"]["origin"]["path"] == str(source)
    assert fact["replguard"]["confidence"] == way.copy
    assert fact["replguard"]["technique"] == way.made
    return fact


def uses(one, way, *pids):
    """Return what was told of these processes as uses of a way's source."""
    told = [fact for fact in one.facts("weights_access") if (fact.get("process") or {}).get("pid") in pids]
    return [fact for fact in told if fact["replguard"]["model"].rpartition("/")[2] == way.name]


@pytest.mark.parametrize("way", ways.COMMANDS, ids=lambda way: way.name)
def test_a_way_is_told_as_who_went_it(one, way):
    """One program copies a file of a model: what the table says is told, with the pid that the host knows it by."""
    source, target = one.need(way)
    places = {"source": source, "target": target, "to": target.parent, "bound": source, **one.programs}
    with Mounts(one.folder) as mounts:
        if way.name == "through-bind":
            places["bound"] = bind(mounts, source.parent, one.folder / "bound") / source.name
        words = [word.format(**places) for word in way.command]
        with one.start(*words) as process:
            if way.access is not None and way.access_by is not None:
                accessed(one, way, process.pid, at=places["bound"])
            if way.until != "copy":
                process.stdin.close()
            copied(one, way, process.pid if way.copy_by else None, target)
    if way.access is None:
        one.gaps[way.name] = lambda: uses(one, way, process.pid)


def bind(mounts, original, place):
    try:
        return mounts.bind(original, place)
    except Lacking as lacking:
        pytest.skip(str(lacking))


def test_a_reflink_took_no_room(one):
    """What `cp` does on XFS and btrfs really is a reflink: the ways of that name are what they say."""
    way = ways.ALL["cp-xfs"]
    source, target = one.need(way)
    subprocess.run(["sync", "-f", source], check=True)
    before = os.statvfs(source).f_bfree * os.statvfs(source).f_frsize
    one.run("cp", source, target.with_name("second"))
    subprocess.run(["sync", "-f", source], check=True)
    after = os.statvfs(source).f_bfree * os.statvfs(source).f_frsize
    assert before - after < source.stat().st_size / 4


# -- in pieces -----------------------------------------------------------------------------------------------------


def test_a_copy_in_progress_is_told_before_it_ends(one):
    """A writer that never closes its file is told as having started."""
    way = ways.ALL["progress"]
    source, target = one.need(way)
    with one.start(one.programs["piece"], source, target, 0, -1, 0, "hold", stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        try:
            accessed(one, way, writer.pid)
            copied(one, way, writer.pid, target, "started")
            assert writer.poll() is None
        finally:
            writer.kill()
    copied(one, way, writer.pid, target)


def test_a_slow_copy_is_told_before_it_ends(one):
    """Eight MiB a second is slow enough to be stopped in time."""
    way = ways.ALL["throttled"]
    source, target = one.need(way)
    with one.start(one.programs["piece"], source, target, 0, -1, 125_000) as writer:
        copied(one, way, writer.pid, target, "started")
        assert writer.poll() is None
    copied(one, way, writer.pid, target)


def test_a_copy_that_is_killed_is_told_with_its_share(one):
    """Half a copy that its maker was killed over is half a copy."""
    way = ways.ALL["killed"]
    source, target = one.need(way)
    half = source.stat().st_size // 2
    with one.start(one.programs["piece"], source, target, 0, half, 0, "hold", stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.kill()
    fact = copied(one, way, writer.pid, target)
    assert 0.2 < fact["replguard"]["share"] < 0.8


def test_a_copy_that_is_resumed_is_told_as_whole(one):
    """The second process wrote only the second half, and the file is a whole copy."""
    way = ways.ALL["resumed"]
    source, target = one.need(way)
    half = source.stat().st_size // 2**21
    one.run("dd", f"if={source}", f"of={target}", "bs=1M", f"count={half}", "status=none")
    first = copied(one, way, None, target)
    assert first["replguard"]["share"] < 0.8
    words = ["dd", f"if={source}", f"of={target}", "bs=1M", f"skip={half}", f"seek={half}"]
    pid = one.run(*words, "conv=notrunc", "status=none")
    fact = copied(one, way, pid, target)
    assert fact["replguard"]["share"] > 0.8


def test_two_writers_of_one_file_are_told(one):
    """Each of two processes writes one half; the copy is told of one of them."""
    way = ways.ALL["two-writers"]
    source, target = one.need(way)
    half = source.stat().st_size // 2
    parts = ((0, half), (half, -1))
    both = [one.start(one.programs["piece"], source, target, *part) for part in parts]
    pids = {process.pid for process in both if process.wait(30) == 0}
    for process in both:
        process.stdin.close()
    assert len(pids) == 2

    def fits(fact):
        told = fact["file"]["path"] == str(target) and fact["replguard"]["status"] == "done"
        return told and any(one.acted(fact, pid) for pid in pids) and fact["replguard"]["share"] > 0.8

    one.fact("weights_copy", fits, source, target)


def test_a_pipe_to_another_process_is_told(one):
    """One process reads and another writes: the use is the first one's, the copy the second's."""
    way = ways.ALL["pipe"]
    source, target = one.need(way)
    shell = one.run("sh", "-ec", 'cat "$1" | cat > "$2"', "sh", source, target)
    child = replace(way, child=True)
    used, made = accessed(one, child, shell), copied(one, child, shell, target)
    assert str(source) in used["process"]["args"]
    assert made["process"]["args"] == ["cat"]


# -- without bytes -------------------------------------------------------------------------------------------------


def test_a_bind_mount_is_told(one):
    """A folder of a model that has another place is a copy that cost nothing."""
    way = ways.ALL["bind"]
    source, _ = one.need(way)
    with Mounts(one.folder) as mounts:
        place = bind(mounts, source.parent, one.folder / "elsewhere")

        def fits(fact):
            below = fact["file"]["path"].startswith(str(place))
            return below and fact["replguard"]["technique"] == way.made

        fact = one.fact("weights_copy", fits, source, place)
    assert fact["process"]["name"] == "mount"
    assert fact["replguard"]["confidence"] == way.copy
    assert fact["replguard"]["attribution"] in {"kernel", one.surest}


def test_a_copy_up_is_told(one):
    """A write to a byte of a protected file below an overlay copies all of it; the copy lies in the upper folder."""
    way = ways.ALL["copy-up"]
    source, target = one.need(way)
    with Mounts(one.folder) as mounts:
        try:
            merged = mounts.overlay(source.parent, target.parent / "merged")
        except Lacking as lacking:
            pytest.skip(str(lacking))
        upper = target.parent / "merged-upper" / source.name
        with one.start("sh", "-c", 'echo >> "$1"', "sh", merged / source.name) as writer:
            pass
        assert upper.stat().st_size > source.stat().st_size

        def fits(fact):
            told = fact["file"]["path"] in (str(upper), str(merged / source.name))
            return told and one.acted(fact, writer.pid)

        one.fact("weights_copy", fits, source, upper, merged)


def test_a_loop_device_is_told(one):
    """Who laid a loop device over the file is told to have used it once it is read; who read it made the copy."""
    way = ways.ALL["loop"]
    source, target = one.need(way)
    with Mounts(one.folder) as mounts:
        try:
            device = mounts.loop(source)
        except Lacking as lacking:
            pytest.skip(str(lacking))
        layer = one.event("file_open", lambda event: event["file"]["path"] == str(source))["process"]
        assert layer["name"] == "losetup"
        pid = one.run("dd", f"if={device}", f"of={target}", "bs=1M", "status=none")
        accessed(one, way, layer["pid"])
        copied(one, way, pid, target)


def test_the_block_device_below_is_told(one):
    """Who reads the file past the filesystem opened the device, and made the copy."""
    way = ways.ALL["raw"]
    source, target = one.need(way)
    target = one.folders["disk"] / "out" / "raw-taken"
    target.parent.mkdir(exist_ok=True)
    subprocess.run(["sync", "-f", source], check=True)
    inside = "/" + str(source.relative_to(one.folders["ext4"]))
    pid = one.run("debugfs", "-R", f"dump {inside} {target}", one.devices["ext4"])
    accessed(one, way, pid, at=one.devices["ext4"])
    copied(one, way, pid, target)


# -- memory --------------------------------------------------------------------------------------------------------


def test_a_memfd_that_is_held_is_told_as_derived(one):
    """Nobody can examine what has no name: who holds it, and has just read as much, says what it is."""
    way = ways.ALL["memfd"]
    source, _ = one.need(way)
    with one.start(one.programs["memory"], source, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"written\n"
        accessed(one, way, process.pid)
        copied(one, way, process.pid, "/memfd:scratch")
        process.stdin.close()


def test_reading_a_servers_memory_by_call_is_told_by_its_result_alone(one):
    """`process_vm_readv` is not watched unless asked for: who called it used nothing that is told, until it writes."""
    way = ways.ALL["peek"]
    source, target = one.need(way)
    with one.served(way) as server:
        pid = one.run(one.programs["peek"], server, source, target, "call")
    copied(one, way, pid, target)
    one.gap(way, lambda: uses(one, way, pid))


def test_the_memory_file_of_a_server_is_told(one):
    """Who opens `/proc/PID/mem` of a serving process is told to have used its weights."""
    way = ways.ALL["mem"]
    source, target = one.need(way)
    with one.served(way) as server:
        pid = one.run(one.programs["peek"], server, source, target, "mem")

    def fits(fact):
        return fact["replguard"]["mode"] == way.access and one.acted(fact, pid)

    one.fact("weights_access", fits, source, target)
    copied(one, way, pid, target)


# -- an agent's child ------------------------------------------------------------------------------------------------

AGENT = """
import subprocess, sys, time, urllib.request
url, *helper = sys.argv[1:]
for _ in range(2):
    with urllib.request.urlopen(url) as answer:
        answer.read()
        time.sleep(0.3)
    subprocess.run(["true"])
    time.sleep(0.3)
child = subprocess.Popen(helper)
child.wait()
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_the_short_child_of_an_agent_is_told_as_the_agents(one):
    """A program that lives a millisecond copies an adapter: the facts have its pid, its command line and its agent."""
    way = ways.ALL["adapter"]
    source, target = one.need(way)
    url = f"http://127.0.0.1:{one.endpoint}/"
    helper = [one.programs["piece"], source, target, 0, -1]
    with one.start("python3", "-c", AGENT, url, *helper, stdout=subprocess.PIPE) as agent:
        try:
            pid = int(agent.stdout.readline())
            used, made = accessed(one, way, pid), copied(one, way, pid, target)
        finally:
            agent.stdin.close()
    assert used["process"]["command_line"].startswith(one.programs["piece"])
    one.fact("agent_seen", lambda fact: fact["process"]["pid"] == agent.pid)
    for fact in (used, made):
        assert fact["process"]["parent"]["pid"] == agent.pid
        assert fact["replguard"]["actor"]["agent"]


def test_the_reference_has_every_way():
    """The page shows the table that is tested here, row by row."""
    page = (ROOT / "docs" / "reference" / "techniques.md").read_text()
    missing = [row for row in ways.table() if row not in page]
    assert missing == []
