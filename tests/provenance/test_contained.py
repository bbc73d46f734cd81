"""Names come by a thread of their own, are remembered within bounds, and satisfy the keys of a manifest."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from support import engines
from support.host import until
from support.story import ROOT, Host

from replguard.events.event import Event, Meta
from replguard.events.process import Process
from replguard.kernel import cgroups, procfs
from replguard.kernel.containers import parse
from replguard.provenance import contained
from replguard.provenance.contained import Names, _key
from replguard.provenance.manifest import Job, Manifest, Scheduler


def learnt(folder: Path, *cgroups: str) -> Names:
    """Return the names of a host, all of these known; its thread has ended."""
    names = Names(engines.host(folder))
    names.start()
    try:
        for cgroup in cgroups:
            assert until(lambda cgroup=cgroup: names.of(cgroup).whole)
    finally:
        names.stop()
    return names


def test_nobody_waits_for_the_disk(tmp_path: Path) -> None:
    """What the path tells is there at once, the rest in a moment; outside containers there is nothing."""
    names = Names(engines.host(tmp_path))
    first = names.of(engines.DOCKER)
    assert first.container is not None
    assert (first.container.id, first.container.name, first.whole) == (engines.WEB, None, False)
    assert names.of("/system.slice/ssh.service").container is None
    assert names.of(None).container is None
    names.start()
    try:
        section = Process(pid=1, cgroup=engines.PODMAN)
        names.notice(Event(timestamp=Host().now, event=Meta(action="process_exec"), process=section))
        assert until(lambda: names._known[engines.QUADLET, None, None, False].named.whole)
        box = names.of(engines.PODMAN).container
        assert box is not None
        assert box.name == "systemd-chat"
    finally:
        names.stop()


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of containers lets go of those met first."""
    monkeypatch.setattr(contained, "MOST", 8)
    names = Names(str(tmp_path))
    for number in range(50):
        names.of(f"/docker/{number:064x}")
        names.principal(f"/docker/{number:064x}")
    assert (len(names._known), len(names._principals)) == (8, 8)


def test_a_principal_is_a_name_that_outlives_the_container(tmp_path: Path) -> None:
    """Namespace, workload and container in Kubernetes; a name elsewhere; the id where nothing has one.

    A user who calls his group by the id of somebody else's container gets no name of it.

    A principal stays what it was at first: an actor must not become another one by a look at the disk.
    """
    names = learnt(tmp_path, engines.CONTAINERD, engines.DOCKER)
    assert names.principal(engines.CONTAINERD) == "ml/chat/server"
    assert names.principal(engines.DOCKER) == "web"
    assert names.principal(engines.ROOTLESS) == "1" * 12
    late = Names(engines.host(tmp_path))
    assert late.principal(engines.DOCKER) == "1" * 12
    late._known[engines.WEB, None, None, False].named = names.of(engines.DOCKER)
    assert late.principal(engines.DOCKER) == "1" * 12


ENTRIES = [
    (engines.CONTAINERD, {"namespace": "ml", "workload": "chat"}),
    (engines.CONTAINERD, {"image": "registry.example/vllm:*", "namespace": "ml"}),
    (engines.CRIO, {"workload": "embed", "container": "server"}),
    (engines.DOCKER, {"container": "web", "image": "registry.example/web:1.2"}),
    (engines.DOCKER, {"container": engines.WEB}),
    (engines.PODMAN, {"image": "localhost/chat:*"}),
    (engines.SLURM, {"scheduler": Scheduler(account="research", job="finetune")}),
    (engines.SLURM, {"scheduler": Scheduler(account="research")}),
]


@pytest.mark.parametrize(("cgroup", "keys"), ENTRIES)
def test_an_entry_holds_for_what_it_names_and_events_say_so(
    tmp_path: Path, cgroup: str, keys: dict[str, object]
) -> None:
    """The very access is allowed, one from the next container is not, and both say where they ran."""
    job = Job(name="it", may=("access",), **keys)  # type: ignore[arg-type]
    host = Host(Manifest((), (job,)))
    contained.Current.names = learnt(tmp_path, cgroup)
    weights = host.protect()
    shim = host.exec("containerd-shim-runc-v2", parent=host.init, cgroup="/system.slice/containerd.service")
    other = "/docker/" + "e" * 64
    for place in (cgroup, other):
        host.open(weights, host.exec("python3", parent=shim, cgroup=place, user=ROOT))
    mine, theirs = host.of("weights_access")
    assert mine.replguard.authorised is not None
    assert mine.replguard.authorised.entry == "it"
    assert theirs.replguard.authorised is None
    assert theirs.container.id == "e" * 64
    if cgroup == engines.CONTAINERD:
        assert (mine.container.name, mine.container.image.name) == ("server", "registry.example/vllm:0.9")
        assert (mine.orchestrator.namespace, mine.orchestrator.workload) == ("ml", "chat")
        assert mine.orchestrator.resource.name == "chat-7d9c5b8f6d-x2kqz"
        assert mine.replguard.actor.principal == "container:ml/chat/server"


def test_a_user_cannot_call_himself_what_a_manifest_allows(tmp_path: Path) -> None:
    """Neither by a group that he makes below his slice, nor by a service inside a container."""
    job = Job(name="it", may=("access",), container="web")
    unit = Job(name="unit", may=("access",), unit="vllm.service")
    host = Host(Manifest((), (job, unit)))
    contained.Current.names = learnt(tmp_path, engines.DOCKER)
    weights = host.protect()
    by_id = Job(name="id", may=("access",), container=engines.WEB)
    host.provenance.authority.manifest = Manifest((), (job, unit, by_id))
    for place in (engines.ROOTLESS, f"/docker/{'e' * 64}/system.slice/vllm.service"):
        host.open(weights, host.exec("python3", parent=host.init, cgroup=place, user=ROOT))
    assert [fact.replguard.authorised for fact in host.of("weights_access")] == [None, None]


@pytest.mark.root
def test_a_real_group_is_found_at_the_start(tmp_path: Path) -> None:
    """A process that runs already, in a group as kubelet makes it, has its names before the first event."""
    if os.geteuid() != 0:
        pytest.skip("control groups are made by root")
    root = cgroups.root()
    made = Path(f"/proc/self/fd/{root}", f"kubepods/burstable/pod{engines.POD}/{engines.CHAT}")
    try:
        made.mkdir(parents=True)
    except OSError as error:
        os.close(root)
        pytest.skip(f"control groups cannot be made here: {error.strerror}")
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        (made / "cgroup.procs").write_text(str(sleeper.pid))
        cgroup = procfs.cgroup(sleeper.pid)
        assert parse(cgroup or "").id == engines.CHAT
        names = Names(engines.host(tmp_path))
        names.start()
        named = names._known[_key(parse(cgroup or ""))].named
        names.stop()
        assert named.orchestrator is not None
        assert (named.orchestrator.namespace, named.orchestrator.workload) == ("ml", "chat")
    finally:
        sleeper.kill()
        sleeper.wait()
        for folder in (made, made.parent, made.parent.parent, made.parent.parent.parent):
            with contextlib.suppress(OSError):
                until(lambda folder=folder: not folder.exists() or folder.rmdir() is None)
        os.close(root)
