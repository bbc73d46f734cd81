"""A server binds without a resolver."""

import socket
from http.server import BaseHTTPRequestHandler

import pytest

from replguard.nameless import NamelessHTTPServer


def test_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the address nor of the host; name and port are those that were bound."""

    def refuse(*_: object) -> str:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getfqdn", refuse)
    with NamelessHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        assert (server.server_name, server.server_port) == server.server_address
