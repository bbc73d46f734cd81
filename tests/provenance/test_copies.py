"""Which new names and files are protected content, who made them, and what arrived from elsewhere."""

import msgspec
import pytest
from support.story import ANN, MIB, Host

from replguard.events.event import Event
from replguard.events.fact import Context, FileRef
from replguard.events.file import File
from replguard.provenance.manifest import Job, Manifest
from replguard.provenance.processes import Proc

ORIGIN = "/models/llama/w.safetensors"
KERNEL_512 = Context(tier="kernel", attribution="kernel", bytes=512 * MIB)


def stage(manifest: Manifest | None = None) -> tuple[Host, File, Proc]:
    """Return a host, a protected file and a login shell."""
    host = Host(manifest)
    return host, host.protect(ORIGIN), host.login()


def copies(host: Host) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return path, status, technique and attribution of every copy told."""
    return [
        (f.file.path, f.replguard.status, f.replguard.technique, f.replguard.attribution)
        for f in host.of("weights_copy")
    ]


def only(facts: list[Event], action: str = "weights_copy") -> Event:
    (found,) = [f for f in facts if f.action == action]
    return found


# -- copies by content ---------------------------------------------------------------------------------------------


def test_a_copy_seen_from_both_ends() -> None:
    """Cp was seen with the origin and with the copy open: who, what, from where, to where."""
    host, weights, shell = stage()
    cp = host.exec("cp", f"{ORIGIN} /srv/x", parent=shell)
    fact = only(host.copy(weights, "/srv/x", cp))
    about = fact.replguard
    assert (fact.process.pid, fact.file.path, fact.file.size) == (cp.pid, "/srv/x", weights.size)
    assert about.origin == FileRef(path=ORIGIN, device=5, inode=weights.inode, size=weights.size)
    assert (about.status, about.technique, about.confidence, about.share) == ("done", "copy", "content", 1.0)
    assert (about.attribution, about.model, about.actor.standing) == ("lineage", "llama", "session")
    assert len(about.artefacts) == 1
    assert about.bytes == weights.size


def test_a_writer_that_nobody_saw_may_be_named_on_a_command_line() -> None:
    """A program that was running and whose arguments lead to the file: a guess, and marked as one."""
    host, weights, shell = stage()
    cp = host.exec("cp", "-r /models/llama copies/new", parent=shell, folder="/srv")
    host.open(weights)
    made = host.write("/srv/copies/new/w.safetensors", weights.size or 0)
    host.exit(cp)
    fact = only(host.examined(made, (weights, 1.0)))
    assert (fact.process.pid, fact.replguard.attribution) == (cp.pid, "inferred")


def test_the_innermost_program_is_the_writer() -> None:
    """``sh -c 'cp a b'``: both command lines name the file."""
    host, weights, shell = stage()
    outer = host.exec("sh", ("-c", f"cp {ORIGIN} /srv/copies/x"), parent=shell)
    inner = host.exec("cp", f"{ORIGIN} /srv/copies/x", parent=outer)
    host.open(weights)
    made = host.write("/srv/copies/x", weights.size or 0)
    assert only(host.examined(made, (weights, 1.0))).process.pid == inner.pid


@pytest.mark.parametrize("args", ["-la /srv", "-la /tmp", "unrelated", "/home/ann"])
def test_naming_everybodys_folder_accuses_nobody(args: str) -> None:
    """``ls /srv`` while somebody copies there."""
    host, weights, shell = stage()
    host.exec("ls", args, parent=shell, folder="/")
    host.open(weights)
    path = "/home/ann/x" if args == "/home/ann" else f"{args.rsplit(maxsplit=1)[-1]}/x"
    made = host.write(path if path.startswith("/") else "/srv/x", weights.size or 0)
    fact = only(host.examined(made, (weights, 1.0)))
    assert fact.replguard.attribution == "unknown"
    assert fact.replguard.actor.standing == "unknown"
    assert fact.process is None


def test_what_ran_before_or_after_is_not_the_writer() -> None:
    """A command line counts only while the file was being made."""
    host, weights, shell = stage()
    host.exit(host.exec("cp", f"{ORIGIN} /srv/copies/x", parent=shell))
    host.wait(60)
    host.open(weights)
    made = host.write("/srv/copies/x", weights.size or 0)
    host.wait(60)
    host.exec("cat", "/srv/copies/x", parent=shell)
    assert only(host.examined(made, (weights, 1.0))).replguard.attribution == "unknown"


def test_the_one_agent_at_work_is_the_likely_writer() -> None:
    """Where nothing names the writer: the only agent that just got a reply, if the file can be its own."""
    host, weights, shell = stage()
    host.server(host.protect("/models/b/w", "b"), 8000)
    agent = host.agent(shell)
    host.turn(agent)
    host.open(weights)
    made = host.write("/srv/a/x", weights.size or 0)
    fact = only(host.examined(made, (weights, 1.0)))
    assert (fact.process.pid, fact.replguard.attribution) == (agent.pid, "inferred")
    foreign = host.write("/srv/a/y", weights.size or 0, uid=33)
    assert only(host.examined(foreign, (weights, 1.0))).replguard.attribution == "unknown"
    host.wait(120)
    late = host.write("/srv/a/z", weights.size or 0)
    host.open(weights)
    assert host.examined(late, (weights, 1.0))[-1].replguard.attribution == "unknown"


def test_of_two_agents_neither_is_guessed() -> None:
    """A guess needs exactly one."""
    host, weights, shell = stage()
    host.server(host.protect("/models/b/w", "b"), 8000)
    for agent in (host.agent(shell), host.agent(host.login())):
        host.turn(agent)
    host.open(weights)
    made = host.write("/srv/a/x", weights.size or 0)
    assert only(host.examined(made, (weights, 1.0))).replguard.attribution == "unknown"


def test_a_part_is_told_with_its_share() -> None:
    """Half of the origin in a file of that size."""
    host, weights, shell = stage()
    cp = host.exec("head", parent=shell)
    fact = only(host.copy(weights, "/srv/x", cp, share=0.5))
    assert fact.replguard.share == 0.5


@pytest.mark.parametrize(
    ("share", "size", "told"), [(0.04, 512, False), (0.06, 512, True), (0.5, 100 * 512, True), (0.01, 512, False)]
)
def test_a_copy_is_5_percent_or_64_mib_of_the_file(share: float, size: int, told: bool) -> None:
    """Matched content against the size of the new file; 256 MiB in 50 GiB are enough."""
    host, weights, shell = stage()
    tar = host.exec("tar", parent=shell)
    host.open(weights, tar)
    made = host.write("/srv/x.tar", size * MIB, tar)
    assert bool(host.examined(made, (weights, share))) is told


def test_an_archive_of_two_models_is_two_copies() -> None:
    """One fact a model, of the file that is in it most."""
    host, weights, shell = stage()
    other = host.protect("/models/b/1", "b")
    second = host.protect("/models/b/2", "b")
    tar = host.exec("tar", parent=shell)
    for file in (weights, other, second):
        host.open(file, tar)
    made = host.write("/srv/x.tar", 1536 * MIB, tar)
    facts = host.examined(made, (weights, 0.9), (other, 0.5), (second, 1.0))
    assert [(f.replguard.model, f.replguard.origin.path) for f in facts] == [("b", "/models/b/2"), ("llama", ORIGIN)]


def test_a_copy_is_told_once_however_often_it_is_closed() -> None:
    """Closed again and examined again by the same writer: only what it grew by half tells anything new."""
    host, weights, shell = stage()
    cp = host.exec("dd", parent=shell)
    host.copy(weights, "/srv/x", cp, share=0.2)
    made = msgspec.structs.replace(host.of("weights_copy")[0].file, size=weights.size)
    host.on("file_close_write", made, cp)
    assert not host.examined(made, (weights, 0.3))
    assert host.examined(made, (weights, 1.0))
    assert not host.examined(made, (weights, 1.0))


def test_a_copy_made_anew_is_told_anew() -> None:
    """Over the same file by another process, or to an inode that is used again."""
    host, weights, shell = stage()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    made = host.of("weights_copy")[0].file
    again = host.exec("cp", parent=shell)
    host.open(weights, again)
    host.on("file_close_write", made, again)
    assert host.examined(made, (weights, 1.0))
    host.on("file_delete", File(path="/srv/x", device=5, inode=made.inode))
    host.on("file_create", made, again)
    host.on("file_close_write", made, again)
    assert host.examined(made, (weights, 1.0))


def test_other_content_is_no_copy_and_clears_what_was() -> None:
    """A file that was a copy and was overwritten is a stranger again."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.copy(weights, "/srv/x", cp)
    made = host.of("weights_copy")[0].file
    host.on("file_close_write", made, cp)
    assert not host.examined(made)
    assert host.provenance.ledger.artefact(made) is None


