"""Was this supposed to happen: deployments, jobs, the baseline, and what an agent may not inherit."""

from datetime import date

import pytest
from support.story import START, Host

from replguard.events.fact import Authorised
from replguard.provenance import entry
from replguard.provenance.authority import Authority, subject
from replguard.provenance.baseline import Baseline
from replguard.provenance.manifest import Deployment, Job, Manifest, May

CHAT = Deployment(name="chat", unit="vllm.service", weights=("/models/llama",), max_instances=2)
PATH = "/models/llama/w.safetensors"


def authority(manifest: Manifest = Manifest(), baseline: Baseline | None = None) -> Authority:  # noqa: B008 - frozen
    return Authority(manifest, baseline or Baseline(None))


def act(rules: Authority, host: Host, may: May, path: str = PATH) -> Authorised | None:
    main = host.service("vllm")
    return rules.act(main, entry.find(main), may, path, "llama", START)


def test_a_deployment_may_use_its_weights_and_no_more() -> None:
    """Access to the weights that it names; neither copies nor other weights."""
    rules = authority(Manifest((CHAT,)))
    assert act(rules, Host(), "access") == Authorised(by="manifest", entry="chat")
    assert act(rules, Host(), "copy") is None
    assert act(rules, Host(), "access", "/models/other/w") is None


@pytest.mark.parametrize(("may", "allowed"), [("access", True), ("copy", True), ("egress", False)])
def test_a_job_may_what_it_says(may: May, allowed: bool) -> None:
    """Each act is named."""
    job = Job(name="backup", unit="vllm.service", may=("access", "copy"))
    assert (act(authority(Manifest((), (job,))), Host(), may) is not None) is allowed


def test_an_expired_job_may_nothing() -> None:
    """The day after its last."""
    job = Job(name="backup", unit="vllm.service", may=("copy",), expires=date(2025, 12, 31))
    assert act(authority(Manifest((), (job,))), Host(), "copy") is None


def test_the_baseline_allows_access_only() -> None:
    """Who served a model when we came may read it; a copy is told."""
    baseline = Baseline(None)
    baseline.open(START, first_start=True)
    baseline.take("unit:vllm.service", "llama", 1, START)
    rules = authority(baseline=baseline)
    assert act(rules, Host(), "access") == Authorised(by="baseline", entry="unit:vllm.service")
    assert act(rules, Host(), "copy") is None


@pytest.mark.parametrize("says_agent", [False, True])
def test_an_agents_tool_inherits_nothing(says_agent: bool) -> None:
    """A tool shell inside the unit is the agent's, unless the entry means agents."""
    host = Host()
    main = host.service("vllm")
    tool = host.exec("sh", parent=main)
    main.confirmed_agent = True
    deployment = Deployment(name="chat", unit="vllm.service", weights=("/models",), agent=says_agent)
    baseline = Baseline(None)
    baseline.open(START, first_start=True)
    found = entry.find(tool)
    baseline.take(found.principal, "llama", 1, START)
    rules = authority(Manifest((deployment,)), baseline)
    assert (rules.act(tool, found, "access", PATH, "llama", START) is not None) is says_agent
    assert (rules.serving(tool, found, frozenset({PATH}), "llama", START) is not None) is says_agent


def test_serving_has_a_limit() -> None:
    """A deployment's own, one for a job, and as many as there were for the baseline."""
    host = Host()
    main = host.service("vllm")
    found = entry.find(main)
    paths = frozenset({PATH})
    by_deployment = authority(Manifest((CHAT,))).serving(main, found, paths, "llama", START)
    assert by_deployment == (Authorised(by="manifest", entry="chat"), 2, CHAT)
    job = Job(name="trial", unit="vllm.service", may=("serve",))
    assert authority(Manifest((), (job,))).serving(main, found, paths, "llama", START) == (
        Authorised(by="manifest", entry="trial"), 1, job,
    )  # fmt: skip
    baseline = Baseline(None)
    baseline.open(START, first_start=True)
    baseline.take("unit:vllm.service", "llama", 3, START)
    assert authority(baseline=baseline).serving(main, found, paths, "llama", START) == (
        Authorised(by="baseline", entry="unit:vllm.service"), 3, baseline.find("unit:vllm.service", "llama"),
    )  # fmt: skip
    assert authority(baseline=baseline).serving(main, found, paths, "other", START) is None


