"""Cases that other engines, and other hosts, are known to differ on: names of programs, and values of other types."""

import pytest
from support.rulebook import event, good

from replguard.rules.index import Index

PROGRAMS = [
    ("/bin/sh", "/usr/bin/dash"),
    ("/usr/bin/awk", "/usr/bin/mawk"),
    ("/usr/bin/vi", "/usr/bin/vim.basic"),
    ("/usr/bin/python3", "/usr/bin/python3.11"),
    ("/usr/bin/gcc", "/usr/bin/x86_64-linux-gnu-gcc-12"),
]
"""The name that was asked for, and what lies behind it on Debian 12."""


def index(tmp_path, detection: str, category: str = "process_creation") -> Index:
    """Return one rule."""
    head = f"title: t\nname: t\nlogsource: {{product: linux, category: {category}}}\ndetection:\n"
    return Index(good(tmp_path, head + detection).rules)


@pytest.mark.parametrize(("invoked", "resolved"), PROGRAMS)
def test_image_is_what_was_asked_for_or_what_lies_there(tmp_path, invoked, resolved):
    """A rule on either name matches, by its end or as a whole; another program of a like name does not."""
    ran = event(process__executable=resolved, process__invoked=invoked)
    alone = event(process__executable=resolved)
    for path in (invoked, resolved):
        name = path[path.rfind("/") :]
        for value in (f"Image|endswith: {name}", f"Image: {path}", f"Image: '*{name}'"):
            found = index(tmp_path, f"  s: {{{value}}}\n  condition: s\n")
            assert found.matches(ran), value
            assert bool(found.matches(alone)) is (path == resolved)
            assert not found.matches(event(process__executable="/opt/other", process__invoked=f"/opt/x{name[1:]}"))


@pytest.mark.parametrize(("invoked", "resolved"), PROGRAMS)
def test_a_negated_image_is_neither(tmp_path, invoked, resolved):
    """A filter on either name takes the event away; one on another name does not."""
    ran = event(process__executable=resolved, process__invoked=invoked, process__command_line="x")
    for path, spared in ((invoked, False), (resolved, False), ("/usr/bin/other", True)):
        name = path[path.rfind("/") :]
        detection = f"  s: {{CommandLine: x}}\n  f: {{Image|endswith: {name}}}\n  condition: s and not f\n"
        assert bool(index(tmp_path, detection).matches(ran)) is spared


@pytest.mark.parametrize("written", ["0", "'0'", "0.0"])
def test_a_logon_of_zero_is_a_number_and_a_text(tmp_path, written):
    """Root's login uid is 0 however a rule writes it; a login that is not known is no 0."""
    found = index(tmp_path, f"  s: {{LogonId: {written}}}\n  condition: s\n")
    assert found.matches(event(user__audit=0))
    assert not found.matches(event(user__audit=1000))
    assert not found.matches(event(user__audit=10))
    assert not found.matches(event(user__name="root"))


@pytest.mark.parametrize("written", ["true", "'true'", "'True'", "TRUE", "'TRUE'"])
def test_initiated_is_a_truth_and_a_text(tmp_path, written):
    """Sysmon writes a word where we have a truth value, and YAML one where rules mean a word."""
    found = index(tmp_path, f"  s: {{Initiated: {written}}}\n  condition: s\n", "network_connection")
    assert found.matches(event(0, "network_connection", network={"transport": "tcp", "initiated": True}))
    assert not found.matches(event(0, "network_connection", network={"transport": "tcp", "initiated": False}))
    assert not found.matches(event(0, "network_connection", network={"transport": "tcp"}))


@pytest.mark.parametrize("written", ["false", "'false'", "'False'"])
def test_not_initiated_is_told_and_not_unknown(tmp_path, written):
    """A connection that came in; one of which nobody told is neither."""
    found = index(tmp_path, f"  s: {{Initiated: {written}}}\n  condition: s\n", "network_connection")
    assert found.matches(event(0, "network_connection", network={"transport": "tcp", "initiated": False}))
    assert not found.matches(event(0, "network_connection", network={"transport": "tcp"}))


@pytest.mark.parametrize("written", ["443", "'443'", "[80, 443]", "['80', '443']"])
def test_a_port_is_a_number_and_a_text(tmp_path, written):
    """As rules write either."""
    found = index(tmp_path, f"  s: {{DestinationPort: {written}}}\n  condition: s\n", "network_connection")
    assert found.matches(event(0, "network_connection", destination={"ip": "10.0.0.1", "port": 443}))
    assert not found.matches(event(0, "network_connection", destination={"ip": "10.0.0.1", "port": 4433}))