def test_the_origin_is_no_copy_of_itself() -> None:
    """It was written by its owner."""
    host, weights, shell = stage()
    host.on("file_close_write", weights, host.exec("rsync", parent=shell))
    assert [r.path for r in host.requests] == [ORIGIN]
    assert not host.examined(weights, (weights, 1.0))


def test_small_files_are_not_examined() -> None:
    """What is less than 5 % of every protected file and than 1 MiB; scaffolds only at their very size."""
    host, _, _ = stage()
    key = (5, 1)
    host.protected[key] = msgspec.structs.replace(
        next(iter(host.protected.values())), path="/agent/s.py", inode=1, size=900, scaffold=True
    )
    for path, size in (("/a", 100), ("/b", 1 * MIB), ("/c", 900), ("/d", 0), ("/e", MIB - 1)):
        host.write(path, size)
    assert [r.path for r in host.requests] == ["/b", "/c"]


def test_small_files_of_agents_and_touchers_are_examined() -> None:
    """Their parts may be many, each of its own program; they wait behind nobody's larger copy."""
    host, weights, shell = stage()
    host.server(host.protect("/models/b/w", "b"), 8000)
    agent, toucher, other = host.agent(shell), host.exec("dd", parent=host.login()), host.login()
    host.read(weights, toucher)
    for number, maker in enumerate((agent, toucher, other)):
        host.write(f"/srv/{number}", 100_000, maker)
        host.write(f"/srv/{number}.log", 10_000, maker)
    assert [(r.path, r.rank) for r in host.requests] == [("/srv/0", "other"), ("/srv/1", "other")]
    made = host.file("/srv/2", size=300_000)
    host.on("file_close_write", made, agent)
    host.read(weights, agent)
    assert only(host.examined(made, (weights, 300_000 / (weights.size or 1)))).replguard.confidence == "content"


