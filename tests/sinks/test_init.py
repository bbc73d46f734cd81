import time

from support.making import alert

from replguard import sinks
from replguard.events import wire
from replguard.sinks import Sinks, names, validate


def test_every_module_is_a_sink():
    """Each name gives settings, a way to open them, and says what it can lose."""
    assert names() == ["alertmanager", "console", "journald", "jsonl", "webhook"]
    for name in names():
        module = __import__(f"replguard.sinks.{name}", fromlist=["x"])
        assert issubclass(module.Settings, sinks.Common)
        assert callable(module.open)


def test_validate_tells_every_fault():
    """All sinks and all keys are checked at once, with the nearest name for what is unknown."""
    faults = validate(
        {
            "jsnl": {},
            "jsonl": {"pth": "/x"},
            "webhook": {"url": "ftp://x", "timeout": "soon"},
            "alertmanager": {"urls": []},
            "console": "yes",
            "journald": None,
        }
    )
    assert faults == [
        "sinks: unknown key 'jsnl', did you mean 'jsonl'?",
        "sinks.jsonl: unknown key 'pth', did you mean 'path'?",
        "sinks.jsonl: 'path' is missing",
        "sinks.webhook: 'timeout': 'soon' is not a time span; write for example 30s, 10m, 2h or 400d",
        "sinks.alertmanager: 'urls' is empty: name every member of the cluster",
        "sinks.console: expected keys and values, got str",
    ]
    assert validate({"webhook": {"url": "gopher://x"}}) == [
        "sinks.webhook: 'gopher://x' is not a URL that begins with http:// or https:// and names a host"
    ]
    assert (
        validate({"jsonl": {"path": "/x"}, "webhook": {"url": "https://x/y"}, "alertmanager": {"urls": ["http://a"]}})
        == []
    )


def test_each_sink_has_its_own_lowest_level(tmp_path):
    """What is too low for a pager still goes to the file; a level that there is not is a fault of the configuration."""
    every, loud = tmp_path / "every.jsonl", tmp_path / "loud.jsonl"
    for name, path, level in (("every", every, {}), ("loud", loud, {"min_level": "high"})):
        all_ = Sinks({"jsonl": {"path": str(path), **level}}, lambda _: None)
        all_.start()
        for number, each in enumerate(("low", "high", "critical")):
            all_.deliver(alert(number, each))
        all_.stop(5)
        assert path.exists(), name
    assert [wire.alert(line).rule.level for line in every.read_bytes().splitlines()] == ["low", "high", "critical"]
    assert [wire.alert(line).rule.level for line in loud.read_bytes().splitlines()] == ["high", "critical"]
    for sink, needs in (
        ("console", {}),
        ("journald", {}),
        ("jsonl", {"path": "/x"}),
        ("webhook", {"url": "http://x"}),
        ("alertmanager", {"urls": ["http://x"]}),
    ):
        assert validate({sink: {**needs, "min_level": "critical"}}) == []
        assert validate({sink: {**needs, "min_level": "loud"}}) != []


def test_a_dead_sink_delays_nobody(tmp_path, server):
    """With a far end that hangs and one that refuses, the file has every alert at once."""
    server.hold.clear()
    reports = []
    path = tmp_path / "alerts.jsonl"
    all_ = Sinks({"webhook": {"url": server.url, "timeout": "0.2s"}, "jsonl": {"path": str(path)}}, reports.append)
    all_.start()
    began = time.monotonic()
    for number in range(50):
        all_.deliver(alert(number))
    assert time.monotonic() - began < 0.5
    wait_for(lambda: all_.delivered()["jsonl"] == 50)
    assert [wire.alert(line) for line in path.read_bytes().splitlines()] == [alert(n) for n in range(50)]
    wait_for(lambda: all_.health()["webhook"] is not None)
    assert all_.health()["jsonl"] is None
    all_.stop(0.5)
    assert all_.delivered() == {"webhook": 0, "jsonl": 50}
    assert all_.dropped()["webhook", "stopped"] >= 49
    assert [(r.component, r.state) for r in reports] == [("sink.webhook", "failed")]


def test_a_broken_configuration_stops_no_other_sink(tmp_path):
    """What cannot be made is told at the start, the rest works."""
    reports = []
    path = tmp_path / "alerts.jsonl"
    all_ = Sinks({"nonsense": {}, "jsonl": {"path": str(path)}}, reports.append)
    all_.start()
    all_.deliver(alert(1))
    all_.stop(5)
    assert [(r.component, r.state) for r in reports] == [("sink.nonsense", "failed")]
    assert len(path.read_bytes().splitlines()) == 1
    assert all_.waiting() == {"jsonl": 0}


def test_counters_start_at_zero():
    """Every reason is there before anything was lost."""
    all_ = Sinks({"jsonl": {"path": "/x"}}, lambda _: None)
    assert all_.dropped() == {("jsonl", reason): 0 for reason in ("full", "rejected", "error", "stopped")}


def wait_for(met):
    """Wait until a condition holds, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)
