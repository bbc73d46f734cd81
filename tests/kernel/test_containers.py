"""The paths of control groups, of every engine, in both versions and by both drivers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard.kernel.containers import Place, parse

A, B = "0123456789abcdef" * 4, "f" * 64
UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
UNDER = UID.replace("-", "_")
MIRROR = "0123456789abcdef0123456789abcdef"


def told(cgroup: str) -> tuple[str | None, str | None]:
    place = parse(cgroup)
    return place.runtime, place.id


@pytest.mark.parametrize(
    ("cgroup", "runtime"),
    [
        (f"/docker/{A}", "docker"),
        (f"/system.slice/docker-{A}.scope", "docker"),
        (f"/system.slice/docker-{A}.scope/init.scope", "docker"),
        (f"/machine.slice/libpod-{A}.scope", "podman"),
        (f"/machine.slice/libpod-{A}.scope/container", "podman"),
        (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container", "podman"),
        (f"/libpod_parent/libpod-{A}", "podman"),
        (f"/libpod_parent/{B}/libpod-{A}", "podman"),
        (f"/system.slice/chat.service/libpod-payload-{A}", "podman"),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container", "podman"),
        (f"/system.slice/nerdctl-{A}.scope", "containerd"),
        (f"/kubepods/burstable/pod{UID}/{A}", None),
        (f"/kubepods.slice/kubepods-pod{UNDER}.slice/cri-containerd-{A}.scope", "containerd"),
        (f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDER}.slice/crio-{A}.scope", "cri-o"),
        (f"/kubepods.slice/kubepods-pod{UNDER}.slice/docker-{A}.scope", "docker"),
        (f"/system.slice/containerd.service/kubepods-burstable-pod{UNDER}.slice:cri-containerd:{A}", "containerd"),
    ],
)
def test_a_container_has_its_id_and_runtime(cgroup: str, runtime: str | None) -> None:
    """Whichever engine and driver made the group."""
    assert told(cgroup) == (runtime, A)
    assert parse(cgroup).key == A


@pytest.mark.parametrize(
    "cgroup",
    [
        "/",
        "/init.scope",
        "/system.slice/ssh.service",
        f"/system.slice/{A}0",
        f"/machine.slice/libpod-conmon-{A}.scope",
        f"/kubepods.slice/kubepods-pod{UNDER}.slice/crio-conmon-{A}.scope",
        f"/libpod_parent/{B}",
        "/machine.slice/machine-qemu\\x2d1\\x2dguest.scope",
        "/lxc.monitor.guest",
    ],
)
def test_what_is_no_container(cgroup: str) -> None:
    """Services, the monitors beside containers, the pods of podman, virtual machines."""
    assert parse(cgroup).key is None


@pytest.mark.parametrize(
    ("cgroup", "runtime", "name"),
    [
        ("/machine.slice/systemd-nspawn@web\\x2d1.service/payload/system.slice/x.service", "systemd-nspawn", "web-1"),
        ("/machine.slice/machine-build.scope/payload", "systemd-nspawn", "build"),
        ("/lxc.payload.guest/system.slice/x.service", "lxc", "guest"),
        ("/lxc.payload/guest", "lxc", None),
        ("/lxc/guest/init.scope", "lxc", "guest"),
    ],
)
def test_a_machine_has_a_name(cgroup: str, runtime: str, name: str | None) -> None:
    """LXC and systemd-nspawn give names, which are no ids."""
    place = parse(cgroup)
    if name is None:
        assert place.key is None
        return
    assert (place.runtime, place.machine, place.id) == (runtime, name, None)
    assert place.key == f"{runtime}:{name}"


def test_the_nearest_to_the_root_counts() -> None:
    """Whoever is inside may make groups of any name below his own."""
    assert told(f"/docker/{A}/docker/{B}") == ("docker", A)
    inside = parse(f"/docker/{A}/kubepods/pod{UID}/{B}/slurm/uid_0/job_1")
    assert (inside.pod, inside.job, inside.uid) == (None, None, None)
    assert parse(f"/docker/{A}/system.slice/vllm.service").end == len(f"/docker/{A}")


def test_a_pod_is_told_by_its_uid() -> None:
    """Of static pods too, whose uid is a hash; and only where Kubernetes keeps its pods."""
    for cgroup in (
        f"/kubepods/pod{UID}/{A}",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDER}.slice/cri-containerd-{A}.scope",
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UNDER}.slice/cri-containerd-{A}.scope",
    ):
        assert parse(cgroup).pod == UID
    assert parse(f"/kubepods/burstable/pod{MIRROR}/{A}").pod == MIRROR
    assert parse(f"/user.slice/pod{UID}/{A}").pod is None


@pytest.mark.parametrize(
    ("cgroup", "place"),
    [
        ("/slurm/uid_1000/job_7/step_0/task_0", ("7", "0", 1000)),
        ("/slurm_node1/uid_1000/job_7/step_batch", ("7", "batch", 1000)),
        ("/system.slice/slurmstepd.scope/job_7/step_extern/user/task_0", ("7", "extern", None)),
        ("/system.slice/node1_slurmstepd.scope/job_7/step_0/user/job_8", ("7", "0", None)),
        ("/system.slice/other.service/job_7/step_0", (None, None, None)),
    ],
)
def test_a_batch_job_is_told(cgroup: str, place: tuple[str | None, str | None, int | None]) -> None:
    """Number, step and user, below Slurm's own groups only."""
    found = parse(cgroup)
    assert (found.job, found.step, found.uid) == place


def test_a_users_groups_are_marked() -> None:
    """A user names what lies below his slice as he likes."""
    assert parse(f"/user.slice/user-1000.slice/libpod-{A}.scope").users
    assert parse(f"/../../user.slice/user-1000.slice/libpod-{A}.scope").users
    assert not parse(f"/docker/{A}").users


@given(st.text(alphabet="/:podkubelibslurm-_.0123456789abcdef\\x", max_size=300))
def test_any_path_is_a_place(cgroup: str) -> None:
    """Nothing that somebody calls a group is an error."""
    assert isinstance(parse(cgroup), Place)
    assert parse(cgroup).end <= len(cgroup)
