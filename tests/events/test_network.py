"""A socket's end is an address and a port, or a path."""

import msgspec

from replguard.events.network import Endpoint, Network, ports


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
