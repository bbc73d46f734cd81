"""What agents put in place for others to start, and what is somebody else's all the same."""

from pathlib import Path

import pytest
from support.story import ANN, ROOT, Host

from replguard.events.fact import Context
from replguard.events.process import User
from replguard.provenance import entry, planned
from replguard.provenance.processes import Proc

CONTAINER = "c" * 64


class Scene(Host):
    """A host with a model, an agent, and the daemons that start things."""

    def __init__(self) -> None:
        super().__init__()
        self.server(self.protect())
        self.bot = self.agent(self.exec("bash", parent=self.init, cgroup="/agents", user=ANN, session=50))
        self.cron = self.exec("cron", parent=self.init, cgroup="/system.slice/cron.service", user=ROOT)
        self.atd = self.exec("atd", parent=self.init, cgroup="/system.slice/atd.service", user=ROOT)
        self.sshd = self.exec("sshd", parent=self.init, cgroup="/system.slice/ssh.service", user=ROOT)
        self.shim = self.exec("containerd-shim-runc-v2", parent=self.init, cgroup="/system.slice/containerd.service")

    def says(self, command: str, by: Proc | None = None) -> Proc:
        """Let the agent, or another, run a shell command."""
        return self.exec("sh", ("-c", command), parent=by or self.bot)

    def lists(self, path: Path, *lines: str, by: Proc) -> None:
        """Write a file of commands that lies elsewhere than where it is seen."""
        path.write_text("\n".join((*lines, "")))
        file = self.file("/etc/cron.d/jobs")
        self.on("file_close_write", file, by, replguard=Context(tier="kernel", host_path=str(path)))


def whose(proc: Proc) -> tuple[str, Proc]:
    found = entry.find(proc)
    return found.kind, found.proc


def guess(host: Host) -> str | None:
    return (host.events[-1].replguard or Context()).attribution


def test_a_script_that_the_agent_wrote() -> None:
    """Whoever starts it, the agent planned it; that is a guess, and its own children are the agent's too."""
    host = Scene()
    host.write("/srv/job.sh", 30, host.says("cat > /srv/job.sh"))
    runs = host.exec("sh", "/srv/job.sh", parent=host.service("nightly"))
    assert whose(runs) == ("agent", host.bot)
    assert guess(host) == "inferred"
    child = host.exec("cp", "a b", parent=runs)
    assert whose(child) == ("agent", host.bot)
    assert guess(host) == "inferred"
    assert runs.parent is not None
    assert host.events[-1].process.parent.entity_id == runs.entity


@pytest.mark.parametrize(
    ("image", "args", "folder"),
    [
        ("/srv/job", "", "/"),
        ("python3.11", "-u /srv/job", "/"),
        ("bash", "job", "/srv"),
        ("sh", ("-c", ". /srv/job"), "/"),
    ],
)
def test_ways_to_run_a_file(image: str, args: str | tuple[str, ...], folder: str) -> None:
    """By its name, by an interpreter, from its folder, and sourced."""
    host = Scene()
    host.write("/srv/job", 30, host.says("write"))
    assert whose(host.exec(image, args, parent=host.service("nightly"), folder=folder))[0] == "agent"


def test_a_module_that_the_agent_wrote() -> None:
    """``python -m`` finds it below the working directory."""
    host = Scene()
    host.write("/srv/job/main.py", 30, host.says("write"))
    host.write("/srv/tool/__main__.py", 30, host.says("write"))
    web = host.service("nightly", folder="/srv")
    assert whose(host.exec("python3", "-m job.main", parent=web))[0] == "agent"
    assert whose(host.exec("python3", "-m tool", parent=web))[0] == "agent"
    assert whose(host.exec("python3", "-m other", parent=web))[0] == "service"


