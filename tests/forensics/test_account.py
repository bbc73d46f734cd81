"""What an incident comes to."""

from support import cases

from replguard.forensics import incident
from replguard.forensics.account import account


def of(tmp_path, told=None):
    return account(incident.gather(cases.made(tmp_path / "log", tmp_path / "state", told), cases.INCIDENT))


def test_what_was_made_and_where_it_came_from(tmp_path):
    """The copy, its origin, how, how much, and by whom."""
    (made,) = of(tmp_path).artefacts
    assert (made.path, made.origin, made.technique, made.share, made.size) == (
        "/tmp/b",
        "/models/a",
        "copy",
        1.0,
        2**30,
    )
    assert (made.process.pid, made.model, made.inode) == (30, "llama", 7)


def test_where_it_went_and_how_much(tmp_path):
    """The most that was told: it is a sum, told again as it doubles."""
    (sent,) = of(tmp_path).destinations
    assert (sent.end.ip, sent.bytes, sent.protocols) == ("203.0.113.9", 6 * 2**30, ("tcp",))
    assert (sent.first, sent.last) == (cases.at(10), cases.at(12))


def test_many_hosts_are_one_line(tmp_path):
    """Where a fact names none."""
    (sent, _) = of(
        tmp_path, [cases.fact("weights_egress", 4, "cp", 4, bytes=5, destinations=12), *cases.records()]
    ).destinations
    assert (sent.end, sent.hosts, sent.bytes) == (None, 12, 5)


def test_servers_and_devices(tmp_path):
    """As they were told last."""
    found = of(tmp_path)
    (server,), (device,) = found.servers, found.devices
    assert server.event.replguard.instance.listen == ("0.0.0.0:8000",)
    assert (device.name, device.bytes, device.process.pid) == ("H100", 5 * 2**30, 40)


def test_stages_stand_in_the_order_of_a_replication(tmp_path):
    """With what happened in each; what was lost is one of them."""
    stages = of(tmp_path).stages
    assert list(stages) == [
        "reads weights",
        "copies weights",
        "takes GPU memory",
        "serves the model",
        "bytes leave",
        "other acts",
        "sensors lost events",
    ]
    assert [len(events) for events in stages.values()] == [1, 1, 1, 1, 2, 1, 1]
