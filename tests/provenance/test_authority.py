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
    assert by_deployment == (Authorised(by="manifest", entry="chat"), 2)
    job = Job(name="trial", unit="vllm.service", may=("serve",))
    assert authority(Manifest((), (job,))).serving(main, found, paths, "llama", START) == (
        Authorised(by="manifest", entry="trial"), 1,
    )  # fmt: skip
    baseline = Baseline(None)
    baseline.open(START, first_start=True)
    baseline.take("unit:vllm.service", "llama", 3, START)
    assert authority(baseline=baseline).serving(main, found, paths, "llama", START) == (
        Authorised(by="baseline", entry="unit:vllm.service"), 3,
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