def test_who_only_reads_a_script_does_not_run_it() -> None:
    """Nor does who runs another one, and what is a day old counts no more."""
    host = Scene()
    host.write("/srv/job.sh", 30, host.says("write"))
    web = host.service("nightly")
    assert whose(host.exec("cat", "/srv/job.sh", parent=web))[0] == "service"
    assert whose(host.exec("sh", "/srv/other.sh", parent=web))[0] == "service"
    host.wait(24 * 3600 + 60)
    assert whose(host.exec("sh", "/srv/job.sh", parent=web))[0] == "service"


def test_what_a_person_starts_by_hand_is_the_persons() -> None:
    """Whoever wrote it: he typed its name."""
    host = Scene()
    host.write("/srv/job.sh", 30, host.says("write"))
    assert whose(host.exec("sh", "/srv/job.sh", parent=host.login()))[0] == "session"


def test_a_script_that_another_wrote_anew_is_his() -> None:
    """Only renamed it is still the writer's."""
    host = Scene()
    web, shell = host.service("nightly"), host.login()
    for name in ("a", "b"):
        host.write(f"/srv/{name}.sh", 30, host.says("write"))
    host.write("/srv/a.sh", 40, host.exec("vi", parent=shell))
    moved = host.file("/srv/c.sh", previous="/srv/b.sh")
    host.on("file_rename", moved, host.exec("mv", parent=shell))
    assert whose(host.exec("sh", "/srv/a.sh", parent=web))[0] == "service"
    assert whose(host.exec("sh", "/srv/c.sh", parent=web))[0] == "agent"


def test_what_others_write_is_no_plan() -> None:
    """A job that an operator set up is a cron job."""
    host = Scene()
    host.write("/srv/job.sh", 30, host.exec("vi", parent=host.login()))
    assert whose(host.exec("sh", ("-c", "/srv/job.sh"), parent=host.cron))[0] == "cron"


def test_a_plan_counts_from_when_the_planner_is_known_as_an_agent() -> None:
    """One reply makes a candidate; the label comes later and reaches what was planned before."""
    host = Host()
    host.server(host.protect())
    bot = host.exec("python3", "bot.py", parent=host.init, cgroup="/agents")
    writer = host.turn(bot)
    host.write("/srv/job.sh", 30, writer)
    runs = host.exec("sh", "/srv/job.sh", parent=host.service("nightly"))
    assert whose(runs)[0] == "service"
    host.wait(1)
    host.turn(bot)
    assert bot.confirmed_agent
    assert whose(runs) == ("agent", bot)
    assert any(here is bot for here in runs.chain())


def test_a_unit_that_the_agent_wrote() -> None:
    """Its main process, an instance of a template, and a unit of others that he changed a part of."""
    host = Scene()
    for path in ("replica.service", "many@.service", "web.service.d/x.conf", "x.wants/vllm.service"):
        host.write(f"/etc/systemd/system/{path}", 30, host.says("write"))
    assert whose(host.service("replica"))[0] == "agent"
    assert whose(host.service("many@2"))[0] == "agent"
    assert whose(host.service("web"))[0] == "agent"
    assert whose(host.service("vllm"))[0] == "service"


def test_a_transient_unit_is_named_by_its_client() -> None:
    """Also where it begins much later."""
    host = Scene()
    host.exec("systemd-run", "--on-active=3600 --unit=later true", parent=host.bot)
    host.wait(3600)
    assert whose(host.service("later", image="cp"))[0] == "agent"


@pytest.mark.parametrize("daemon", ["cron", "sshd", "shim", "init"])
def test_what_a_client_asks_for(daemon: str) -> None:
    """The command line of a process of the agent's says what a daemon starts a moment later."""
    host = Scene()
    host.exec("client", "call cp /models/x /srv/y", parent=host.bot)
    starter = getattr(host, daemon)
    asked = host.exec("cp", "/models/x /srv/y", parent=starter, cgroup=f"/docker/{CONTAINER}")
    assert whose(asked) == ("agent", host.bot)
    assert whose(host.exec("cp", "/models/x /srv/z", parent=starter, cgroup="/x"))[0] != "agent"


