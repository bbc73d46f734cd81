"""The chain through a stream."""

import base64
import hashlib

import msgspec
from nacl.signing import VerifyKey
from support import logs

from replguard.forensics import trust
from replguard.log import chain, names, reader
from replguard.log.chain import BLOCK, START
from replguard.log.keys import Verifier
from replguard.log.tree import Tree


def lines(path):
    return [line for found in reader.lines(path) for line in found[1]]


def test_every_line_is_chained_and_every_block_sealed(tmp_path):
    """From the first header on; whoever knows SHA-256 and Ed25519 can check it without us."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=40)
    hash_, tree, seals, before, merkle = START, 0, 0, None, Tree()
    for path in logs.segments(folder):
        first, *others = lines(path)
        header = msgspec.json.decode(first, type=names.Header)
        assert (header.prev, header.size) == (hash_.hex(), tree)
        assert before in (None, header.by)
        assert Verifier(header.by).holds(chain.unsigned(header), header.signature)
        before, marks, hash_ = header.key, [], chain.link(hash_, first)
        for line in others:
            if b'"seal"' not in line:
                hash_ = chain.link(hash_, line)
                marks.append(hash_[:4].hex())
                continue
            seal = msgspec.json.decode(line, type=names.Seal)
            assert (seal.seal, seal.chain, seal.marks) == (tree, hash_.hex(), "".join(marks))
            merkle.append(hash_)
            tree, seals, marks, hash_ = tree + 1, seals + 1, [], chain.link(hash_, line)
            note = f"{header.origin}\n{tree}\n{base64.b64encode(merkle.root()).decode()}\n"
            assert Verifier(header.key).holds(note.encode(), seal.signature)
        assert marks == []
    assert seals >= 8


def test_a_note_is_what_the_standard_says(tmp_path):
    """Text, an empty line, and the signature of a named key: C2SP signed-note, told without us."""
    to = logs.writer(tmp_path / "log", tmp_path / "state")
    assert not to.checkpoint()
    to.write(logs.event(1), logs.NOW)
    to.flush(logs.NOW)
    assert to.checkpoint()
    (made,) = to.checkpoints(10)
    to.close(now=logs.NOW)
    text, signed = made.note.split("\n\n")
    origin, size, root = text.split("\n")
    dash, name, told = signed.rstrip("\n").split(" ")
    assert (dash, name, size, made.size, made.stream) == ("—", origin, "1", 1, "raw")
    key, data = base64.b64decode(made.key), base64.b64decode(told)
    assert data[:4] == hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]
    VerifyKey(key).verify(text.encode() + b"\n", data[4:])
    found = logs.found(tmp_path / "log", trust=(trust.Checkpoint(origin, 1, root),))
    assert (found.findings, len(found.trusted)) == ([], 1)


def test_a_block_ends_with_its_last_line(tmp_path):
    """Also within a second, for whoever checks it wants to name the line."""
    to = logs.writer(tmp_path / "log", tmp_path / "state", limits=logs.Stream())
    for number in range(2 * BLOCK + 10):
        to.write(logs.event(number), logs.NOW)
    to.close(now=logs.NOW)
    found = logs.found(tmp_path / "log")
    assert (found.parts[0].blocks, found.records, found.findings) == (3, 2 * BLOCK + 10, [])


def test_a_restart_goes_on_with_the_chain(tmp_path):
    """Also after a crash, behind the last whole line."""
    folder, state = tmp_path / "log", tmp_path / "state"
    logs.made(folder, state, count=7)
    (first,) = logs.segments(folder)
    with first.open("ab") as file:
        file.write(b'{"torn":')
    logs.made(folder, state, count=7)
    found = logs.found(folder)
    assert (found.findings, found.records, [part.torn for part in found.parts]) == ([], 14, [True, False])


def test_a_lost_key_is_told_by_whoever_verifies(tmp_path):
    """The log goes on, and the chain of keys does not."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=7)
    logs.made(folder, tmp_path / "other", count=7)
    assert any("does not vouch" in str(each) for each in logs.found(folder).findings)
