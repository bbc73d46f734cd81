"""What container engines, kubelet and a prolog leave on a host: a tree of files, and the control groups to it."""

import json
from pathlib import Path
from typing import Any

POD = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
IN_POD = POD.replace("-", "_")
WEB, CHAT, STATEFUL, OPEN, QUADLET, PLAIN = ("1" * 64, "2" * 64, "3" * 64, "4" * 64, "5" * 64, "6" * 64)
_TASKS = "run/containerd/io.containerd.runtime.v2.task"
_STORAGE = "var/lib/containers/storage/overlay-containers"

DOCKER = f"/system.slice/docker-{WEB}.scope"
_BURST = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable"
CONTAINERD = f"{_BURST}-pod{IN_POD}.slice/cri-containerd-{CHAT}.scope"
CGROUPFS = f"/kubepods/besteffort/pod{POD}/{STATEFUL}"
CRIO = f"/kubepods.slice/kubepods-pod{IN_POD}.slice/crio-{OPEN}.scope"
PODMAN = f"/machine.slice/libpod-{QUADLET}.scope/container"
ROOTLESS = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{WEB}.scope/container"
SLURM = "/system.slice/slurmstepd.scope/job_4711/step_batch/user/task_0"


def write(root: Path, path: str, data: Any) -> None:
    """Write one file, as JSON unless it is text."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(data if isinstance(data, str) else json.dumps(data))


def annotated(container: str, pod: str, image: str) -> dict[str, Any]:
    """Return the parts of containerd's file that matter, among others."""
    cri = {
        "container-type": "container",
        "container-name": container,
        "image-name": image,
        "sandbox-id": "9" * 64,
        "sandbox-name": pod,
        "sandbox-namespace": "ml",
        "sandbox-uid": POD,
    }
    return {
        "ociVersion": "1.2.0",
        "process": {"args": ["python3"], "env": ["A=B"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "annotations": {f"io.kubernetes.cri.{key}": value for key, value in cri.items()},
        "linux": {"cgroupsPath": "x"},
    }


def host(root: Path) -> str:
    """Write a host on which all of them ran something; returns what leads to it."""
    docker = {
        "ID": WEB,
        "Name": "/web",
        "Image": "sha256:" + "a" * 64,
        "State": {"Running": True, "Pid": 77},
        "Config": {"Image": "registry.example/web:1.2", "Labels": {"io.kubernetes.pod.name": "chat-0"}},
    }
    write(root, f"var/lib/docker/containers/{WEB}/config.v2.json", docker)
    write(root, f"{_TASKS}/moby/{WEB}/config.json", {"annotations": {}})
    image = "registry.example/vllm:0.9"
    write(root, f"{_TASKS}/k8s.io/{CHAT}/config.json", annotated("server", "chat-7d9c5b8f6d-x2kqz", image))
    write(root, f"{_TASKS}/k8s.io/{STATEFUL}/config.json", annotated("worker", "llama-0", image))
    crio = {
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.ImageName": image,
        "io.kubernetes.container.name": "server",
        "io.kubernetes.pod.name": "embed-x2kqz",
        "io.kubernetes.pod.namespace": "ml",
        "io.kubernetes.pod.uid": POD,
    }
    write(root, f"{_STORAGE}/{OPEN}/userdata/config.json", {"annotations": crio})
    write(root, f"{_STORAGE}/{QUADLET}/userdata/config.json", {"annotations": {"io.container.manager": "libpod"}})
    metadata = json.dumps({"image-name": "localhost/chat:3", "name": "chat"})
    stored = [
        {"id": OPEN, "names": ["k8s_server_embed"], "metadata": "{}"},
        {"id": QUADLET, "names": ["systemd-chat"], "image": "b" * 64, "layer": "c" * 64, "metadata": metadata},
    ]
    write(root, f"{_STORAGE}/containers.json", stored)
    write(
        root, f"{_TASKS}/default/{PLAIN}/config.json", {"annotations": {"io.kubernetes.cri.container-name": "server"}}
    )
    (root / f"var/log/pods/ml_chat-7d9c5b8f6d-x2kqz_{POD}/server").mkdir(parents=True, exist_ok=True)
    write(root, "run/replguard-jobs/4711", "account=research\njob=finetune\n")
    return str(root)