def test_a_program_alone_is_asked_for_by_a_client_that_is_known() -> None:
    """And what the agent does himself is no request."""
    host = Scene()
    host.exec("timeout", "9 probe", parent=host.bot)
    host.says("probe --all")
    host.exec("probe", "--all", parent=host.bot)
    assert whose(host.exec("probe", parent=host.shim, cgroup=f"/docker/{CONTAINER}"))[0] == "container"
    assert whose(host.exec("probe", "--all", parent=host.shim, cgroup=f"/docker/{CONTAINER}"))[0] == "container"
    host.exec("docker", "exec it probe", parent=host.bot)
    assert whose(host.exec("probe", parent=host.atd))[0] == "at"
    assert whose(host.exec("probe", parent=host.shim, cgroup=f"/docker/{CONTAINER}"))[0] == "agent"


def test_a_request_is_soon_over_and_a_shell_starts_nothing_for_others() -> None:
    """What an operator runs is his, were it the same words."""
    host = Scene()
    host.exec("client", "call cp /models/x /srv/y", parent=host.bot)
    assert whose(host.exec("cp", "/models/x /srv/y", parent=host.login()))[0] == "session"
    assert whose(host.exec("cp", "/models/x /srv/y", parent=host.service("nightly")))[0] == "service"
    host.wait(11)
    assert whose(host.exec("cp", "/models/x /srv/y", parent=host.cron))[0] == "cron"


def test_what_comes_over_ssh_from_here() -> None:
    """Its words may come by a pipe; with a terminal it is a person who logs in, and one who is gone asks no more."""
    host = Scene()
    client = host.exec("ssh", "-p 22 localhost", parent=host.bot)
    host.connect(client, 22)
    assert whose(host.exec("bash", parent=host.sshd)) == ("agent", host.bot)
    assert whose(host.exec("bash", parent=host.sshd, tty=34817, interactive=True))[0] == "session"
    host.exit(client)
    assert whose(host.exec("bash", parent=host.sshd))[0] == "session"


def test_what_goes_over_ssh_elsewhere() -> None:
    """Says nothing of who comes in here."""
    host = Scene()
    client = host.exec("ssh", "far", parent=host.bot)
    host.connect(client, 22, ip="192.0.2.7")
    assert whose(host.exec("bash", parent=host.sshd))[0] == "session"


def test_lines_that_the_agent_added_to_a_list(tmp_path: Path) -> None:
    """Those that were there before, or that somebody else added, are not his."""
    host, path = Scene(), tmp_path / "jobs"
    shell = host.login()
    host.lists(path, "* * * * * root /usr/bin/backup --all", by=host.exec("vi", parent=shell))
    host.lists(path, "* * * * * root /usr/bin/backup --all", "* * * * * root cp a b", by=host.says("write"))
    host.wait(3600)
    assert whose(host.exec("sh", ("-c", "cp a b"), parent=host.cron))[0] == "agent"
    assert whose(host.exec("sh", ("-c", "/usr/bin/backup --all"), parent=host.cron))[0] == "cron"


def test_lines_that_were_there_at_the_start(tmp_path: Path) -> None:
    """Nobody was seen to write them."""
    host, path = Scene(), tmp_path / "jobs"
    path.write_text("* * * * * root cp a b\n")
    host.provenance.planned.learn({"/etc/cron.d/jobs": str(path)})
    host.lists(path, "* * * * * root cp a b", "* * * * * root cp c d", by=host.says("write"))
    assert whose(host.exec("sh", ("-c", "cp a b"), parent=host.cron))[0] == "cron"
    assert whose(host.exec("sh", ("-c", "cp c d"), parent=host.cron))[0] == "agent"