def test_access_alone_is_no_leave_to_serve() -> None:
    """A job without ``serve``, other weights, and a principal that only read, are not allowed to serve."""
    host = Host()
    main = host.service("vllm")
    found = entry.find(main)
    baseline = Baseline(None)
    baseline.open(START, first_start=True)
    baseline.take("unit:vllm.service", "llama", 0, START)
    job = Job(name="backup", unit="vllm.service", may=("access",))
    rules = authority(Manifest((CHAT,), (job,)), baseline)
    assert rules.serving(main, found, frozenset({"/models/other/w"}), "llama", START) is None


def test_a_subject_is_what_the_keys_ask_for() -> None:
    """Unit or container, user, image and command of the process itself."""
    host = Host()
    main = host.service("vllm", args="serve llama")
    seen = subject(main, entry.find(main))
    assert (seen.unit, seen.container, seen.uid, seen.user) == ("vllm.service", None, 900, "serve")
    assert (seen.executable, seen.command, seen.agent) == ("/usr/bin/python3", "python3 serve llama", False)
    boxed = host.exec("python3", parent=host.init, cgroup=f"/docker/{'a' * 64}", user=None)
    seen = subject(boxed, entry.find(boxed))
    assert (seen.unit, seen.container, seen.uid, seen.user) == (None, "a" * 64, None, None)


def test_a_deployment_names_the_ports_too() -> None:
    """One other door is one too many; ports that the kernel chose are the ranks' own, if there is a door beside."""
    host = Host()
    main = host.service("vllm")
    named = Deployment(name="chat", unit="vllm.service", weights=("/models",), ports=(8000,))
    rules, found = authority(Manifest((named,))), entry.find(main)

    def serves(*listen: str) -> bool:
        return rules.serving(main, found, frozenset({PATH}), "llama", START, frozenset(listen)) is not None

    assert serves()
    assert serves("0.0.0.0:8000")
    assert serves("0.0.0.0:8000", "10.0.0.1:40123", "/run/ranks.sock")
    assert not serves("0.0.0.0:8001")
    assert not serves("0.0.0.0:8000", ":::8001")
    assert not serves("127.0.0.1:40123")


def test_a_copy_beside_the_weights_is_not_among_them() -> None:
    """An instance is allowed with all the files that it holds, or not at all."""
    host = Host()
    main = host.service("vllm")
    both = frozenset({PATH, "/tmp/llama/w2.safetensors"})
    assert authority(Manifest((CHAT,))).serving(main, entry.find(main), both, "llama", START) is None


def test_a_replica_inherits_nothing() -> None:
    """What a server starts inside its own unit is no server of that unit, unless the entry says `agent: true`."""
    host = Host()
    main = host.server(host.protect(PATH), 8000, name="vllm")
    second = host.exec("python3", "serve.py", parent=host.exec("sh", ("-c", "x"), parent=main))
    for agent in (False, True):
        item = Deployment(name="chat", unit="vllm.service", weights=("/models",), max_instances=9, agent=agent)
        rules = authority(Manifest((item,)))
        asked = second, entry.find(second), frozenset({PATH}), "llama", START
        assert rules.serving(*asked)
        assert (rules.serving(*asked, replica=True) is not None) is agent


def test_a_worker_may_what_its_launcher_may() -> None:
    """It has other arguments, and is still the same program; a program that it starts is none."""
    host = Host()
    main = host.service("vllm", args="serve llama")
    worker = host.exec("python3", ("-c", "from multiprocessing.spawn import spawn_main"), parent=main)
    tool = host.exec("cp", "a b", parent=worker)
    rules = authority(Manifest((Deployment(name="chat", command="python3 serve llama", weights=("/models",)),)))
    assert rules.act(worker, entry.find(worker), "access", PATH, "llama", START)
    assert rules.act(tool, entry.find(tool), "access", PATH, "llama", START) is None
    assert rules.means(worker, entry.find(worker), START, 8000)
    assert rules.means(tool, entry.find(tool), START, 8000) is None
