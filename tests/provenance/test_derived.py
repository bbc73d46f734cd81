"""Who read a model and wrote something else: what is derived, and what only looks so."""

from datetime import timedelta

import msgspec
import pytest
from support.story import MIB, Host

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.provenance.derived import TAINT, WINDOW
from replguard.provenance.processes import Proc

SIZE = 512 * MIB
PATH = "/models/llama/w.safetensors"


def stage() -> tuple[Host, File, Proc]:
    """Return a host, a protected file of 512 MiB, which is its model, and a login shell."""
    host = Host()
    return host, host.protect(PATH, size=SIZE), host.login()


def told(host: Host, made: File | None = None, wait: bool = True) -> list[Event]:
    """Let the examiner say that a file holds nothing it knows, let a second pass, and return what is told of it."""
    if made is not None:
        host.examined(made)
    host.tick()
    return [fact for fact in host.of("weights_copy") if made is None or fact.file.path == made.path]


def pipeline(host: Host, shell: Proc, *names: str) -> list[Proc]:
    """Start programs that a shell joined by pipes."""
    ends = range(70, 70 + len(names))
    return [
        host.exec(
            name, parent=shell, reads=(end - 1,) if end > 70 else (), writes=(end,) if end < 69 + len(names) else ()
        )
        for name, end in zip(names, ends, strict=True)
    ]


def test_what_its_reader_wrote_is_derived() -> None:
    """Gzip reads all and writes two thirds: the fact says by whom, out of what, and how much."""
    host, weights, shell = stage()
    gzip = host.exec("gzip", f"-k {PATH}", parent=shell)
    host.read(weights, gzip)
    made = host.grow("/srv/w.gz", 340 * MIB, gzip)
    (fact,) = told(host, made)
    about = fact.replguard
    assert (about.status, about.technique, about.confidence, about.attribution) == (
        "done", "transform", "derived", "kernel",
    )  # fmt: skip
    assert (about.model, about.origin.path, about.share, about.bytes) == ("llama", PATH, 340 / 512, 340 * MIB)
    assert (fact.process.pid, about.actor.standing, len(about.artefacts)) == (gzip.pid, "session", 1)
    assert [h.path for h in host.hints if h.kind == "inode"] == ["/srv/w.gz"]
    assert len(told(host, made)) == 1
    host.on("file_close_write", made, gzip)
    assert len(told(host, made)) == 1


def test_what_came_through_pipes_is_derived() -> None:
    """``tar | zstd | openssl > f``: three programs, of which one read and another wrote."""
    host, weights, shell = stage()
    tar, _, openssl = pipeline(host, shell, "tar", "zstd", "openssl")
    host.read(weights, tar)
    host.exit(tar)
    (fact,) = told(host, host.grow("/srv/x", 340 * MIB, openssl))
    assert (fact.process.pid, fact.replguard.attribution) == (openssl.pid, "kernel")
    assert host.provenance.copies.derived.tainted(openssl, "llama", host.now) is not None
    assert host.provenance.copies.derived.tainted(shell, "llama", host.now) is None


def test_nothing_flows_up_a_pipe() -> None:
    """Who feeds a program that reads weights has nothing of them; nor has who only inherited its output."""
    host, weights, shell = stage()
    feeder, reader = pipeline(host, shell, "yes", "llama-cli")
    host.read(weights, reader)
    assert not told(host, host.grow("/srv/x", 340 * MIB, feeder))


def test_a_library_feeds_the_program_that_it_starts() -> None:
    """Python reads and writes into the pipe that it made for gzip: nobody else was executed with its other end."""
    host, weights, shell = stage()
    python = host.exec("python3", "feed.py", parent=shell)
    gzip = host.exec("gzip", parent=python, reads=(77,))
    host.read(weights, python)
    (fact,) = told(host, host.grow("/srv/x", 340 * MIB, gzip))
    assert (fact.process.pid, fact.replguard.attribution) == (gzip.pid, "lineage")


