"""Why a process runs: every kind of entry point, and the programs that never are one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.story import ANN, ROOT, SERVICE, Host

from replguard.events.process import User
from replguard.provenance import entry
from replguard.provenance.entry import Entry
from replguard.provenance.processes import Age, Proc

CONTAINER = "c" * 64


def found(proc: Proc) -> tuple[str, Proc, str]:
    made: Entry = entry.find(proc)
    return made.kind, made.proc, made.principal


def test_a_service_is_its_main_process() -> None:
    """The first process of a unit, whatever it started; the unit is the principal, one run of it the join key."""
    host = Host()
    main = host.service("vllm")
    worker = host.exec("python3", "worker", parent=main)
    assert found(worker) == ("service", main, "unit:vllm.service")
    assert entry.unit_key(worker) == "vllm.service/a1"
    assert entry.session_key(worker) is None


def test_a_service_that_a_timer_set_off_is_the_timers() -> None:
    """Its principal is the unit all the same: what allows the one allows the other."""
    host = Host()
    main = host.service("backup", trigger="backup.timer")
    assert found(host.exec("cp", parent=main)) == ("timer", main, "unit:backup.service")
    by_socket = host.service("web", trigger="web.socket")
    assert found(by_socket)[0] == "service"


def test_a_service_behind_an_init_is_still_a_service() -> None:
    """``ExecStart=tini -- vllm``: tini is the main process."""
    host = Host()
    tini = host.service("vllm", image="tini")
    worker = host.exec("python3", parent=tini)
    assert found(worker) == ("service", tini, "unit:vllm.service")


@pytest.mark.parametrize(
    "cgroup",
    [
        f"/system.slice/docker-{CONTAINER}.scope",
        f"/docker/{CONTAINER}",
        f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{CONTAINER}.scope",
        f"/machine.slice/libpod-{CONTAINER}.scope/container",
        f"/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:{CONTAINER}",
    ],
)
def test_a_container_is_its_first_process(cgroup: str) -> None:
    """Docker, Kubernetes and podman name the container in the control group; the shim is outside."""
    host = Host()
    shim = host.exec("containerd-shim-runc-v2", parent=host.init, cgroup="/system.slice/containerd.service")
    first = host.exec("python3", parent=shim, cgroup=cgroup)
    child = host.exec("sh", parent=first)
    assert found(child) == ("container", first, f"container:{CONTAINER[:12]}")
    assert entry.unit_key(child) == CONTAINER
    assert entry.unit_name(child) is None


@pytest.mark.parametrize("image", ["tini", "dumb-init", "systemd"])
def test_an_init_in_a_container_is_its_first_process(image: str) -> None:
    """``docker run --init`` is still a container, and so is what that init adopted."""
    host = Host()
    shim = host.exec("containerd-shim-runc-v2", parent=host.init, cgroup="/system.slice/containerd.service")
    first = host.exec(image, parent=shim, cgroup=f"/docker/{CONTAINER}")
    orphan = host.exec("python3", parent=first, cgroup=f"/docker/{CONTAINER}/system.slice/x.service")
    assert found(orphan) == ("container", first, f"container:{CONTAINER[:12]}")


def test_what_is_executed_in_a_container_begins_there() -> None:
    """``docker exec -it`` with a terminal is the container's, not a login."""
    host = Host()
    shim = host.exec("containerd-shim-runc-v2", parent=host.init, cgroup="/system.slice/containerd.service")
    shell = host.exec("bash", parent=shim, cgroup=f"/docker/{CONTAINER}", tty=34816, interactive=True)
    assert found(shell)[:2] == ("container", shell)


@pytest.mark.parametrize(
    ("daemon", "cgroup"),
    [
        ("dockerd", "/system.slice/docker.service"),
        ("containerd", "/system.slice/containerd.service"),
        ("sshd", "/system.slice/ssh.service"),
        ("cron", "/system.slice/cron.service"),
        ("slurmstepd", "/system.slice/slurmstepd.scope"),
    ],
)
def test_shared_daemons_are_never_an_entry_point(daemon: str, cgroup: str) -> None:
    """They start others for a reason of their own: alone they are unknown, and no unit to join by."""
    host = Host()
    proc = host.exec(daemon, parent=host.init, cgroup=cgroup, user=ROOT)
    assert found(proc)[0] == "unknown"
    assert entry.unit_key(proc) is None
    helper = host.exec("tool", parent=proc, user=SERVICE)
    assert found(helper)[:2] == {"cron": ("cron", helper), "sshd": ("session", helper)}.get(daemon, ("unknown", helper))


