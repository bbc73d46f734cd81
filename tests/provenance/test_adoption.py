"""Whose a process is whose parent does not tell."""

from support.story import ANN, Host

from replguard.provenance.adoption import ADOPT_WITHIN
from replguard.provenance.processes import Proc


def scene() -> tuple[Host, Proc]:
    host = Host()
    host.server(host.protect())
    return host, host.agent(host.exec("bash", parent=host.init, cgroup="/agents", user=ANN, session=50))


def test_an_orphan_is_the_agents_that_was_just_answered() -> None:
    """In its control group and of its user, for some seconds."""
    host, bot = scene()
    host.turn(bot)
    orphan = host.exec("python3", parent=host.init, cgroup="/agents", user=ANN, session=60)
    assert (orphan.parent, orphan.adopted) == (bot, True)
    other = host.exec("python3", parent=host.init, cgroup="/others", user=ANN, session=61)
    assert (other.parent, other.adopted) == (host.init, False)
    host.wait(ADOPT_WITHIN.total_seconds() + 1)
    late = host.exec("python3", parent=host.init, cgroup="/agents", user=ANN, session=62)
    assert (late.parent, late.adopted) == (host.init, False)


def test_a_child_of_an_adopter_is_no_orphan() -> None:
    """A container's shim starts programs itself, in its own session; who left his parent has the agent's or his own."""
    host, bot = scene()
    shim = host.exec("containerd-shim-runc-v2", parent=host.init, cgroup="/agents", user=ANN, session=90)
    host.turn(bot)
    own = host.exec("probe", parent=shim)
    assert (own.parent, own.adopted) == (shim, False)
    orphan = host.exec("python3", parent=shim, session=91)
    assert (orphan.parent, orphan.adopted) == (bot, True)


def test_of_two_agents_neither_is_guessed() -> None:
    """Nothing tells them apart."""
    host, bot = scene()
    other = host.agent(host.exec("bash", parent=host.init, cgroup="/agents", user=ANN, session=70))
    host.turn(bot)
    host.turn(other)
    orphan = host.exec("python3", parent=host.init, cgroup="/agents", user=ANN, session=60)
    assert (orphan.parent, orphan.adopted) == (host.init, False)


def test_what_was_there_at_the_start_is_nobodys() -> None:
    """It began before anybody was answered."""
    host, bot = scene()
    host.turn(bot)
    old = host.exec("python3", parent=host.init, cgroup="/agents", user=ANN, session=60, kind="state")
    assert (old.parent, old.adopted) == (host.init, False)


def test_a_planner_stays_who_it_was() -> None:
    """What a process executes later is planned by whoever planned it first."""
    host, bot = scene()
    writer = host.exec("sh", ("-c", "write"), parent=bot)
    host.write("/srv/a.sh", 30, writer)
    web = host.service("web")
    runs = host.exec("sh", "/srv/a.sh", parent=web)
    host.again(runs, "cp", "a b")
    assert runs.planner is writer
    assert host.events[-1].replguard is not None
    assert host.events[-1].replguard.actor.agent
