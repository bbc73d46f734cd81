"""Inference endpoints besides the local instances: addresses, networks and names from the configuration."""

import ipaddress
from collections.abc import Iterable

from replguard.events.event import Event
from replguard.events.network import Endpoint

BUILTIN = (
    "api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com", "api.mistral.ai", "api.cohere.com",
    "api.deepseek.com", "api.groq.com", "api.together.xyz", "openrouter.ai", "api.x.ai", "api.fireworks.ai",
    "dashscope.aliyuncs.com", "api.moonshot.cn", "api.perplexity.ai", "api-inference.huggingface.co",
)  # fmt: skip
"""Names of public model APIs: the shipped list behind ``agents.endpoints: [builtin]``."""

MAPPED = "::ffff:"
"""What an IPv4 address begins with on a socket of both families."""
LOOPBACK = ("127.", "::1", "::ffff:127.")

_DIGITS = 5
"""Of a port, at the most."""
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def stays(event: Event) -> bool:
    """Whether a connection stays on this host: it goes to loopback, or to where it comes from."""
    end, source = event.destination, event.source
    if end is None or end.ip is None:
        return False
    ip = end.ip.removeprefix(MAPPED)
    return ip.startswith("127.") or ip == "::1" or (source is not None and source.ip == end.ip)


class Endpoints:
    """Says whether an address is a known inference endpoint. Names count once `resolved` has told their addresses."""

    def __init__(self, configured: Iterable[str]) -> None:
        self.names: list[str] = []
        self._networks: list[tuple[_Network, int | None]] = []
        self._resolved: frozenset[str] = frozenset()
        for text in configured:
            self._add(text)

    def _add(self, text: str) -> None:
        if text == "builtin":
            self.names += BUILTIN
            return
        host, port = text, None
        if text.count(":") == 1 or text.startswith("["):
            head, _, tail = text.rpartition(":")
            if tail.isascii() and tail.isdigit() and len(tail) <= _DIGITS:
                host, port = head.strip("[]"), int(tail)
        try:
            self._networks.append((ipaddress.ip_network(host, strict=False), port))
        except ValueError:
            self.names.append(host)

    def resolved(self, addresses: Iterable[str]) -> None:
        """Replace the addresses that the names stand for."""
        self._resolved = frozenset(addresses)

    def covers(self, end: Endpoint) -> bool:
        """Whether a connection to ``end`` goes to an inference endpoint."""
        if end.ip is None:
            return False
        ip = end.ip.removeprefix(MAPPED)
        if ip in self._resolved:
            return True
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(address in network and port in (None, end.port) for network, port in self._networks)
