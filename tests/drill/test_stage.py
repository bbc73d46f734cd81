import os
import signal
import socket
import sys
import time

import psutil
import pytest

from replguard.drill import stage

FORKS_TWICE = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  time.sleep(60)\n os._exit(0)"


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sleepers(on):
    return [p for p in on.processes() if p.status() == psutil.STATUS_SLEEPING]


def test_leaving_ends_everything_even_a_process_that_hid(tmp_path):
    """A child that forked twice into its own session and an orphan of a shell are gone, and so is the folder."""
    with stage.Stage() as on:
        out = on.folder / "out"
        on.start([sys.executable, "-c", FORKS_TWICE], folder=on.folder, output=out)
        on.start(["/bin/sh", "-c", "sleep 60 & sleep 61 &"], folder=on.folder, output=out)
        on.start(["/bin/sh", "-c", "trap '' TERM; sleep 62; :"], folder=on.folder, output=out)
        wait_for(lambda: len(sleepers(on)) >= 4)
        pids = [p.pid for p in on.processes()]
    assert not on.folder.exists()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_an_orphan_that_ended_by_itself_leaves_no_zombie():
    """What a subreaper adopts it has to bury."""
    with stage.Stage() as on:
        on.start(["/bin/sh", "-c", "(sleep 0.05; exit 0) & exit 0"], folder=on.folder, output=on.folder / "out")
        time.sleep(0.3)
    assert not [c for c in psutil.Process().children() if c.status() == psutil.STATUS_ZOMBIE]


def test_others_are_left_alone():
    """A process that the drill did not start survives the drill's end."""
    bystander = psutil.Popen(["sleep", "60"])
    try:
        with stage.Stage() as on:
            on.start(["sleep", "60"], folder=on.folder, output=on.folder / "out")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_exception_cleans_up_too():
    """Whatever happens on the stage, nothing stays."""
    on = stage.Stage()

    def fail():
        with on:
            on.start(["sleep", "60"], folder=on.folder, output=on.folder / "out")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [process.returncode for process in on.started.values()] == [-signal.SIGKILL]
    assert not on.folder.exists()


def test_a_kept_folder_stays():
    """With ``keep`` the processes end and the files stay."""
    with stage.Stage() as on:
        on.keep = True
        (on.folder / "log").write_text("x")
    assert (on.folder / "log").exists()
    (on.folder / "log").unlink()
    on.folder.rmdir()


def test_a_process_that_will_not_end_is_made_to():
    """Ending is asked first and then done."""
    with stage.Stage() as on:
        ready = on.folder / "ready"
        stubborn = on.start(
            ["/bin/sh", "-c", "trap '' TERM; : > ready; while :; do sleep 0.1; done"],
            folder=on.folder,
            output=on.folder / "out",
        )
        wait_for(ready.exists)
        assert on.end(stubborn, 0.1) == -signal.SIGKILL
        willing = on.start(["sleep", "60"], folder=on.folder, output=on.folder / "out")
        assert on.end(willing, 5) == -signal.SIGTERM


def test_modules_are_found_from_any_folder():
    """The drill's parts run from their temporary folders, installed or not."""
    with stage.Stage() as on:
        out = on.folder / "out"
        assert on.module("replguard.drill.server", "--help", folder=on.folder, output=out).wait(20) == 0
        assert b"--weights" in out.read_bytes()


def test_an_interruption_waits_until_cleaning_up_is_done():
    """Ctrl-C in the middle of the end does not leave half of it undone, and is not lost."""
    steps = []
    # A test run in the background of a script inherits SIGINT as ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def clean():
        with stage.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            steps.append("whole")

    try:
        with pytest.raises(KeyboardInterrupt):
            clean()
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["whole"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_unwinds_the_stack(number):
    """SIGTERM ends the drill as an exception would, with the exit code that shells tell for it."""
    before = signal.getsignal(number)

    def work():
        with stage.ended_gently():
            os.kill(os.getpid(), number)
            time.sleep(1)

    with pytest.raises(SystemExit) as ended:
        work()
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_free_ports_differ_and_can_be_bound():
    """Each port is free, and none is one that the kernel gives to clients."""
    ports = stage.free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as one:
            one.bind((stage.LOOPBACK, port))


def test_a_listener_is_seen_without_a_connection():
    """Looking at a port leaves no trace at the server."""
    with socket.socket() as one:
        one.bind((stage.LOOPBACK, 0))
        port = one.getsockname()[1]
        assert not stage.listening(port)
        one.listen()
        assert stage.listening(port)
        one.settimeout(0)
        with pytest.raises(BlockingIOError):
            one.accept()
