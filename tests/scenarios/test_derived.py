"""What real programs make of weights shares no bytes with them, and is told all the same; what only looks so is not."""

import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import daemon

from replguard.config import Config
from replguard.drill import dummy
from replguard.sensors import registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
SECONDS = 30.0
"""How long a fact is waited for; the machine may be busy."""
TENSORS = 6
"""24 MiB."""
SEAL = "openssl enc -aes-256-cbc -pbkdf2 -pass pass:x"
QUANTISE = (
    "import numpy, sys; bits = numpy.fromfile(sys.argv[1], dtype=numpy.uint16).astype(numpy.uint32) << 16;"
    "values = numpy.nan_to_num(bits.view(numpy.float32), posinf=0, neginf=0);"
    "(values.clip(-1, 1) * 127).astype(numpy.int8).tofile(sys.argv[2])"
)
XOR = (
    "import sys; data = open(sys.argv[1], 'rb').read();"
    "open(sys.argv[2], 'r+b' if sys.argv[1] == sys.argv[2] else 'wb').write(bytes(b ^ 90 for b in data))"
)
FEED = (
    "import shutil, subprocess, sys; out = open(sys.argv[2], 'wb');"
    "zip = subprocess.Popen(['gzip', '-1'], stdin=subprocess.PIPE, stdout=out);"
    "shutil.copyfileobj(open(sys.argv[1], 'rb'), zip.stdin); zip.stdin.close(); zip.wait()"
)
BLOB = (
    "import sqlite3, sys; base = sqlite3.connect(sys.argv[2]); base.execute('create table t (b blob)');"
    "base.execute('insert into t values (?)', (open(sys.argv[1], 'rb').read()[::-1],)); base.commit()"
)
LOG = "import sys; data = open(sys.argv[1], 'rb').read(); open(sys.argv[2], 'wb').write(data[:: 2 * 24][::-1])"
"""Writes a 48th of what it reads."""
READ = "import sys; sys.stdin.buffer.read(); file = open(sys.argv[1], 'rb'); file.read()"

WAYS = {
    "gzip": ("gzip", "gzip -1 -c {model} > {out}/x"),
    "zstd": ("zstd", "zstd -q -1 {model} -o {out}/x"),
    "xz": ("xz", "xz -0 -c {model} > {out}/x"),
    "openssl": ("openssl", SEAL + " -in {model} -out {out}/x"),
    "gpg": (
        "gpg",
        "gpg --homedir {out} --batch --quiet --pinentry-mode loopback --passphrase x -c -z 0 -o {out}/x {model}",
    ),
    "base64": ("base64", "base64 {model} > {out}/x"),
    "tar-zstd-openssl": ("openssl", "tar -cf - {folder} 2> /dev/null | zstd -q -1 | " + SEAL + " > {out}/x"),
    "parts-in-a-pipe": ("gzip", "(head -c 9000000 {model}; tail -c +9000001 {model}) | gzip -1 > {out}/x"),
    "substitution": ("gzip", "tee >(gzip -1 > {out}/x) < {model} > /dev/null; wait"),
    "library-feeds-gzip": ("gzip", '{python} -c "$FEED" {model} {out}/x'),
    "quantiser": ("python", '{python} -c "$QUANTISE" {model} {out}/x'),
    "xor": ("python", '{python} -c "$XOR" {model} {out}/x'),
    "split-of-gzip": ("split", "gzip -1 -c {model} | split -b 4M - {out}/x"),
    "git": ("git", "git init -q {out}/r && git -C {out}/r -c core.compression=1 hash-object -w {model}"),
    "sqlite": ("python", '{python} -c "$BLOB" {model} {out}/x'),
}
"""The program that writes, and a command of bash."""
LOOKALIKES = {
    "checksum": "sha256sum {model} > {out}/sum",
    "log": '{python} -c "$LOG" {model} {out}/x',
    "stranger": "head -c 24M /dev/urandom > {out}/x",
    "feeder": 'head -c 24M /dev/urandom | tee {out}/x | {python} -c "$READ" {model}',
    "same-shell": "sha256sum {model}; tar -cf {out}/x {other}",
}  # fmt: skip