@pytest.mark.parametrize("daemon", ["sshd", "sshd-session", "login"])
def test_who_is_let_in_is_a_login_where_nobody_counts_logins(daemon: str) -> None:
    """Without a terminal, a login uid and a scope; a program that is only called so lets nobody in."""
    host = Host()
    real = host.exec(daemon, parent=host.init, cgroup="/", user=ROOT)
    shell = host.exec("bash", "-c ls", parent=real, user=SERVICE)
    assert found(host.exec("ls", parent=shell)) == ("session", shell, f"session:{SERVICE.id}")
    false = host.exec(f"/tmp/{daemon}", parent=host.init, cgroup="/", user=SERVICE)
    assert found(host.exec("ls", parent=false))[0] == "unknown"


def test_pid_1_is_never_an_entry_point() -> None:
    """What init started outside of units is its own reason."""
    host = Host()
    proc = host.exec("thing", parent=host.init, user=User(id=5))
    assert found(proc) == ("unknown", proc, "5:/usr/bin/thing")
    assert found(host.init)[0] == "unknown"


@pytest.mark.parametrize(("daemon", "kind"), [("cron", "cron"), ("crond", "cron"), ("atd", "at")])
def test_cron_and_at_jobs(daemon: str, kind: str) -> None:
    """The job is what the daemon's fork started; a login uid that pam set makes no session of it."""
    host = Host()
    main = host.exec(daemon, parent=host.init, cgroup="/system.slice/cron.service", user=ROOT)
    forked = host.fork(main)
    job = host.exec("sh", ("-c", "backup"), parent=forked, user=ANN)
    assert found(host.exec("backup", parent=job)) == (kind, job, "1000:/usr/bin/sh")


@pytest.mark.parametrize(
    ("step", "job"),
    [
        (
            "/system.slice/slurmstepd.scope/job_7/step_batch/slurm",
            "/system.slice/slurmstepd.scope/job_7/step_batch/user",
        ),
        ("/slurm/uid_1000/job_7/step_0", "/slurm/uid_1000/job_7/step_0"),
        ("/system.slice/slurmstepd.scope", "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0"),
    ],
)
def test_a_scheduler_step_is_below_its_daemon(step: str, job: str) -> None:
    """Slurmstepd runs in the job's own control group and is still not the job."""
    host = Host()
    daemon = host.exec("slurmstepd", parent=host.init, cgroup=step, user=ROOT)
    script = host.exec("slurm_script", parent=daemon, cgroup=job, user=User(id=1000))
    assert found(host.exec("python3", parent=script)) == ("scheduler", script, "slurm:1000:slurm_script")


def test_jenkins_is_known_by_what_java_runs() -> None:
    """Another program of java's starts nothing for CI."""
    host = Host()
    agent = host.exec("java", "-jar /opt/jenkins/agent.jar -url x", parent=host.init, cgroup="/")
    job = host.exec("sh", parent=agent)
    assert found(host.exec("make", parent=job)) == ("ci", job, "ci:jenkins-agent")
    other = host.exec("java", "-jar /opt/web.jar", parent=host.init, cgroup="/")
    assert found(host.exec("sh", parent=other))[0] == "unknown"


def test_a_runner_that_a_person_started_is_the_persons() -> None:
    """Anybody may call a program so."""
    host = Host()
    shell = host.login()
    false = host.exec("/home/ann/gitlab-runner", parent=shell)
    assert found(host.exec("cp", parent=false))[:2] == ("session", shell)


@pytest.mark.parametrize("runner", ["Runner.Worker", "gitlab-runner"])
def test_a_ci_job_is_a_child_of_its_runner(runner: str) -> None:
    """The runner's main process is a service; what it starts is the job."""
    host = Host()
    main = host.service("runner", image=runner)
    job = host.exec("bash", parent=main)
    assert found(host.exec("make", parent=job)) == ("ci", job, f"ci:{runner}")
    assert found(main)[0] == "service"


def test_a_login_is_its_first_process_below_sshd() -> None:
    """The shell; sudo and setsid keep the login uid and with it the session."""
    host = Host()
    shell = host.login()
    sudo = host.exec("sudo", parent=shell, user=User(id=0, audit=1000))
    late = host.exec("python3", parent=sudo, session=9, tty=None, audit_session=3)
    assert found(late) == ("session", shell, "session:1000")
    assert entry.session_key(late) == "1000/3"


def test_a_users_service_is_a_session() -> None:
    """Units of a person's own manager are that person's: ``systemd --user`` is no entry point."""
    host = Host()
    cgroup = "/user.slice/user-1000.slice/user@1000.service"
    manager = host.exec("systemd", "--user", parent=host.init, cgroup=f"{cgroup}/init.scope", user=ANN)
    unit = host.exec("python3", parent=manager, cgroup=f"{cgroup}/app.slice/mine.service")
    assert found(unit) == ("session", unit, "session:1000")
    assert entry.unit_name(unit) is None


