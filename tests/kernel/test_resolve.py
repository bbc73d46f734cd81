"""Names of inference endpoints become addresses; trouble with the resolver gives fewer of them, never an error."""

import socket

import pytest

from replguard.kernel import resolve


def test_an_address_stands_for_itself() -> None:
    """No look-up is needed for what is an address already."""
    assert resolve.Names(["127.0.0.1", "::1"]).addresses() == {"127.0.0.1", "::1"}


def test_unknown_names_and_nonsense_give_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that fails, and a name that cannot be encoded, are left out."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "down")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert resolve.Names(["api.example.invalid"]).addresses() == set()
    monkeypatch.undo()
    assert resolve.Names(["a" * 70 + ".invalid"]).addresses() == set()


def test_a_resolver_that_fails_takes_no_address_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent is not unknown for as long as the name service is down."""
    names = resolve.Names(["127.0.0.1"])
    assert names.addresses() == {"127.0.0.1"}

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "down")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert names.addresses() == {"127.0.0.1"}