@pytest.fixture(scope="module")
def one():
    """A daemon that protects a model for each way, and every way played."""
    sensors, _ = registry.open_all(Config())
    if not any(sensor.name == "volume" for sensor in sensors):
        pytest.skip("the kernel does not tell here how much is read")

    def settings(on):
        for name in (*WAYS, *LOOKALIKES, "again", "inplace", "sentinel"):
            dummy.write_model(on.folder / "models" / name, tensors=TENSORS)
            (on.folder / "out" / name).mkdir(parents=True)
        dummy.write_model(on.folder / "other", tensors=TENSORS)
        watched = [str(on.folder / "models"), str(on.folder / "out")]
        return {"weights": {"paths": [watched[0]]}, "watch": {"paths": watched}}

    with daemon.running(settings) as started:
        ways = {name: command for name, (_, command) in WAYS.items()} | LOOKALIKES
        started.codes = {}
        with ThreadPoolExecutor(3) as pool:
            for name, code in zip(ways, pool.map(lambda way: play(started, *way), ways.items()), strict=True):
                started.codes[name] = code
        yield started


def play(one, name, command):
    """Run a command of bash on a model of its own and return its code, None where a program is missing."""
    folder = one.folder / "models" / name
    places = {"model": folder / "model.safetensors", "folder": folder, "out": one.folder / "out" / name}
    line = command.format(**places, python=sys.executable, other=one.folder / "other" / "model.safetensors")
    words = {word for word in line.replace("|", " ").split() if word in {"zstd", "xz", "openssl", "gpg", "git"}}
    if not all(map(shutil.which, words)):
        return None
    codes = {"QUANTISE": QUANTISE, "XOR": XOR, "FEED": FEED, "BLOB": BLOB, "LOG": LOG, "READ": READ}
    done = subprocess.run(["bash", "-c", line], env=one.stage.environment() | codes, capture_output=True, check=False)
    return done.returncode


def made(one, name, *, by, status="done", out=None, confidence="derived"):
    """Wait for the fact that something was made of a model below a folder, by a program."""
    folder = str(out or one.folder / "out" / name) + "/"

    def fits(fact):
        about = fact["replguard"]
        return (
            fact["file"]["path"].startswith(folder)
            and about.get("status") == status
            and about.get("confidence") == confidence
            and by in (fact.get("process") or {}).get("name", "")
        )

    fact = one.fact("weights_copy", fits, SECONDS)
    assert fact["replguard"]["model"].rpartition("/")[2] == name
    return fact


@pytest.mark.parametrize("name", list(WAYS))
def test_what_is_made_of_weights_is_told(one, name):
    """With the model that it was made of, as the act of who wrote it."""
    if one.codes[name] is None:
        pytest.skip("a program is not installed")
    assert one.codes[name] == 0
    fact = made(one, name, by=WAYS[name][0])
    assert fact["replguard"]["technique"] == "transform"
    assert fact["replguard"]["origin"]["path"] == str(one.folder / "models" / name / "model.safetensors")
    assert fact["replguard"]["attribution"] != "unknown"
    assert 0.05 <= fact["replguard"]["share"] <= 1


def test_what_was_made_of_weights_stays_so(one):
    """Copied, split, moved and linked by programs that never saw the model."""
    out = one.folder / "out" / "again"
    assert play(one, "again", "gzip -1 -c {model} > {out}/first") == 0
    made(one, "again", by="gzip")
    for folder in ("copy", "parts", "moved"):
        (out / folder).mkdir()
    assert play(one, "again", "cp {out}/first {out}/copy/x && split -b 4M {out}/first {out}/parts/x") == 0
    made(one, "again", by="cp", out=out / "copy")
    made(one, "again", by="split", out=out / "parts")
    assert play(one, "again", "mv {out}/first {out}/moved/x") == 0
    assert made(one, "again", by="mv", out=out / "moved")["replguard"]["technique"] == "rename"


def test_a_copy_that_is_encrypted_in_place_is_told(one):
    """First the copy, by its content; then what became of it."""
    assert play(one, "inplace", "cp {model} {out}/x") == 0
    made(one, "inplace", by="cp", confidence="content")
    assert play(one, "inplace", '{python} -c "$XOR" {out}/x {out}/x') == 0
    made(one, "inplace", by="python")


def test_what_only_looks_so_is_not_told(one):
    """By the time that something that was made later is told, all of these were judged."""
    assert {one.codes[name] for name in LOOKALIKES} == {0}
    assert play(one, "sentinel", "gzip -1 -c {model} > {out}/x") == 0
    made(one, "sentinel", by="gzip")
    folders = tuple(f"{one.folder}/out/{name}/" for name in LOOKALIKES)
    assert [fact for fact in one.facts("weights_copy") if fact["file"]["path"].startswith(folders)] == []


def test_each_file_is_told_once_as_started_and_once_as_done(one):
    """However many events tell of it."""
    told = Counter(
        (fact["file"]["path"], fact["replguard"]["status"], (fact.get("process") or {}).get("pid"))
        for fact in one.facts("weights_copy")
    )
    assert told
    assert [(what, times) for what, times in told.items() if times > 1] == []