def test_a_terminal_of_a_service_is_a_session() -> None:
    """A notebook server's terminal: a person is at it, as far as anyone can tell."""
    host = Host()
    shell = host.exec("bash", parent=host.service("jupyter"), tty=34817, interactive=True)
    assert found(host.exec("cp", parent=shell)) == ("session", shell, "session:900")


def test_an_agent_wins_over_the_terminal_that_it_opened() -> None:
    """Agents run their tools in pseudo-terminals; that makes no person of them."""
    host = Host()
    agent = host.exec("python3", "agent.py", parent=host.service("agents"))
    shell = host.exec("bash", ("-c", "cp"), parent=agent, tty=34817, session=77)
    tool = host.exec("cp", parent=shell)
    assert found(tool)[0] == "session"
    agent.confirmed_agent = True
    assert found(tool) == ("agent", agent, "900:/usr/bin/python3")


def test_a_login_below_an_agent_is_a_login() -> None:
    """The agent's chain ends where sshd begins another."""
    host = Host()
    shell = host.login()
    agent = host.exec("python3", parent=shell)
    agent.confirmed_agent = True
    assert found(host.exec("cp", parent=agent))[0] == "agent"
    assert found(shell)[0] == "session"


def test_the_nearest_agent_is_the_actor() -> None:
    """A replica's agent acts for itself."""
    host = Host()
    first = host.exec("python3", parent=host.init)
    second = host.exec("python3", parent=host.exec("sh", parent=first))
    first.confirmed_agent = second.confirmed_agent = True
    assert found(host.exec("cp", parent=second))[1] is second


def test_unknown_is_the_highest_that_is_left() -> None:
    """Without a parent that anyone knows, the process speaks for itself."""
    host = Host()
    lost = host.exec("tool", parent=None, user=None, cgroup="/")
    assert found(lost)[0] == "unknown"
    assert entry.session_key(lost) is None
    assert entry.unit_key(lost) is None
    assert entry.container_id(lost) is None


@pytest.mark.parametrize("image", ["/tmp/cron", "cron", "Runner.Worker", "/home/ann/containerd", "sshd"])
def test_no_name_of_a_program_hides_an_agent(image: str) -> None:
    """An agent may put a program of any name between itself and its tools; they are its tools all the same."""
    host = Host()
    agent = host.exec("python3", parent=host.init)
    agent.confirmed_agent = True
    between = host.exec(image, parent=agent)
    tool = host.exec("cp", parent=between)
    assert found(tool)[:2] == ("agent", agent)


@pytest.mark.parametrize("cgroup", ["/system.slice/vllm.service", f"/docker/{CONTAINER}"])
def test_no_control_group_hides_an_agent(cgroup: str) -> None:
    """What an agent moves into the group of a service or container inherits nothing from it."""
    host = Host()
    agent = host.exec("python3", parent=host.init)
    agent.confirmed_agent = True
    assert found(host.exec("sh", parent=agent, cgroup=cgroup))[:2] == ("agent", agent)


@pytest.mark.parametrize("image", ["/tmp/cron", "/home/ann/crond"])
def test_a_program_that_only_bears_the_name_starts_no_job(image: str) -> None:
    """Anybody may call his program cron: what it starts is no cron job."""
    host = Host()
    job = host.exec("sh", parent=host.exec(image, parent=host.init))
    assert found(job)[0] == "unknown"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), max_size=12))
def test_what_was_worked_out_before_is_what_would_be_worked_out_now(steps: list[tuple[int, int, int]]) -> None:
    """Whatever changes in a tree after it was asked about: images, control groups, parents, agents, replicas."""
    host = Host()
    procs = [host.login()]
    for _ in range(5):
        procs.append(host.exec("python3", parent=procs[-1]))
    for which, other, how in steps:
        proc = procs[which]
        for asked in procs:
            entry.place(asked)
        if how == 0:
            proc.process = msgspec.structs.replace(proc.process, cgroup=f"/system.slice/{'ab'[other % 2]}.service")
        elif how == 1:
            proc.confirmed_agent, proc.adopted = other > 2, other > 3
        elif how == 2:
            proc.serves = other
        elif other < which:
            proc.parent = procs[other]
        before = [(p.entry, p.lineage, p.adopted, p.serves, p.unit, p.session) for p in map(entry.place, procs)]
        Age.now += 1
        after = [(p.entry, p.lineage, p.adopted, p.serves, p.unit, p.session) for p in map(entry.place, procs)]
        assert before == after


def test_the_way_leads_to_the_entry_point() -> None:
    """From a process up to what explains it, and no further."""
    host = Host()
    login = host.login()
    shell = host.exec("sh", parent=login)
    copy = host.exec("cp", parent=shell)
    way = list(entry.way(copy))
    assert way[:2] == [copy, shell]
    assert way[-1] is entry.find(copy).proc
    assert host.init not in way
