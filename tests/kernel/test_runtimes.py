"""Names from a tree of files as the engines leave them, and from hostile ones."""

import os
from pathlib import Path

import pytest
from support import engines

from replguard.kernel import runtimes
from replguard.kernel.containers import Place, parse
from replguard.kernel.runtimes import Named, bare, look, workload

VLLM = "registry.example/vllm:0.9"


def words(named: Named) -> tuple[str | None, ...]:
    """Return runtime, name and image, then namespace, workload and pod."""
    box, pods = named.container, named.orchestrator
    assert box is not None
    image = box.image.name if box.image is not None else None
    if pods is None or pods.resource is None:
        return box.runtime, box.name, image
    return box.runtime, box.name, image, pods.namespace, pods.workload, pods.resource.name


@pytest.mark.parametrize(
    ("cgroup", "told"),
    [
        (engines.DOCKER, ("docker", "web", "registry.example/web:1.2")),
        (engines.CONTAINERD, ("containerd", "server", VLLM, "ml", "chat", "chat-7d9c5b8f6d-x2kqz")),
        (engines.CGROUPFS, ("containerd", "worker", VLLM, "ml", "llama", "llama-0")),
        (engines.CRIO, ("cri-o", "server", VLLM, "ml", "embed", "embed-x2kqz")),
        (engines.PODMAN, ("podman", "systemd-chat", "localhost/chat:3")),
        (f"/default/{engines.PLAIN}", ("containerd", None, None)),
    ],
)
def test_each_engine_tells_its_names(tmp_path: Path, cgroup: str, told: tuple[str | None, ...]) -> None:
    """A label or annotation of whoever started a container makes no pod of it, and none of its names."""
    named = look(parse(cgroup), engines.host(tmp_path))
    assert words(named) == told
    assert named.whole


def test_the_files_of_a_users_engine_are_not_read(tmp_path: Path) -> None:
    """He may write in them, and call his group by the id of somebody else's container."""
    named = look(parse(engines.ROOTLESS), engines.host(tmp_path))
    assert words(named) == ("podman", None, None)
    assert named.whole


def test_a_pod_is_named_by_its_logs_where_the_engine_does_not(tmp_path: Path) -> None:
    """Kubelet calls the folder so; the container itself stays without a name."""
    root = engines.host(tmp_path)
    place = parse(engines.CONTAINERD.replace(engines.CHAT, "7" * 64))
    named = look(place, root)
    assert words(named) == ("containerd", None, None, "ml", "chat", "chat-7d9c5b8f6d-x2kqz")
    assert not named.whole


def test_an_annotation_of_another_pod_counts_for_nothing(tmp_path: Path) -> None:
    """The group names the pod; the file has to agree."""
    given = engines.annotated("server", "admin-0", VLLM)
    given["annotations"]["io.kubernetes.cri.sandbox-uid"] = "another"
    place = parse(engines.CONTAINERD)
    path = f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{place.id}/config.json"
    engines.write(tmp_path, path, given)
    assert words(look(place, str(tmp_path))) == ("containerd", "server", VLLM, None, None, None)


def test_a_job_has_the_names_that_a_prolog_left(tmp_path: Path) -> None:
    """Without one it has its number alone."""
    pods = look(parse(engines.SLURM), engines.host(tmp_path)).orchestrator
    assert pods is not None
    assert pods.resource is not None
    assert (pods.type, pods.account, pods.resource.id, pods.resource.name) == ("slurm", "research", "4711", "finetune")
    unknown = look(parse(engines.SLURM.replace("4711", "4712")), str(tmp_path))
    assert unknown.orchestrator == bare(parse(engines.SLURM.replace("4711", "4712"))).orchestrator
    assert not unknown.whole


@pytest.mark.parametrize(
    ("pod", "owner"),
    [
        ("chat-7d9c5b8f6d-x2kqz", "chat"),
        ("my-chat-66b6c48dd5-7w4zv", "my-chat"),
        ("node-exporter-x2kqz", "node-exporter"),
        ("llama-12", "llama"),
        ("backup-29384710-x2kqz", "backup"),
        ("chat", "chat"),
        ("one-word", "one-word"),
    ],
)
def test_the_workload_is_derived(pod: str, owner: str) -> None:
    """As Deployments, DaemonSets, StatefulSets and CronJobs name their pods; a pod by itself is its own."""
    assert workload(pod) == owner


@pytest.mark.parametrize(
    "data", ["", "[", "{}", "[]", "null", '{"annotations": 3}', '{"Name": 7}', "[" * 10**5, '{"Config": null}']
)
def test_a_broken_file_is_no_name(tmp_path: Path, data: str) -> None:
    """Of whatever kind; the id is known all the same."""
    root = str(tmp_path)
    for path in (
        f"var/lib/docker/containers/{engines.WEB}/config.v2.json",
        f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{engines.WEB}/config.json",
        f"var/lib/containers/storage/overlay-containers/{engines.WEB}/userdata/config.json",
        "var/lib/containers/storage/overlay-containers/containers.json",
    ):
        engines.write(tmp_path, path, data)
    for runtime in ("docker", "containerd", "cri-o", "podman", None):
        named = look(Place(0, id=engines.WEB, runtime=runtime), root)
        assert named.container is not None
        assert (named.container.id, named.container.name) == (engines.WEB, None)


def test_only_a_regular_file_of_bounded_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe would hold us up, a link lead elsewhere, and a long file cost memory."""
    root, file = engines.host(tmp_path), tmp_path / f"var/lib/docker/containers/{engines.WEB}/config.v2.json"
    whole = words(look(parse(engines.DOCKER), root))
    monkeypatch.setattr(runtimes, "LARGEST", 10)
    assert runtimes._read(str(file), 10) is None
    monkeypatch.undo()
    file.rename(tmp_path / "kept")
    file.symlink_to(tmp_path / "kept")
    assert words(look(parse(engines.DOCKER), root)) != whole
    file.unlink()
    os.mkfifo(file)
    assert words(look(parse(engines.DOCKER), root)) == ("docker", None, None)


def test_a_name_that_is_too_long_is_none(tmp_path: Path) -> None:
    """Half a kilobyte is more than any engine allows."""
    root = engines.host(tmp_path)
    path = f"var/lib/docker/containers/{engines.WEB}/config.v2.json"
    engines.write(tmp_path, path, {"Name": "/" + "x" * 600, "Config": {"Image": ""}})
    assert words(look(parse(engines.DOCKER), root)) == ("docker", None, None)