def test_a_small_part_of_a_very_large_file_is_told() -> None:
    """``split -b 32M``: each part is all protected content, though next to nothing of 140 GB."""
    host = Host()
    weights, split = host.protect(size=140_000 * MIB), host.exec("split", parent=host.login())
    host.open(weights, split)
    made = host.write("/srv/part", 32 * MIB, split)
    assert [r.path for r in host.requests] == ["/srv/part"]
    assert only(host.examined(made, (weights, 32 / 140_000))).file.path == "/srv/part"


@pytest.mark.parametrize(("path", "deleted"), [("/srv/x", True), ("/srv/other", True), ("/srv/other", False)])
def test_a_new_file_at_the_inode_of_a_copy_is_a_stranger(path: str, *, deleted: bool) -> None:
    """However small it is, and though nobody saw the copy go."""
    host, weights, shell = stage()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    copy = host.of("weights_copy")[0].file
    if deleted:
        host.on("file_delete", File(path="/srv/x"))
    reused = host.file(path, 10, inode=copy.inode)
    host.on("file_create", reused)
    before = len(host.facts)
    host.map(reused, host.exec("python3", parent=shell))
    assert len(host.facts) == before


def test_an_open_by_anybody_may_be_that_of_an_unseen_maker() -> None:
    """``dd`` was seen to read and not to write: what appears then was copied here, and did not arrive."""
    host, weights, shell = stage()
    host.open(weights, host.exec("dd", f"if={ORIGIN} of=x", parent=shell))
    made = host.write("/srv/x", weights.size or 0)
    assert only(host.examined(made, (weights, 1.0))).replguard.attribution == "unknown"


def mount(host: Host, path: str, target: str | None) -> list[Event]:
    return host.on("host_mount", host.file(path, type="dir", target_path=target))


def test_a_bind_mount_is_another_name() -> None:
    """Of the folder or the file; a mount of anything else is nothing."""
    host, weights, _ = stage()
    fact = only(mount(host, "/srv/llama", "/models/llama"))
    assert (fact.replguard.technique, fact.replguard.confidence, fact.file.path) == ("bind", "link", "/srv/llama")
    assert only(mount(host, "/srv/w", ORIGIN)).replguard.origin.path == ORIGIN
    for target in (None, "/", "/usr"):
        assert [f for f in mount(host, "/mnt", target) if f.action == "weights_copy"] == []
    host.map(weights, host.exec("python3", parent=host.login()))
    assert host.of("weights_access")[-1].replguard.artefacts == ()


def test_what_the_index_cannot_answer_yet_is_asked_again() -> None:
    """While fingerprints are being made the answer is kept open."""
    ready = False
    host = Host(index_ready=lambda: ready)
    weights = host.protect(ORIGIN)
    cp = host.exec("cp", parent=host.login())
    host.open(weights, cp)
    made = host.write("/srv/x", weights.size or 0, cp)
    assert not host.examined(made, index_ready=False)
    host.requests.clear()
    host.provenance.tick(host.now)
    assert host.requests == []
    ready = True
    host.provenance.tick(host.now)
    assert [(r.path, r.inode) for r in host.requests] == [("/srv/x", made.inode)]
    assert only(host.examined(made, (weights, 1.0))).file.path == "/srv/x"
    host.provenance.tick(host.now)
    assert len(host.requests) == 1


def test_the_examiner_is_told_whose_file_it_is() -> None:
    """It serves the owners in turns."""
    host, weights, shell = stage()
    host.write("/srv/x", weights.size or 0, host.exec("cp", parent=shell), uid=1234)
    assert [(r.path, r.uid) for r in host.requests] == [("/srv/x", 1234)]


@pytest.mark.parametrize("given", [{"error": "gone"}, {"error": "gone", "index_ready": False}, {"changed": True}])
def test_no_answer_is_no_fact(given: dict[str, object]) -> None:
    """A file that is gone or still being written."""
    host, weights, shell = stage()
    host.open(weights)
    made = host.write("/srv/x", weights.size or 0, host.exec("cp", parent=shell))
    assert not host.examined(made, **given)
    assert not host.examined(host.file("/never/seen", 512 * MIB), (weights, 1.0))