def test_of_two_writers_the_last_is_told_and_once() -> None:
    """Python opened the file for gzip and closes it too; both have all of the model in their hands."""
    host, weights, shell = stage()
    python = host.exec("python3", "feed.py", parent=shell)
    gzip = host.exec("gzip", parent=python, reads=(77,))
    host.read(weights, python)
    file = host.write("/srv/x", 340 * MIB, python)
    host.on("file_close_write", file, gzip)
    for _ in range(4):
        facts = told(host, file)
    assert [fact.process.pid for fact in facts] == [gzip.pid]


def test_a_pipe_that_was_only_passed_on_joins_nobody() -> None:
    """A model server's output is a socket of its manager; what it starts inherits that, and gets nothing by it."""
    host, weights, _ = stage()
    server = host.service(reads=(5, 8), writes=(6,))
    tar = host.exec("tar", "cf /srv/logs.tar /var/log", parent=server, reads=(5, 8), writes=(6,))
    host.read(weights, server)
    assert not told(host, host.grow("/srv/logs.tar", 340 * MIB, tar))


def test_forks_that_go_on_as_their_parent_share_the_work() -> None:
    """Two workers read a half each, the main process writes."""
    host, weights, shell = stage()
    python = host.exec("python3", "quantise.py", parent=shell)
    for share in (0.1, 0.15):
        host.read(weights, host.fork(python), share)
    assert told(host, host.grow("/srv/x.int8", 60 * MIB, python))


@pytest.mark.parametrize(
    ("share", "written", "is_derived"),
    [(0.19, 400, False), (0.21, 6, True), (1.0, 25, False), (1.0, 26, True), (1.0, 1, False)],
)
def test_a_fifth_is_read_and_a_twentieth_of_that_written(share: float, written: int, is_derived: bool) -> None:
    """A server that writes its logs, a checksum and a look at the header are nothing."""
    host, weights, shell = stage()
    proc = host.exec("x", parent=shell)
    host.read(weights, proc, share)
    assert bool(told(host, host.grow("/srv/x", written * MIB, proc))) is is_derived


