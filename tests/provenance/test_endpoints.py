"""Addresses, networks and names of inference endpoints."""

import pytest

from replguard.events.network import Endpoint
from replguard.provenance.endpoints import BUILTIN, Endpoints


@pytest.mark.parametrize(
    ("configured", "end", "expected"),
    [
        ("192.0.2.0/24", Endpoint(ip="192.0.2.9", port=443), True),
        ("192.0.2.0/24", Endpoint(ip="192.0.3.9", port=443), False),
        ("192.0.2.7", Endpoint(ip="192.0.2.7", port=80), True),
        ("192.0.2.7:8000", Endpoint(ip="192.0.2.7", port=8000), True),
        ("192.0.2.7:8000", Endpoint(ip="192.0.2.7", port=8001), False),
        ("2001:db8::/32", Endpoint(ip="2001:db8::5", port=443), True),
        ("2001:db8::5", Endpoint(ip="2001:db8::5", port=443), True),
        ("[2001:db8::5]:8000", Endpoint(ip="2001:db8::5", port=8000), True),
        ("[2001:db8::5]:8000", Endpoint(ip="2001:db8::5", port=8001), False),
        ("192.0.2.7", Endpoint(ip="::ffff:192.0.2.7", port=80), True),
        ("192.0.2.7", Endpoint(path="/run/x.sock"), False),
        ("192.0.2.7", Endpoint(ip="not an address", port=1), False),
    ],
)
def test_networks_and_addresses(configured: str, end: Endpoint, expected: bool) -> None:
    """With a port only that port; what is no address is covered by nothing."""
    assert Endpoints([configured]).covers(end) is expected


def test_names_count_once_they_are_resolved() -> None:
    """`builtin` stands for the shipped names; the last resolution replaces the one before."""
    ends = Endpoints(["builtin", "llm.example.net", "other.example.net:8443"])
    assert set(BUILTIN) < set(ends.names)
    assert {"llm.example.net", "other.example.net"} < set(ends.names)
    end = Endpoint(ip="198.51.100.4", port=443)
    assert not ends.covers(end)
    ends.resolved(["198.51.100.4"])
    assert ends.covers(end)
    ends.resolved(["198.51.100.5"])
    assert not ends.covers(end)