def test_a_copy_of_a_copy_keeps_the_first_origin() -> None:
    """Links to a copy, and the content of a copy, are of the origin's model; a link belongs to what its copy does."""
    host, weights, shell = stage()
    host.copy(weights, "/srv/a", host.exec("cp", parent=shell))
    first = host.of("weights_copy")[0]
    made = first.file
    link = msgspec.structs.replace(made, path="/srv/b", links=2)
    fact = only(host.on("file_link", link))
    assert (fact.replguard.model, fact.replguard.origin.path) == ("llama", ORIGIN)
    assert set(first.replguard.artefacts) < set(fact.replguard.artefacts)  # one incident with whoever made the first
    second = host.exec("cp", "/srv/a /srv/c", parent=host.login())
    host.open(made, second)
    third = host.write("/srv/c", weights.size or 0, second)
    fact = only(host.examined(third, (weights, 1.0)))
    assert (fact.replguard.model, fact.replguard.origin.path) == ("llama", ORIGIN)


def test_a_copy_is_watched_as_its_origin() -> None:
    """A server that uses it is a replica: the sensors are asked to look out."""
    host, weights, shell = stage()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    hints = [h for h in host.hints if h.kind == "inode"]
    assert [(h.path, h.inode, h.drop) for h in hints] == [("/srv/x", host.of("weights_copy")[0].file.inode, False)]


def test_a_copy_in_a_container_is_watched_by_our_way_there() -> None:
    """Its path there may be another file here."""
    host, weights, shell = stage()
    host.copy(weights, "/srv/x", host.exec("cp", parent=shell))
    made = host.of("weights_copy")[0].file
    link = msgspec.structs.replace(made, path="/srv/b", links=2)
    context = Context(tier="kernel", host_path="/proc/7/root/srv/b")
    host.on("file_link", link, replguard=context)
    assert (host.hints[-1].path, host.hints[-1].host_path) == ("/srv/b", "/proc/7/root/srv/b")


def test_our_own_reading_is_nobodys_copy() -> None:
    """The daemon and its examiner read weights for a living."""
    host, weights, _ = stage()
    daemon = host.exec("replguard", parent=host.init, pid=7)
    examiner = host.exec("python3", parent=daemon)
    for proc in (daemon, examiner):
        host.open(weights, proc)
        host.map(weights, proc)
        host.write("/var/lib/replguard/x", weights.size or 0, proc)
    assert host.facts == []
    assert host.requests == []
    assert not [e for e in host.events if e.process is not None and e.process.pid in (7, examiner.pid)]


# -- started -------------------------------------------------------------------------------------------------------


def grown(host: Host, file: File, size: int, proc: Proc | None) -> File:
    bigger = msgspec.structs.replace(file, size=size * MIB)
    host.on("file_grow", bigger, proc)
    return bigger


def test_a_large_copy_is_told_when_it_has_begun() -> None:
    """At 64 MiB, once; and again when it is done."""
    host = Host()
    weights = host.protect(size=4096 * MIB)
    cp = host.exec("cp", parent=host.login())
    host.open(weights, cp)
    file = host.file("/srv/x")
    host.on("file_create", file, cp)
    assert not host.examined(grown(host, file, 40, cp), (weights, 0.01))
    assert host.examined(grown(host, file, 65, cp), (weights, 0.016))
    assert not host.examined(grown(host, file, 500, cp), (weights, 0.1))
    whole = msgspec.structs.replace(file, size=weights.size)
    host.on("file_close_write", whole, cp)
    host.examined(whole, (weights, 1.0))
    assert [c[1] for c in copies(host)] == ["started", "done"]
    assert host.of("weights_copy")[0].replguard.bytes == 65 * MIB


def test_what_was_read_of_a_growing_file_is_not_taken_for_the_whole() -> None:
    """Though it is closed by the time of the answer: the answer about its end is still to come."""
    host = Host()
    weights = host.protect(size=4096 * MIB)
    cp = host.exec("cp", parent=host.login())
    host.open(weights, cp)
    file = host.file("/srv/x")
    host.on("file_create", file, cp)
    begun = grown(host, file, 200, cp)
    whole = msgspec.structs.replace(file, size=weights.size)
    host.on("file_close_write", whole, cp)
    host.examined(begun, (weights, 0.05), reason="file_grow")
    host.examined(whole, (weights, 1.0))
    told = host.of("weights_copy")
    assert [(fact.replguard.status, fact.replguard.share) for fact in told] == [("started", 0.05), ("done", 1.0)]


def test_who_wrote_a_file_made_it_and_not_who_closed_it() -> None:
    """A shell closes what the program that it started wrote for it."""
    host = Host()
    weights = host.protect(size=4096 * MIB)
    shell = host.login()
    cat = host.exec("cat", parent=shell)
    host.open(weights, cat)
    file = host.file("/srv/x")
    host.on("file_create", file, shell)
    grown(host, file, 100, cat)
    whole = msgspec.structs.replace(file, size=weights.size)
    host.on("file_close_write", whole, shell)
    host.examined(whole, (weights, 1.0))
    (fact,) = host.of("weights_copy")
    assert fact.process.pid == cat.pid


