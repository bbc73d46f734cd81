"""An hour of ordinary work, compressed: nothing at medium or above."""

import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from datetime import datetime

import psutil
import pytest
from support import daemon

from replguard.drill import dummy, stage

SETTLE = 4.0
"""Longer than any poll: what was going to be raised has been raised."""
DOWNLOADED = 20
"""Tensors of the model that is downloaded: 80 MiB."""
SUPERVISOR = """
import subprocess, sys, time
while True:
    subprocess.run(sys.argv[1:])
    time.sleep(0.2)
"""
FRONT_END = """
import sys, time, urllib.request
while True:
    try:
        body = b'{"messages": [{"role": "user", "content": "hello"}]}'
        urllib.request.urlopen(sys.argv[1] + "/v1/chat/completions", body, 10).read()
        print("answered", flush=True)
    except OSError:
        pass
    time.sleep(0.5)
"""
FETCH = """
import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(answer, file)
"""


@pytest.fixture(scope="module")
def host():
    """A host whose model was served, and used by a program, before the daemon came."""
    ports = stage.free_ports(3)

    def settings(on):
        model = on.folder / "models" / "chat"
        dummy.write_model(model, tensors=8)
        (on.folder / "work").mkdir()
        words = [sys.executable, "-m", "replguard.drill.server", "--weights", model, "--port", ports[0]]
        command = [sys.executable, "-c", SUPERVISOR, *map(str, words)]
        on.start(command, folder=on.folder, output=on.folder / "supervisor.log")
        wait(lambda: stage.listening(ports[0]))
        front_end = [sys.executable, "-c", FRONT_END, f"http://127.0.0.1:{ports[0]}"]
        on.start(front_end, folder=on.folder, output=on.folder / "answers.log")
        watched = [str(on.folder / "models"), str(on.folder / "work")]
        return {"weights": {"paths": [str(model)]}, "watch": {"paths": watched}}

    with daemon.running(settings) as one:
        one.ports, one.work, one.model = ports, one.folder / "work", one.folder / "models" / "chat"
        one.doing = []
        yield one
        time.sleep(SETTLE)
        assert raised(one) == []
        blind(one)


def raised(host):
    """Return what was raised at medium or above, each with the piece of work that was going on."""
    found = []
    for alert in host.alerts("medium"):
        at = datetime.fromisoformat(alert["@timestamp"]).timestamp()
        during = [name for name, since in host.doing if since <= at]
        found.append(f"{during[-1:]}: {alert['rule']['level']} {alert['rule']['name']}: {alert['message']}")
    return found


def blind(host):
    """Fail unless the same daemon tells a copy at once: it was silent, not blind."""
    assert host.watcher.alive()
    target = host.work / "control"
    shutil.copyfile(host.model / "model.safetensors", target)
    host.fact("weights_copy", lambda fact: fact["file"]["path"] == str(target), 10)