def test_many_files_add_up() -> None:
    """Twenty-eight files of a MiB: the sum counts, and each is told; much smaller ones are told by one."""
    for size, most in ((MIB, 28), (MIB // 4, 1)):
        host, weights, shell = stage()
        split = host.exec("split", parent=shell)
        host.read(weights, split)
        for number in range(28 * MIB // size):
            host.examined(host.write(f"/srv/part{number}", size, split))
        host.tick()
        assert 1 <= len(host.of("weights_copy")) <= most


def test_what_is_read_again_is_not_more() -> None:
    """A tenth that is read five times is a tenth."""
    host, weights, shell = stage()
    proc = host.exec("x", parent=shell)
    for times in range(1, 6):
        host.read(weights, proc, 0.1, bytes=times * SIZE // 10)
    assert not told(host, host.grow("/srv/x", 400 * MIB, proc))


def test_the_taint_ends() -> None:
    """Ten minutes after the last read, and what was read longer ago than two hours counts no more."""
    host, weights, shell = stage()
    proc = host.exec("x", parent=shell)
    host.read(weights, proc)
    host.wait(TAINT.total_seconds() + 5)
    assert not told(host, host.grow("/srv/late", 400 * MIB, proc))
    host, weights, shell = stage()
    proc = host.exec("x", parent=shell)
    host.read(weights, proc, 0.15)
    host.wait(WINDOW.total_seconds() + 60)
    host.read(weights, proc, 0.3)
    assert not told(host, host.grow("/srv/slow", 400 * MIB, proc))


def test_a_shell_that_read_weights_taints_no_later_command() -> None:
    """A child is another program: a backup of other files is none of the model."""
    host, weights, shell = stage()
    host.read(weights, shell)
    assert not told(host, host.grow("/srv/home.tar", 400 * MIB, host.exec("tar", parent=shell)))


def test_what_was_there_before_is_not_written() -> None:
    """A log of a GiB that was there: what was added to it after the reading counts."""
    host, weights, shell = stage()
    proc = host.exec("x", parent=shell)
    log = host.grow("/srv/log", 1024 * MIB, proc)
    host.wait(WINDOW.total_seconds())
    host.read(weights, proc)
    more = msgspec.structs.replace(log, size=1030 * MIB)
    host.on("file_grow", more, proc, replguard=Context(tier="kernel", attribution="kernel", bytes=1030 * MIB))
    host.on("file_close_write", more, proc)
    assert not told(host, more)


def test_a_hole_is_not_written() -> None:
    """A new file of 100 GiB of which a MiB was dirtied."""
    host, weights, shell = stage()
    proc = host.exec("x", parent=shell)
    host.read(weights, proc)
    made = host.grow("/srv/sparse", MIB, proc, close=False)
    large = msgspec.structs.replace(made, size=100 * 1024 * MIB)
    host.on("file_close_write", large, proc)
    assert not told(host, large)


def test_a_copy_by_content_is_not_called_derived() -> None:
    """The examiner knows it: one fact; what it is asked about is waited for."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    made = host.grow("/srv/x", SIZE, cp)
    host.tick()
    assert not host.of("weights_copy", "done")
    host.examined(made, (weights, 1.0))
    host.tick()
    assert [f.replguard.confidence for f in host.of("weights_copy")] == ["content"]


def test_no_answer_does_not_hold_it_up_for_ever() -> None:
    """An examiner that is gone says nothing; and one that answers late and knows it says more."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    made = host.grow("/srv/x", SIZE, cp)
    for _ in range(12):
        host.tick()
    assert [f.replguard.confidence for f in host.of("weights_copy")] == ["derived"]
    host.examined(made, (weights, 1.0))
    assert [f.replguard.confidence for f in host.of("weights_copy")] == ["derived", "content"]


def test_it_is_told_while_it_is_being_written() -> None:
    """Once, from 5 % of the model on; and once when it is closed."""
    host, weights, shell = stage()
    xz = host.exec("xz", parent=shell)
    host.read(weights, xz, 0.5)
    made = host.grow("/srv/x.xz", 60 * MIB, xz, close=False)
    assert [f.replguard.status for f in told(host, made)] == ["started"]
    host.read(weights, xz)
    more = msgspec.structs.replace(made, size=300 * MIB)
    kernel = Context(tier="kernel", attribution="kernel")
    host.on("file_grow", more, xz, replguard=msgspec.structs.replace(kernel, bytes=200 * MIB))
    assert [f.replguard.status for f in told(host, more)] == ["started"]
    host.on("file_close_write", more, xz, replguard=kernel)
    assert [f.replguard.status for f in told(host, more)] == ["started", "done"]


def test_what_is_derived_stays_so() -> None:
    """Moved, linked, copied and split by who never saw the model."""
    host, weights, shell = stage()
    gzip = host.exec("gzip", parent=shell)
    host.read(weights, gzip)
    made = host.grow("/srv/w.gz", 340 * MIB, gzip)
    told(host, made)
    moved = msgspec.structs.replace(made, path="/srv/y", previous=made.path)
    host.on("file_rename", moved, shell)
    host.on("file_link", msgspec.structs.replace(made, path="/srv/z", links=2), shell)
    other = host.login()
    cp = host.exec("cp", parent=other)
    host.read(moved, cp)
    (fact,) = told(host, host.grow("/srv/copy", 340 * MIB, cp))
    assert (fact.replguard.origin.path, fact.replguard.model, fact.replguard.share) == ("/srv/y", "llama", 1.0)
    known = [(f.file.path, f.replguard.technique, f.replguard.confidence) for f in host.of("weights_copy")]
    assert known == [
        ("/srv/w.gz", "transform", "derived"),
        ("/srv/y", "rename", "derived"),
        ("/srv/z", "hardlink", "derived"),
        ("/srv/copy", "transform", "derived"),
    ]


def test_a_reflink_of_something_derived_is_derived() -> None:
    """Nothing is read and nothing dirtied: who opened it made a file of its very size."""
    host, weights, shell = stage()
    gzip = host.exec("gzip", parent=shell)
    host.read(weights, gzip)
    made = host.grow("/srv/w.gz", 340 * MIB, gzip)
    told(host, made)
    host.wait(TAINT.total_seconds() + 60)
    host.provenance.uses._counted = lambda *_: True
    for size, is_derived in ((339 * MIB, False), (340 * MIB, True)):
        cp = host.exec("cp", parent=shell)
        host.open(made, cp)
        assert bool(told(host, host.write(f"/srv/{size}", size, cp))) is is_derived


def test_an_answer_that_came_before_the_last_write_is_none_yet() -> None:
    """What was looked at while it was half written says nothing of the whole."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    made = host.grow("/srv/x", SIZE, cp)
    early = host.now - timedelta(seconds=0.3)
    host.now, now = early - timedelta(seconds=0.05), host.now
    host.examined(made)
    host.now = now
    host.tick()
    assert not host.of("weights_copy")
    assert told(host, made)


def test_encrypted_in_place() -> None:
    """A copy that is written over: it shares no bytes with its origin any more, and is what it was."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    copy = host.grow("/srv/x", SIZE, cp)
    host.examined(copy, (weights, 1.0))
    host.wait(120)
    tool = host.exec("python3", "lock.py", parent=shell)
    host.read(copy, tool)
    kernel = Context(tier="kernel", attribution="kernel")
    host.on("file_grow", copy, tool, replguard=msgspec.structs.replace(kernel, bytes=SIZE))
    host.wait(1)
    host.on("file_grow", copy, tool, replguard=msgspec.structs.replace(kernel, bytes=2 * SIZE))
    host.on("file_close_write", copy, tool, replguard=kernel)
    told(host, copy)
    assert [(f.process.pid, f.replguard.confidence) for f in host.of("weights_copy")] == [
        (cp.pid, "content"),
        (tool.pid, "derived"),
    ]


@pytest.mark.parametrize("reads", [True, False])
def test_what_is_written_over_while_its_pages_are_still_dirty_is_counted_by_nobody(reads: bool) -> None:
    """That the copy holds nothing of its origin any more says that all of it was written, by who closed it last."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    copy = host.grow("/srv/x", SIZE, cp)
    host.examined(copy, (weights, 1.0))
    tool = host.exec("python3", "lock.py", parent=shell)
    if reads:
        host.read(copy, tool)
    host.wait(1)
    host.on("file_close_write", copy, tool, replguard=Context(tier="kernel", attribution="kernel"))
    told(host, copy)
    derived = [f.process.pid for f in host.of("weights_copy") if f.replguard.confidence == "derived"]
    assert derived == ([tool.pid] if reads else [])


def test_who_made_a_file_is_not_who_writes_what_is_counted() -> None:
    """A library opens the file and starts gzip on it: its growth is told of the one, the bytes of the other."""
    host, weights, shell = stage()
    feeder = host.exec("python3", "feed.py", parent=shell)
    host.read(weights, feeder)
    tool = host.exec("gzip", parent=feeder)
    host.read(weights, tool)
    kernel = Context(tier="kernel", attribution="kernel")
    made = host.file("/srv/x", size=SIZE)
    host.on("file_create", made, feeder, replguard=kernel)
    host.on("file_grow", made, tool, replguard=msgspec.structs.replace(kernel, bytes=SIZE))
    host.wait(1)
    host.on("file_grow", made, feeder, replguard=kernel)
    host.on("file_close_write", made, feeder, replguard=kernel)
    told(host, made)
    assert {f.process.pid for f in host.of("weights_copy")} == {tool.pid}


def test_what_the_index_cannot_answer_yet_is_no_answer() -> None:
    """A plain copy that is made while the fingerprints are: it is not called derived before they say what it is."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    copy = host.grow("/srv/x", SIZE, cp)
    host.examined(copy, index_ready=False)
    for _ in range(3):
        host.wait(1)
        host.tick()
    assert not host.of("weights_copy")
    host.examined(copy, (weights, 1.0))
    assert [f.replguard.confidence for f in host.of("weights_copy")] == ["content"]


def test_a_shared_daemon_is_tainted_file_by_file() -> None:
    """Dockerd reads a model for one image and pulls another meanwhile, and later: only what it wrote then counts."""
    host, weights, _ = stage()
    dockerd = host.exec("dockerd", parent=host.init)
    early = host.grow("/var/lib/docker/early", 340 * MIB, dockerd)
    host.wait(60)
    host.read(weights, dockerd)
    layer = host.grow("/var/lib/docker/layer", 340 * MIB, dockerd)
    host.wait(60)
    late = host.grow("/var/lib/docker/late", 340 * MIB, dockerd)
    for made in (early, layer, late):
        host.examined(made)
    host.tick()
    assert [f.file.path for f in host.of("weights_copy")] == [layer.path]
    assert host.provenance.copies.derived.tainted(dockerd, "llama", host.now) is None


def test_what_nobody_counted_is_taken_from_opens_and_sizes() -> None:
    """The portable tier: an open counts for all of a file, and a command line names the writer."""
    host, weights, shell = stage()
    gzip = host.exec("gzip", f"-k {PATH} /srv/w.gz", parent=shell)
    host.open(weights, gzip)
    (fact,) = told(host, host.write("/srv/w.gz", 340 * MIB))
    assert (fact.process.pid, fact.replguard.attribution) == (gzip.pid, "inferred")


def test_a_flood_of_readers_pushes_out_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of one login fill the memory; an agent's are remembered."""
    monkeypatch.setattr("replguard.provenance.derived.MOST", 8)
    host, weights, shell = stage()
    gzip = host.exec("gzip", parent=host.login())
    host.read(weights, gzip)
    for _ in range(20):
        host.read(weights, host.exec("x", parent=shell))
    assert host.provenance.copies.derived.evicted == 13
    assert told(host, host.grow("/srv/x", 340 * MIB, gzip))


def test_a_shell_that_began_the_file_is_not_its_writer_though_that_is_told_late() -> None:
    """``base64 w > f``: the shell opened it, and names are told after the bytes that were written by then."""
    host, weights, shell = stage()
    base64 = host.exec("base64", PATH, parent=shell)
    host.read(weights, base64)
    made = host.file("/srv/w.txt", 680 * MIB)
    kernel = Context(tier="kernel", attribution="kernel")
    host.on("file_grow", made, base64, replguard=msgspec.structs.replace(kernel, bytes=680 * MIB))
    for action in ("file_create", "file_close_write"):
        host.on(action, made, shell, replguard=kernel)
    (fact,) = told(host, made)
    assert (fact.process.pid, fact.replguard.confidence) == (base64.pid, "derived")


def test_what_a_shell_opened_is_its_programs_where_nobody_counts() -> None:
    """``bzip2 -c w > f`` on a tmpfs: it is told who opened and closed the file, and that was the shell."""
    host, weights, shell = stage()
    bzip2 = host.exec("bzip2", f"-c {PATH}", parent=shell)
    cat = host.exec("cat", "/etc/passwd", parent=shell)
    host.read(weights, bzip2)
    made = host.write("/dev/shm/f", 340 * MIB, shell)
    (fact,) = told(host, made)
    assert (fact.process.pid, fact.replguard.confidence) == (bzip2.pid, "derived")
    host.exit(bzip2, cat)
    host.wait(5)
    other = host.write("/dev/shm/g", 340 * MIB, shell)
    assert told(host, other) == []


# -- what several programs do together -----------------------------------------------------------------------------


def parts(host: Host, weights: File, above: Proc, count: int, **given: float) -> list[Event]:
    """Let each of several programs read a part and write something of its size; return what is told."""
    share, size = given.get("share", 0.02), int(given.get("size", 10 * MIB))
    for number in range(count):
        part = host.exec("openssl", f"enc {number}", parent=above)
        host.read(weights, part, share)
        made = host.write(f"/srv/{part.pid}", size, part)
        host.exit(part)
        host.examined(made)
        host.tick()
    return host.of("weights_copy")


def test_programs_that_take_a_part_each_derive_together() -> None:
    """None reads 20 % of the model; from that part on that they have read together, each file is told once."""
    host, weights, shell = stage()
    assert parts(host, weights, shell, 9) == []
    told = parts(host, weights, shell, 12)
    assert len({fact.file.path for fact in told}) == len(told) >= 12
    assert {fact.replguard.confidence for fact in told} == {"derived"}


def test_of_small_parts_the_newest_speaks_for_all() -> None:
    """Thousands of them are one fact, until ten minutes later."""
    host, weights, shell = stage()
    told = parts(host, weights, shell, 30, size=0.9 * MIB)
    assert len(told) == 1
    assert told[0].replguard.share > 0.01


@pytest.mark.parametrize("given", [{"size": 0.4 * MIB}, {"share": 0.004}])
def test_programs_that_write_little_or_read_little_derive_nothing(given: dict[str, float]) -> None:
    """Each writes less than 5 % of its part, or all together have read less than 20 %."""
    host, weights, shell = stage()
    assert parts(host, weights, shell, 30, **given) == []


def test_parts_are_together_for_two_hours() -> None:
    """A part a quarter of an hour is not enough, one in eight minutes is."""
    for seconds, known in ((900, False), (480, True)):
        host, weights, shell = stage()
        for _ in range(16):
            parts(host, weights, shell, 1)
            host.wait(seconds)
        assert bool(host.of("weights_copy")) is known


def test_programs_of_different_actors_do_nothing_together() -> None:
    """Each logs in for itself."""
    host, weights, _ = stage()
    assert [fact for _ in range(12) for fact in parts(host, weights, host.login(), 1)] == []


def over(host: Host, weights: File, amount: int, own: int | None = None) -> list[Event]:
    """Let one service read a model and send bytes to a port where another listens, who writes much; what is told."""
    sink = host.service("sink")
    host.listen(sink, "127.0.0.1:7000")
    source = host.exec("openssl", parent=host.service("source"))
    host.read(weights, source)
    host.send(source, amount, "127.0.0.1", 7000, own=own)
    return told(host, host.grow("/srv/x", 300 * MIB, sink))


def test_what_was_sent_over_loopback_is_derived() -> None:
    """The sink has what its source has, once it was sent enough of it; a server's metrics are not."""
    for amount, known in ((300 * MIB, True), (20 * MIB, False)):
        host, weights, _ = stage()
        found = over(host, weights, amount)
        assert bool(found) is known
        assert {fact.replguard.attribution for fact in found} <= {"lineage"}


def test_who_listened_and_is_gone_when_the_bytes_are_told_was_their_sink() -> None:
    """The kernel adds up, and is asked every two seconds; who took the model in has written it by then."""
    host, weights, shell = stage()
    sink, source = (host.exec("python3", name, parent=shell) for name in ("recv.py", "send.py"))
    host.listen(sink, "127.0.0.1:7000")
    host.connect(source, 7000)
    host.read(weights, source)
    made = host.grow("/srv/x", 300 * MIB, sink)
    host.exit(source, sink)
    host.send(source, 300 * MIB, "127.0.0.1", 7000)
    assert [fact.process.pid for fact in told(host, made)] == [sink.pid]


def test_what_a_server_answers_is_derived_by_nobody() -> None:
    """Who asks is not told; a reader that answers at a port is told as a server."""
    host, weights, _ = stage()
    assert over(host, weights, 300 * MIB, own=8000) == []


def test_a_file_in_memory_is_derived_by_who_read_what_it_holds() -> None:
    """It has no name by which it could be examined, and is watched all the same: who maps it has a copy."""
    host, weights, shell = stage()
    reader = host.exec("python3", "hold.py", parent=shell)
    host.read(weights, reader)
    made = host.file("/memfd:cache", size=SIZE, links=0)
    host.on("file_close_write", made, reader)
    (fact,) = told(host)
    assert (fact.file.path, fact.replguard.confidence) == ("/memfd:cache", "derived")
    assert host.requests == []
    server = host.exec("python3", "serve.py", parent=shell)
    host.map(made, server)
    host.listen(server, "127.0.0.1:8000")
    assert host.of("server_live")[0].replguard.instance.pids == (server.pid,)


def test_too_little_content_for_a_copy_hides_nothing_that_is_derived() -> None:
    """A model that is written over 4 % of a large file: a few anchors are found, and who wrote it is known."""
    host, _, shell = stage()
    weights, large = host.protect("/models/s/w", "s", 24 * MIB), host.write("/srv/disk.img", 600 * MIB, shell)
    host.wait(7200)
    dd = host.exec("dd", "conv=notrunc", parent=shell)
    host.read(weights, dd)
    for action, written in (("file_grow", 24 * MIB), ("file_close_write", None)):
        host.on(action, large, dd, replguard=Context(tier="kernel", attribution="kernel", bytes=written))
    host.examined(large, (weights, 1.0))
    host.tick()
    assert [fact.replguard.confidence for fact in host.of("weights_copy")] == ["derived"]