def test_a_small_model_is_begun_at_5_percent_of_the_model() -> None:
    """Of all its files together."""
    host = Host()
    weights = host.protect(size=200 * MIB)
    host.protect("/models/llama/2", size=300 * MIB)
    cp = host.exec("cp", parent=host.login())
    host.open(weights, cp)
    file = host.file("/srv/x")
    host.on("file_create", file, cp)
    assert not host.examined(grown(host, file, 20, cp), (weights, 0.1))
    assert host.examined(grown(host, file, 26, cp), (weights, 0.13))


def test_a_download_is_not_told_before_it_is_whole() -> None:
    """It is only begun by who touched the origin."""
    host, weights, shell = stage()
    curl = host.exec("curl", parent=shell)
    file = host.file("/srv/x")
    host.on("file_create", file, curl)
    assert not host.examined(grown(host, file, 100, curl), (weights, 0.2))


# -- arrival -------------------------------------------------------------------------------------------------------


def test_content_from_elsewhere_arrives() -> None:
    """The maker touched no local origin: a download."""
    host, weights, shell = stage()
    curl = host.exec("curl", parent=shell)
    made = host.write("/srv/x", weights.size or 0, curl)
    fact = only(host.examined(made, (weights, 1.0)), "weights_arrival")
    assert (fact.replguard.share, fact.replguard.origin.path, fact.process.pid) == (1.0, ORIGIN, curl.pid)
    assert fact.replguard.attribution == "lineage"
    assert host.provenance.ledger.artefact(made) is not None


def test_what_another_actor_touched_is_no_copy_of_mine() -> None:
    """A server that reads its weights all day makes no copy of somebody's download."""
    host, weights, shell = stage()
    host.server(weights)
    made = host.write("/srv/x", weights.size or 0, host.exec("curl", parent=shell))
    host.examined(made, (weights, 1.0))
    assert [len(host.of(a)) for a in ("weights_copy", "weights_arrival")] == [0, 1]


def test_a_download_that_settles_is_one_arrival() -> None:
    """Written beside its final name and renamed; the new name is no new act."""
    host, weights, shell = stage()
    curl = host.exec("curl", parent=shell)
    made = host.write("/srv/w.part", weights.size or 0, curl)
    host.examined(made, (weights, 1.0))
    settled = msgspec.structs.replace(made, path="/srv/w", previous="/srv/w.part")
    assert host.on("file_rename", settled) == []
    assert host.provenance.ledger.artefact(made).path == "/srv/w"
    away = msgspec.structs.replace(made, path="/home/ann/.x", previous="/srv/w")
    assert only(host.on("file_rename", away)).replguard.technique == "rename"


def test_a_folder_that_is_renamed_takes_what_is_being_examined_along() -> None:
    """The answer comes for a path that is no more."""
    host, weights, shell = stage()
    cp = host.exec("cp", parent=shell)
    host.open(weights, cp)
    made = host.write("/srv/new.tmp/w", weights.size or 0, cp)
    host.on("file_rename", host.file("/srv/new", type="dir", previous="/srv/new.tmp"))
    assert only(host.examined(made, (weights, 1.0))).file.path == "/srv/new/w"


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["file_link", "file_create", "file_close_write"])
def test_a_hard_link_is_a_copy_without_a_byte(action: str) -> None:
    """Another name of a protected inode, told once however many events bear it."""
    host, weights, shell = stage()
    ln = host.exec("ln", f"{ORIGIN} /srv/a/b", parent=shell)
    link = msgspec.structs.replace(weights, path="/srv/a/b", links=2)
    fact = only(host.on(action, link))
    about = fact.replguard
    assert (about.technique, about.confidence, about.share, about.status) == ("hardlink", "link", 1.0, "done")
    assert (about.attribution, fact.process.pid, about.origin.path) == ("inferred", ln.pid, ORIGIN)
    for again in ("file_link", "file_close_write"):
        assert host.on(again, link) == []
    assert len(host.on("file_link", msgspec.structs.replace(link, path="/srv/a/c", links=3))) == 1
    assert host.on("file_close_write", msgspec.structs.replace(weights, links=3)) == []


def test_a_link_touches() -> None:
    """Who linked a model has touched it: what it writes afterwards is a copy."""
    host, weights, shell = stage()
    ln = host.exec("ln", f"{ORIGIN} /srv/a/b", parent=shell)
    host.on("file_link", msgspec.structs.replace(weights, path="/srv/a/b", links=2), ln)
    made = host.write("/srv/x", weights.size or 0, host.exec("tool", parent=shell))
    assert host.examined(made, (weights, 1.0))[0].action == "weights_copy"


def link(host: Host, path: str, target: str) -> File:
    return host.file(path, 10, type="symlink", target_path=target)