def wait(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def quiet(host, request):
    """Note which piece of work goes on, and judge what was raised by its end; the host's end judges it all again."""
    host.doing.append((request.node.name, time.time()))
    yield host
    assert raised(host) == []


def shell(host, command):
    subprocess.run(["/bin/sh", "-ec", command], cwd=host.work, check=True, stdout=subprocess.DEVNULL)


def serve(host, folder, port):
    process = host.stage.start(
        [sys.executable, "-m", "http.server", "--bind", stage.LOOPBACK, "--directory", str(folder), str(port)],
        folder=host.folder,
        output=host.folder / "http.log",
    )
    wait(lambda: stage.listening(port))
    return process


def test_packages_are_installed(quiet):
    """A wheel from a local folder, and a package's many small files unpacked as a package manager does."""
    wheel = quiet.folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for i in range(200):
            packed.writestr(f"thing/part{i}.py", f"VALUE = {i}\n" * 200)
        packed.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        packed.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("thing-1.0.dist-info/RECORD", "")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-compile", "--target", quiet.work / "site", wheel], check=True)
    root = quiet.work / "package"
    (root / "usr" / "share" / "thing").mkdir(parents=True)
    for i in range(500):
        (root / "usr" / "share" / "thing" / f"{i}.txt").write_text("some words\n" * 50)
    if shutil.which("dpkg-deb") is None:
        shell(quiet, "tar cf package.tar package && mkdir installed && tar xf package.tar -C installed")
        return
    (root / "DEBIAN").mkdir()
    fields = "Package: thing\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    (root / "DEBIAN" / "control").write_text(fields)
    shell(quiet, "dpkg-deb -b package thing.deb && dpkg-deb -x thing.deb installed")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_programs_are_compiled(quiet):
    """Compilers start many processes and write and rename many files."""
    source = quiet.work / "source"
    source.mkdir()
    for i in range(12):
        (source / f"part{i}.c").write_text(f"int part{i}(int x) {{ return x * {i}; }}\n")
    (source / "main.c").write_text("int main(void) { return 0; }\n")
    shell(quiet, "cd source && for f in *.c; do cc -O2 -c $f; done && cc -o program *.o && ./program && mv program out")


def test_other_data_is_archived_and_moved(quiet):
    """Large files that are no weights are written, copied, linked, packed and renamed."""
    shell(quiet, "mkdir data && head -c 50000000 /dev/urandom > data/a.bin && head -c 40000000 /dev/zero > data/zero")
    shell(quiet, "cp data/a.bin data/b && ln data/a.bin data/c && mv data/b data/model.safetensors")
    shell(
        quiet, "tar czf data.tgz data/a.bin && tar cf - data | tar xf - -C /dev/null 2>/dev/null || tar cf d.tar data"
    )
    shutil.make_archive(str(quiet.work / "packed"), "zip", quiet.work / "data")
    shell(quiet, "rm -r data d.tar packed.zip data.tgz")


def test_other_servers_come_and_go(quiet):
    """A listener without weights is nobody's replica, however large the files that it serves."""
    site = quiet.work / "www"
    site.mkdir()
    (site / "video.mp4").write_bytes(b"\x00\x01\x02\x03" * 2**23)
    server = serve(quiet, site, quiet.ports[1])
    for _ in range(5):
        with urllib.request.urlopen(f"http://127.0.0.1:{quiet.ports[1]}/video.mp4") as answer:
            assert len(answer.read()) == 2**25
    quiet.stage.end(server, 5)


def ended(process):
    """Tell whether a process is gone, or only waits to be buried; it may go while it is asked."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_server_is_restarted_by_its_manager(quiet):
    """The same model under the same manager again is what a restart looks like."""
    for _ in range(2):
        old = [p for p in quiet.stage.processes() if p.cmdline()[1:3] == ["-m", "replguard.drill.server"]]
        assert len(old) == 1
        old[0].terminate()
        wait(lambda old=old: ended(old[0]))
        wait(lambda: stage.listening(quiet.ports[0]))
        time.sleep(2)


def test_clients_talk_to_the_model(quiet):
    """A program that is answered again and again and starts no other program is a client, not an agent."""
    answers = quiet.folder / "answers.log"
    before = answers.stat().st_size
    wait(lambda: answers.stat().st_size > before + len("answered\n") * 4)
    assert quiet.facts("agent_seen") == []


def test_another_model_is_downloaded(quiet):
    """A model that is not protected comes from a server of this host."""
    shelf = quiet.folder / "shelf"
    dummy.write_model(shelf, tensors=DOWNLOADED)
    server = serve(quiet, shelf, quiet.ports[2])
    target = quiet.work / "other" / "model.safetensors"
    target.parent.mkdir()
    url = f"http://127.0.0.1:{quiet.ports[2]}/model.safetensors"
    subprocess.run([sys.executable, "-c", FETCH, url, str(target)], check=True)
    assert target.stat().st_size > DOWNLOADED * dummy.TENSOR_BYTES
    quiet.stage.end(server, 5)


def test_the_model_is_looked_at(quiet):
    """Listing a model and reading its header is what any tool does."""
    shell(
        quiet, f"ls -laR {quiet.model} && du -s {quiet.model} && head -c 4096 {quiet.model}/model.safetensors | wc -c"
    )
