"""Records are proven to stand in the log, by what somebody else can check."""

import random

import pytest
from support import cases, logs

from replguard.events import wire
from replguard.forensics import incident, proof, trust
from replguard.forensics.register import Line
from replguard.log import keys
from replguard.log.chain import link
from replguard.log.tree import root_by


@pytest.fixture
def folder(tmp_path):
    """Give a log with an incident, not compressed."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    logs.plain(folder)
    return folder


def wanted(folder):
    return [entry.at for entry in incident.gather(folder, cases.INCIDENT).entries]


def holds(proofs):
    """Return whether each block leads to the root, and how many lines they have."""
    for block in proofs.blocks:
        chain = block.before
        for line in block.lines:
            chain = link(chain, line)
        if root_by(chain, block.leaf, proofs.head.size, block.way) != proofs.head.root:
            return False
    return keys.Verifier(proofs.head.key).holds(proofs.head.text, proofs.head.signature)


def test_every_record_is_proven(folder):
    """By the newest seal, whose key the headers lead to from the first one."""
    lines = wanted(folder)
    proofs = proof.prove(folder, lines)
    assert holds(proofs)
    assert (proofs.unproven, proofs.troubles) == ({}, [])
    within = {(b.segment, b.first + n): line for b in proofs.blocks for n, line in enumerate(b.lines)}
    assert {(each.segment, each.line): each.data for each in lines}.items() <= within.items()
    found = logs.found(folder, "evidence")
    assert (proofs.head.origin, proofs.head.size, keys.text(proofs.head.root)) == (
        found.checkpoint.origin,
        found.checkpoint.size,
        found.checkpoint.root,
    )
    assert proof.first_key(proofs.headers) == found.parts[0].header.by
    assert len(proofs.headers) == len(found.parts)


def test_by_a_checkpoint_that_was_kept(folder):
    """The tree is as large as it was then; what came later is not proven by it."""
    before = logs.found(folder, "evidence")
    size = before.parts[3].header.size
    root = next(
        iter(
            logs.found(folder, "evidence", (trust.Checkpoint(before.checkpoint.origin, size, "x"),))
            .parts[3]
            .roots.values()
        )
    )
    proofs = proof.prove(folder, wanted(folder), trust.Checkpoint(before.checkpoint.origin, size, root))
    assert holds(proofs)
    assert (proofs.head.size, keys.text(proofs.head.root)) == (size, root)
    assert set(proofs.unproven.values()) == {proof.BEYOND}
    assert len(proofs.headers) == 3


def test_a_checkpoint_from_before_it_proves_nothing(folder):
    """And says so."""
    found = logs.found(folder, "evidence").checkpoint
    proofs = proof.prove(folder, wanted(folder)[-1:], trust.Checkpoint(found.origin, 1, found.root))
    assert (proofs.head, proofs.blocks) == (None, [])
    assert "the checkpoint is older than the incident" in proofs.troubles[0]


def test_a_checkpoint_that_does_not_hold_is_told(folder):
    """The log was written anew, or the checkpoint is of another one, or of what was cut."""
    found = logs.found(folder, "evidence").checkpoint
    for kept, says in (
        (trust.Checkpoint(found.origin, found.size, "A" * 43 + "="), "this is not the log of the checkpoint"),
        (
            trust.Checkpoint("replguard/evidence/other", found.size, found.root),
            "this is not the log of the checkpoint",
        ),
        (trust.Checkpoint(found.origin, found.size + 5, found.root), "the log is shorter than the checkpoint"),
    ):
        assert says in " ".join(proof.prove(folder, wanted(folder), kept).troubles)


def test_a_changed_line_is_not_proven(folder):
    """It is named, and what stands beside it in its block is told to; what stands in other blocks is proven."""
    path = next(path for path in logs.segments(folder, "evidence") if b"weights_copy" in path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b'"size":1073741824', b'"size":1073741825'))
    proofs = proof.prove(folder, wanted(folder))
    number = next(n for n, line in enumerate(path.read_bytes().split(b"\n"), 1) if b'"size":1073741825' in line)
    segment = int(path.name.split("-")[1].split(".")[0])
    assert [place for place, why in proofs.unproven.items() if why == proof.CHANGED] == [(segment, number)]
    beside = {why for place, why in proofs.unproven.items() if place != (segment, number)}
    assert beside == {f"in a block that was changed at line {number}"}
    assert proofs.troubles == [f"{path.name}:{number}: this line is not what was written: see `replguard verify`"]
    assert proofs.blocks
    assert holds(proofs)


def test_what_is_not_sealed_yet_is_not_proven(tmp_path):
    """The last second of a log that is being written."""
    to = logs.writer(tmp_path / "log", tmp_path / "state", "evidence", cases.LARGE)
    logs.fill(to, range(7))
    to.flush(logs.NOW)
    lines = [Line(1, 2, wire.encode(logs.event(0))), Line(1, 9, wire.encode(logs.event(6)))]
    proofs = proof.prove(tmp_path / "log", lines)
    assert proofs.unproven == {(1, 9): proof.OPEN}
    assert holds(proofs)
    to.close()


def test_the_proof_goes_on_behind_a_crash(tmp_path):
    """What was not sealed then never is, and what came before and after is proven."""
    folder = tmp_path / "log"
    for numbers in (range(7), range(7, 15)):
        to = logs.writer(folder, tmp_path / "state", "evidence", cases.LARGE)
        logs.fill(to, numbers)
        to.flush(logs.NOW)
        to._let_go()
        assert to._sync.wait(60)
        to._archive.stop(60)
    lines = [Line(number, line, b"") for number in (1, 2) for line in range(2, 9)]
    proofs = proof.prove(folder, lines)
    assert holds(proofs)
    assert proofs.troubles == []
    assert {place for place, why in proofs.unproven.items() if why == proof.OPEN} >= {(1, 8)}
    assert {block.segment for block in proofs.blocks} == {1, 2}


def test_what_is_older_than_the_chain_is_not_proven(folder):
    """Its segments name no key."""
    path = next(iter(logs.segments(folder, "evidence")))
    path.write_bytes(b'{"log":"replguard","schema":1,"stream":"evidence","segment":1,"boot_id":"b"}\n{"a":1}\n')
    for other in list(logs.segments(folder, "evidence"))[1:]:
        other.unlink()
    proofs = proof.prove(folder, [Line(1, 2, b'{"a":1}')])
    assert (proofs.unproven, proofs.head, proofs.troubles) == ({(1, 2): proof.OLD}, None, [])


def test_nothing_wanted_needs_no_proof(folder):
    """An incident without records has none."""
    assert proof.prove(folder, []) == proof.Proofs()


def test_whatever_is_changed_no_false_proof_is_made(folder):
    """Any byte, any line: what is told as proven is, and nothing is raised."""
    lines = {(each.segment, each.line): each.data for each in wanted(folder)}
    paths, rand = list(logs.segments(folder, "evidence")), random.Random(3)
    root = proof.prove(folder, wanted(folder)).head.root
    written = {line for path in paths for line in path.read_bytes().split(b"\n")}
    for turn in range(150):
        path = rand.choice(paths)
        whole = path.read_bytes()
        data = bytearray(whole)
        if turn % 3:
            data[rand.randrange(len(data))] ^= 1 << rand.randrange(8)
        else:
            some = whole.split(b"\n")
            some.insert(rand.randrange(len(some)), some.pop(rand.randrange(len(some))))
            data = b"\n".join(some)
        path.write_bytes(data)
        proofs = proof.prove(folder, [Line(*place, b"") for place in lines])
        if proofs.head is not None:
            assert holds(proofs)
            if proofs.head.root == root:
                assert {line for block in proofs.blocks for line in block.lines} <= written
        path.write_bytes(whole)


def test_where_a_checkpoint_ends(folder):
    """At the seal of its last block, wherever that stands; one of another size ends nowhere."""
    found = logs.found(folder, "evidence")
    for size in range(1, found.checkpoint.size + 1):
        segment, line = proof.reach(folder, trust.Checkpoint(found.checkpoint.origin, size, "x"))
        path = next(path for path in logs.segments(folder, "evidence") if f"-{segment:06}." in path.name)
        assert f'"seal":{size - 1},'.encode() in path.read_bytes().split(b"\n")[line - 1]
    for size in (0, found.checkpoint.size + 1):
        assert proof.reach(folder, trust.Checkpoint(found.checkpoint.origin, size, "x")) is None