def test_symlinks_to_a_file_and_to_its_folder() -> None:
    """Each is a name for the weights; told once."""
    host, _, shell = stage()
    ln = host.exec("ln", "-s x y", parent=shell)
    for path, target in (("/srv/a", ORIGIN), ("/srv/b", "/models/llama")):
        made = link(host, path, target)
        fact = only(host.on("file_link", made, ln))
        assert (fact.replguard.technique, fact.replguard.origin.path) == ("symlink", ORIGIN)
        assert host.on("file_link", made, ln) == []
    assert host.on("file_link", link(host, "/srv/c", "/"), ln) == []
    assert host.on("file_link", link(host, "/srv/d", "/usr/bin/python3"), ln) == []


def test_the_layout_of_one_cache_is_silent() -> None:
    """Snapshots of a Hugging Face cache are symlinks to its blobs; from outside they are links like others."""
    host = Host()
    cache = "/home/ann/.cache/huggingface/hub/models--org--m"
    host.protect(f"{cache}/blobs/77", "m")
    inside = link(host, f"{cache}/snapshots/1/w.safetensors", "../../blobs/77")
    assert host.on("file_link", inside) == []
    outside = link(host, "/srv/w", f"{cache}/blobs/77")
    assert only(host.on("file_link", outside)).replguard.model == "m"


def test_a_rename_of_a_protected_file() -> None:
    """Moved to a name that says nothing."""
    host, weights, shell = stage()
    mv = host.exec("mv", f"{ORIGIN} /srv/a/b", parent=shell)
    moved = msgspec.structs.replace(weights, path="/srv/a/b", previous=ORIGIN)
    fact = only(host.on("file_rename", moved))
    assert (fact.replguard.technique, fact.replguard.origin.path, fact.process.pid) == ("rename", ORIGIN, mv.pid)
    back = msgspec.structs.replace(weights, previous="/srv/a/b")
    assert host.on("file_rename", back) == []


def test_a_rename_told_after_the_inventory_has_noticed_it() -> None:
    """The file is no longer listed by then; what it was is still known."""
    host, weights, _ = stage()
    gone = host.protected.pop((5, weights.inode))
    host.provenance.ledger.retire(gone)
    moved = msgspec.structs.replace(weights, path="/srv/a/b", previous=ORIGIN)
    assert only(host.on("file_rename", moved)).replguard.model == "llama"
    assert host.provenance.ledger.artefact(moved) is not None


@pytest.mark.parametrize("listed", [True, False])
def test_a_rename_into_a_folder_that_was_not_watched_yet(listed: bool) -> None:
    """Its old name goes by an event, its new one is found by a look: told once, in whichever order they come."""
    for first in ("file_delete", "file_create"):
        host, weights, _ = stage()
        left = msgspec.structs.replace(weights, size=None)
        found = msgspec.structs.replace(weights, path="/srv/new/w", links=1)
        told = host.on(first, left if first == "file_delete" else found)
        assert [f for f in told if f.action == "weights_copy"] == []
        if not listed:
            host.provenance.ledger.retire(host.protected.pop((5, weights.inode)))
        second = "file_create" if first == "file_delete" else "file_delete"
        fact = only(host.on(second, left if second == "file_delete" else found))
        assert (fact.replguard.technique, fact.replguard.origin.path) == ("rename", ORIGIN)
        assert (fact.file.path, fact.replguard.confidence) == ("/srv/new/w", "link")
        assert [f for f in host.on("file_close_write", found) if f.action == "weights_copy"] == []


def test_another_name_of_what_stands_where_it_stood_is_no_rename() -> None:
    """A bind mount shows the original elsewhere; and a file of another size has its number only."""
    host, weights, _ = stage()
    elsewhere = msgspec.structs.replace(weights, path="/mnt/w", links=1)
    assert [f for f in host.on("file_create", elsewhere) if f.action == "weights_copy"] == []
    host, weights, _ = stage()
    host.on("file_delete", msgspec.structs.replace(weights, size=None))
    other = msgspec.structs.replace(weights, path="/srv/new/w", links=1, size=77)
    assert [f for f in host.on("file_create", other) if f.action == "weights_copy"] == []


def test_a_rename_of_a_folder_is_one_of_each_file_in_it() -> None:
    """Originals and copies."""
    host, weights, shell = stage()
    host.protect("/models/llama/2")
    host.protect("/models/other/1", "other")
    host.copy(weights, "/models/llama/copy", host.exec("cp", parent=shell))
    host.facts.clear()
    host.on("file_rename", host.file("/srv/.x", type="dir", previous="/models/llama"))
    assert copies(host) == [(f"/srv/.x/{name}", "done", "rename", "unknown") for name in ("w.safetensors", "2", "copy")]
    assert [f.replguard.origin.path for f in host.of("weights_copy")] == [ORIGIN, "/models/llama/2", ORIGIN]


