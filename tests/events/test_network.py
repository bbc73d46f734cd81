"""A socket's end is an address and a port, or a path."""

import msgspec

from replguard.events.network import Endpoint, Network, listener, ports


def test_an_end_of_either_family_survives():
    """TCP and Unix ends come back as they were."""
    for made in (Endpoint(ip="::1", port=8000), Endpoint(path="/run/s.sock"), Endpoint(ip="10.0.0.1", port=0)):
        assert msgspec.json.decode(msgspec.json.encode(made), type=Endpoint) == made


def test_false_and_zero_are_told():
    """An accepted connection is not one of unknown direction, nothing sent is not an unknown volume."""
    assert msgspec.to_builtins(Network(initiated=False, bytes=0)) == {"initiated": False, "bytes": 0}


def test_only_addresses_have_ports():
    """A socket's path may end in anything, also in what some call a digit."""
    listen = ("127.0.0.1:8000", "[::1]:8001", "0.0.0.0:8000", "/run/x.sock", "@name:\u00b2", "/run/y:", "unnamed")
    assert ports(listen) == {8000, 8001}
    assert ports(()) == set()


def test_a_path_stays_one():
    """Whoever makes a socket chooses its name, which may look like a port or a number without end."""
    for path in ("/run/x:80", "@x:80", "/run/x:\u00b2", "x:80", f"/{'x' * 9}:{'9' * 90}", "10.0.0.1:\u0668"):
        assert listener(path) == Endpoint(path=path)
    assert listener("fe80::1%eth0:80") == Endpoint(ip="fe80::1%eth0", port=80)
    assert listener(":80") == Endpoint(ip="", port=80)