def test_an_at_job_is_known_by_what_it_says(tmp_path: Path) -> None:
    """Its shell reads it from a file that no argument names; another's job of the same minute is his."""
    host, path = Scene(), tmp_path / "job"
    path.write_text("#!/bin/sh\numask 22\ncp a b\n")
    file = host.file("/var/spool/cron/atjobs/a0000101c2f7e2")
    host.on("file_close_write", file, host.says("at now"), replguard=Context(tier="kernel", host_path=str(path)))
    job = host.exec("sh", parent=host.atd, user=ANN)
    assert whose(job)[0] == "at"
    assert whose(host.exec("cp", "a b", parent=job))[0] == "agent"
    other = host.exec("sh", parent=host.atd, user=ANN)
    assert whose(host.exec("cp", "c d", parent=other))[0] == "at"


def test_a_job_that_is_gone_before_it_could_be_read() -> None:
    """``at now`` is begun at once: what the shell that wrote it was told says what it does."""
    host = Scene()
    host.says("echo 'cp a b' | at now")
    job = host.exec("sh", parent=host.atd, user=ANN)
    assert whose(host.exec("cp", "a b", parent=job))[0] == "agent"
    assert whose(host.exec("cp", "a b", parent=host.cron))[0] == "cron"


def test_another_who_may_be_driven_hides_nobody() -> None:
    """Who started the agent a moment ago is a candidate too, and it may be who starts for others."""
    host = Host()
    host.server(host.protect())
    top = host.exec("sh", parent=host.init, cgroup="/all")
    shim = host.exec("containerd-shim-runc-v2", parent=top, session=90)
    bot = host.agent(top)
    host.exec("docker", "exec it cp a b", parent=bot)
    runs = host.exec("sh", "/opt/into group cp a b", parent=shim)
    host.again(runs, "cp", "a b", cgroup=f"/docker/{CONTAINER}")
    assert whose(runs) == ("agent", bot)


def test_what_a_shell_starts_from_the_files_of_its_start() -> None:
    """Within moments; what is typed later is the person's."""
    host = Scene()
    host.write("/home/ann/.bashrc", 300, host.says("write"))
    shell = host.login()
    assert whose(host.exec("cp", "a b", parent=shell))[0] == "agent"
    other = host.login(User(id=1001, name="bob", audit=1001))
    assert whose(host.exec("cp", "a b", parent=other))[0] == "session"
    host.wait(10)
    assert whose(host.exec("cp", "a b", parent=shell))[0] == "session"


def test_plans_of_plans_end() -> None:
    """However deep a chain of scripts that write scripts is: each is the agent's."""
    host = Scene()
    writer = host.says("write")
    for number in range(40):
        host.write(f"/srv/{number}.sh", 30, writer)
        writer = host.exec("sh", f"/srv/{number}.sh", parent=host.service(f"job{number}"))
        assert whose(writer) == ("agent", host.bot)
    assert sum(here.planner is not None for here in writer.chain()) <= planned.NESTED + 1


def test_who_has_most_loses_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent cannot push out another's plans."""
    monkeypatch.setattr(planned, "MOST", 20)
    host = Scene()
    other = host.agent(host.exec("bash", parent=host.init, cgroup="/other", user=ANN, session=60))
    host.write("/srv/real.sh", 30, host.says("write"))
    for number in range(30):
        host.write(f"/srv/junk{number}.sh", 30, host.says("write", by=other))
    kept = host.provenance.planned
    assert kept.evicted > 0
    assert whose(host.exec("sh", "/srv/real.sh", parent=host.service("nightly"))) == ("agent", host.bot)


def test_agents_that_are_remembered_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who did something last is kept."""
    monkeypatch.setattr(planned, "MOST_AGENTS", 1)
    host = Scene()
    other = host.agent(host.exec("bash", parent=host.init, cgroup="/other", user=ANN, session=60))
    host.write("/srv/a.sh", 30, host.says("write"))
    host.write("/srv/b.sh", 30, host.says("write", by=other))
    web = host.service("nightly")
    assert whose(host.exec("sh", "/srv/a.sh", parent=web))[0] == "service"
    assert whose(host.exec("sh", "/srv/b.sh", parent=web))[0] == "agent"
