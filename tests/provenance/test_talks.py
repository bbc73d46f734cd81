"""Who talks to whom of those that one parent started."""

import pytest
from support.story import Host

from replguard.provenance.processes import Proc
from replguard.provenance.talks import MOST_CALLS, Talks


def mates() -> tuple[Talks, Proc, Proc, Proc]:
    host = Host()
    launcher = host.service()
    one, other = (host.exec("python3", "serve.py", parent=launcher) for _ in range(2))
    return Talks(host.provenance.table.get), one, other, host.login()


@pytest.mark.parametrize("first", ["listens", "connected"])
def test_mates_talk_whichever_is_told_first(first: str) -> None:
    """Both know; a stranger that connects is none of them, and neither is one that ended."""
    talks, one, other, stranger = mates()
    steps = [lambda: talks.listens(one, 45000), lambda: talks.connected(other, 45000)]
    for step in steps if first == "listens" else steps[::-1]:
        step()
    talks.connected(stranger, 45000)
    assert (talks.of(one), talks.of(other), talks.of(stranger)) == ({other.entity}, {one.entity}, set())
    talks.gone(other.entity)
    assert talks.of(one) == set()


def test_a_listener_that_is_gone_is_nobodys() -> None:
    """Who connects to its port later talks to somebody else; and only the latest calls are remembered."""
    talks, one, other, _ = mates()
    talks.listens(one, 45000)
    talks.closed(one.entity, 45000)
    talks.connected(other, 45000)
    for port in range(MOST_CALLS):
        talks.connected(other, port + 1)
    talks.listens(one, 45000)
    assert talks.of(one) == set()