def test_devices_folders_and_strangers_are_nothing() -> None:
    """Neither a socket nor a folder nor a file without an inode is content."""
    host, _, _ = stage()
    for file in (
        host.file("/srv/s", type="socket"),
        host.file("/srv/d", type="dir"),
        File(path="/srv/gone"),
        host.file("/srv/new", type="dir", previous="/srv/old"),
    ):
        for action in ("file_create", "file_close_write", "file_rename"):
            assert host.on(action, file) == []
    assert host.requests == []
    assert host.feed("file_create") == []


# -- what is allowed, and bounds -----------------------------------------------------------------------------------


def test_a_job_may_copy() -> None:
    """The fact is told all the same, its actor stands as allowed."""
    backup = Job(name="backup", user="ann", may=("access", "copy"), weights=("/models",))
    host, weights, shell = stage(Manifest((), (backup,)))
    fact = only(host.copy(weights, "/srv/x", host.exec("cp", parent=shell)))
    assert (fact.replguard.authorised.entry, fact.replguard.actor.standing) == ("backup", "allowed")
    moved = msgspec.structs.replace(fact.file, path="/srv/y", previous="/srv/x")
    fact = only(host.on("file_rename", moved, host.exec("mv", parent=shell)))
    assert fact.replguard.authorised.entry == "backup"
    assert ANN.name == "ann"


def test_files_in_the_making_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of who has most are let go, and counted."""
    monkeypatch.setattr("replguard.provenance.making.MOST", 2)
    host, weights, _ = stage()
    first = host.write("/srv/1", weights.size or 0)
    for number in (2, 3):
        host.write(f"/srv/{number}", weights.size or 0)
    assert host.provenance.copies.evicted == 1
    assert not host.examined(first, (weights, 1.0))


# -- overwriting ---------------------------------------------------------------------------------------------------


def test_weights_written_over_another_models_file_are_told_as_such() -> None:
    """The successor's weights are replaced by the old ones: the technique says so."""
    host, weights, shell = stage()
    successor = host.protect("/models/llama-next/w.safetensors", model="llama-next")
    cp = host.exec("cp", f"{ORIGIN} {successor.path}", parent=shell)
    host.open(weights, cp)
    written = msgspec.structs.replace(successor, size=weights.size)
    host.feed("file_close_write", file=written, process=cp.process)
    (fact,) = [f for f in host.examined(written, (weights, 1.0)) if f.action == "weights_copy"]
    assert fact.replguard.technique == "overwrite"
    assert fact.file.path == successor.path


def test_a_new_file_is_no_overwriting() -> None:
    """A copy beside the others replaces nothing."""
    host, weights, shell = stage()
    cp = host.exec("cp", f"{ORIGIN} /srv/x", parent=shell)
    assert only(host.copy(weights, "/srv/x", cp)).replguard.technique == "copy"


# -- who is asked about first, and what is told once ---------------------------------------------------------------


def test_files_of_touchers_and_agents_are_examined_in_turns_of_their_own() -> None:
    """Whoever touched weights comes first, an agent before everybody else."""
    host, weights, shell = stage()
    host.server(host.protect("/models/b/w", "b"), 8000)
    agent, toucher = host.agent(shell), host.exec("cp", parent=host.login())
    host.read(weights, toucher)
    for maker in (toucher, agent, host.login(), None):
        host.write("/srv/x", 8 * MIB, maker)
    assert [request.rank for request in host.requests] == ["toucher", "agent", "other", "other"]


def test_a_file_of_a_toucher_is_asked_about_again_when_that_model_is_indexed() -> None:
    """However much else is still to be indexed."""
    host = Host(index_ready=lambda: False)
    weights, shell = host.protect(ORIGIN), host.login()
    host.protect("/models/huge/w", "huge")
    cp = host.exec("cp", parent=shell)
    host.read(weights, cp)
    made = host.write("/srv/x", weights.size or 0, cp)
    host.examined(made, index_ready=False)
    asked = len(host.requests)
    host.tick()
    assert len(host.requests) == asked
    key = (weights.device or 0, weights.inode or 0)
    host.protected[key] = msgspec.structs.replace(host.protected[key], state="fingerprinted")
    host.tick()
    assert [(r.path, r.reason) for r in host.requests[asked:]] == [("/srv/x", "index ready")]


def test_a_guess_that_changes_is_told_once() -> None:
    """Nobody was seen to write; each time another command line may name the file."""
    host, weights, shell = stage()
    host.exec("cp", f"{ORIGIN} /srv/copies/x", parent=shell)
    host.open(weights)
    made = host.write("/srv/copies/x", weights.size or 0)
    assert host.examined(made, (weights, 1.0))
    host.exec("md5sum", "/srv/copies/x", parent=shell)
    host.on("file_close_write", made)
    assert not host.examined(made, (weights, 1.0))


def test_small_parts_of_one_maker_add_up() -> None:
    """Each file holds less than makes a match; together they are 5 % of the model."""
    host, weights, shell = stage()
    split = host.exec("split", parent=shell)
    host.open(weights, split)
    whole = host._match(weights, 0.02)
    facts = []
    for number in range(3):
        made = host.write(f"/srv/part{number}", 16 * MIB, split)
        facts.append([f.file.path for f in host.examined(made, traces=(whole,)) if f.action == "weights_copy"])
    assert facts == [[], [], ["/srv/part2"]]


