"""Addresses, networks and names of inference endpoints."""

from datetime import UTC, datetime

import pytest

from replguard.events.event import Event, Meta
from replguard.events.network import Endpoint
from replguard.provenance import endpoints
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


@pytest.mark.parametrize(
    ("there", "here", "stays"),
    [
        ("127.0.0.1", None, True),
        ("127.9.9.9", "10.0.0.1", True),
        ("::1", None, True),
        ("::ffff:127.0.0.1", None, True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("::1:2", None, False),
        (None, None, False),
    ],
)
def test_what_stays_on_this_host(there: str | None, here: str | None, stays: bool) -> None:
    """Loopback in each of its spellings, and an address of our own called from itself."""
    event = Event(
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        event=Meta(action="network_connection", provider="tcp"),
        source=Endpoint(ip=here),
        destination=Endpoint(ip=there),
    )
    assert endpoints.stays(event) is stays
