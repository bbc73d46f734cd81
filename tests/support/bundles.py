"""Bundles of incidents, taken apart and put together again; and who checks one knowing nothing but its description."""

import base64
import hashlib
import json
import zipfile
from pathlib import Path

from nacl.signing import VerifyKey
from support import cases

from replguard.alerts import clauses
from replguard.forensics import bundle, incident, proof
from replguard.forensics import check as checking
from replguard.rules.model import RuleSet


def made(folder: Path, checkpoint=None, today=None) -> bytes:
    """Return the bundle of the incident of ``cases`` in a log."""
    until = proof.reach(folder, checkpoint) if checkpoint is not None else None
    found = incident.gather(folder, cases.INCIDENT, until=until)
    proofs = proof.prove(folder, [entry.at for entry in found.entries], checkpoint)
    return bundle.packed(found, proofs, clauses, today or RuleSet().cited)


def check(path: Path, trust=()) -> checking.Checked:
    """Return what is found of a bundle."""
    return checking.check(path, trust, clauses)


def files(path: Path) -> dict[str, bytes]:
    """Return what is in a bundle."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put(path: Path, files_: dict[str, bytes], *, forged: bool = False) -> Path:
    """Write a bundle; a forger makes its manifest fit what he changed."""
    if forged:
        manifest = json.loads(files_["manifest.json"])
        manifest["files"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in files_.items()
            if name != "manifest.json"
        }
        files_ = {**files_, "manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files_.items():
            archive.writestr(name, data)
    return path


def proven(path: Path, first_key: str) -> list[bytes]:
    """Return the records of a bundle if the key proves them: written from docs/reference/bundle.md alone."""
    sha256 = lambda data: hashlib.sha256(data).digest()  # noqa: E731 - as the page writes it
    inside = files(path)

    def check(key: str, signed: bytes, signature: str) -> None:
        VerifyKey(base64.b64decode(key)).verify(signed, base64.b64decode(signature))

    key, name = first_key, None
    for line in inside["headers.jsonl"].splitlines():
        header = json.loads(line)
        unsigned, _, _ = line.rpartition(b',"signature":')
        assert header["by"] == key
        check(key, unsigned + b',"signature":null}', header["signature"])
        key, name = header["key"], header["origin"]
    text, _, signature = inside["checkpoint"].decode().partition("\n\n")
    origin, size, root = text.split("\n")
    assert origin == name
    check(key, (text + "\n").encode(), base64.b64encode(base64.b64decode(signature.split(" ")[2])[4:]).decode())

    def subtree(leaf: bytes, index: int, count: int, path_: list[bytes]) -> bytes:
        """Return the root of a tree of so many leaves (RFC 6962, 2.1), the sibling of the topmost node last."""
        if count == 1:
            assert not path_
            return leaf
        half = 1 << (count - 1).bit_length() - 1
        *below, beside = path_
        if index < half:
            return sha256(b"\1" + subtree(leaf, index, half, below) + beside)
        return sha256(b"\1" + beside + subtree(leaf, index - half, count - half, below))

    records = inside["records.jsonl"].split(b"\n")[:-1]
    rest = list(records)
    for line in inside["proofs.jsonl"].splitlines():
        step = json.loads(line)
        chain = bytes.fromhex(step["before"])
        for record in rest[: step["lines"]]:
            chain = sha256(chain + record)
        rest = rest[step["lines"] :]
        way = [bytes.fromhex(each) for each in step["path"]]
        assert subtree(sha256(b"\0" + chain), step["leaf"], int(size), way) == base64.b64decode(root)
    assert not rest
    return records