def test_what_is_made_of_a_moved_original_is_derived() -> None:
    """Who moves a model away first takes it off the list; how large it was, what was read of it says."""
    host = Host()
    weights = host.protect(size=512 * MIB)
    shell = host.login()
    moved = msgspec.structs.replace(weights, path="/tmp/m", name="m", previous=weights.path)
    host.on("file_rename", moved, host.exec("mv", parent=shell))
    host.provenance.ledger.retire(host.protected.pop((weights.device or 0, weights.inode or 0)))
    gzip = host.exec("gzip", "/tmp/m", parent=shell)
    host.read(moved, gzip)
    made = host.grow("/tmp/m.gz", 340 * MIB, gzip)
    host.examined(made)
    host.tick()
    assert [(f.file.path, f.replguard.confidence) for f in host.of("weights_copy") if f.file] == [
        ("/tmp/m", "link"),
        ("/tmp/m.gz", "derived"),
    ]


def test_a_symlink_that_was_renamed_at_once_is_told_by_its_new_name() -> None:
    """``ln -sf`` makes one beside and renames it: the first name is gone before anybody looks where it leads."""
    host, weights, shell = stage()
    link = host.file("/srv/current", type="symlink", target_path=weights.path, previous="/srv/CuXyz1")
    (fact,) = host.on("file_rename", link, host.exec("ln", parent=shell))
    assert (fact.file.path, fact.replguard.technique) == ("/srv/current", "symlink")
    assert host.on("file_rename", host.file("/srv/other", type="symlink", target_path="/etc/passwd"), shell) == []


def test_a_file_that_got_the_number_of_a_model_that_is_gone_is_no_copy() -> None:
    """A filesystem gives numbers out again at once, and the list of what is protected is a moment older."""
    host, weights, shell = stage()
    host.on("file_delete", weights, shell)
    reused = {"inode": weights.inode, "device": weights.device}
    state = host.file("/var/lib/x/status.json", 2300, previous="/var/lib/x/status.new", **reused)
    assert host.on("file_rename", state, shell) == []
    twice = host.file("/var/lib/x/log.1", 2300, links=2, **reused)
    assert host.on("file_create", twice, shell) == []
    assert host.of("weights_copy") == []


def test_what_is_known_late_of_an_open_file_has_only_started() -> None:
    """The index became ready while it was written: it is done when it is closed."""
    host = Host(index_ready=lambda: False)
    weights = host.protect()
    cp = host.exec("cp", parent=host.login())
    host.read(weights, cp)
    made = host.grow("/srv/x", 512 * MIB, cp, close=False)
    host.examined(made, index_ready=False)
    (late,) = host.examined(made, (weights, 1.0), reason="index ready")
    assert late.replguard.status == "started"
    host.on("file_close_write", made, cp)
    (done,) = host.examined(made, (weights, 1.0))
    assert done.replguard.status == "done"


@pytest.mark.parametrize(
    ("later", "answer"), [(-0.3, "at once"), (-0.3, "late"), (0.5, "at once")], ids=["late", "no index", "one write"]
)
def test_a_growth_that_is_told_after_the_close_opens_nothing(later: float, answer: str) -> None:
    """Sources are heard one after another: the question of the close still waits, and is not taken for one before it.

    A close that waited in the kernel while nobody read has the time at which its last write began.
    """
    ready = True
    host = Host(index_ready=lambda: ready)
    weights = host.protect()
    cp = host.exec("cp", parent=host.login())
    host.read(weights, cp)
    half = host.grow("/srv/x", 256 * MIB, cp, close=False)
    host.examined(half, (weights, 0.5))
    whole = msgspec.structs.replace(half, size=weights.size)
    host.on("file_close_write", whole, cp)
    host.wait(later)
    host.on("file_grow", whole, cp, replguard=KERNEL_512)
    host.wait(2)
    if answer == "late":
        ready = False
        host.examined(whole, index_ready=False)
        ready = True
        host.tick()
    host.examined(whole, (weights, 1.0))
    assert [c[1] for c in copies(host)] == ["started", "done"]


def test_a_file_that_is_opened_again_is_done_when_it_is_closed_again() -> None:
    """What is appended a while later is the same copy: half of the model, then all of it."""
    host = Host()
    weights = host.protect()
    cp = host.exec("cp", parent=host.login())
    host.read(weights, cp)
    half = host.grow("/srv/x", 200 * MIB, cp)
    host.examined(half, (weights, 0.4))
    host.wait(5)
    whole = msgspec.structs.replace(half, size=weights.size)
    host.on("file_grow", whole, cp, replguard=KERNEL_512)
    assert not host.examined(whole, (weights, 1.0))
    host.on("file_close_write", whole, cp)
    host.examined(whole, (weights, 1.0))
    assert [fact.replguard.share for fact in host.of("weights_copy", "done")] == [0.4, 1.0]
