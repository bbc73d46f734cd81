import array
import os
import socket
import struct

import pytest
from support.making import alert, kept

from replguard.events import wire
from replguard.sinks.journald import Settings, record
from replguard.sinks.journald import open as open_sink


@pytest.fixture
def journal(tmp_path):
    """Return a socket that stands for the journal's, and its path."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.settimeout(5)
        yield made, path


def fields(data):
    """Decode the journal's native form."""
    found = {}
    while data:
        head, _, rest = data.partition(b"\n")
        if b"=" in head:
            name, _, value = head.partition(b"=")
            data = rest
        else:
            name = head
            (length,) = struct.unpack("<Q", rest[:8])
            value, data = rest[8 : 8 + length], rest[9 + length :]
        found[name.decode()] = value.decode()
    return found


def test_fields(journal):
    """The journal gets sentence, priority, ids and the whole alert."""
    made, path = journal
    (sink,) = open_sink(Settings(socket=str(path)))
    sink.send(alert(1, "critical"))
    sink.close()
    found = fields(made.recv(65536))
    assert found["MESSAGE"] == alert(1).message
    assert (found["PRIORITY"], found["SYSLOG_IDENTIFIER"], found["REPLGUARD_LEVEL"]) == ("2", "replguard", "critical")
    assert wire.alert(found["REPLGUARD_ALERT"]) == alert(1, "critical")


def test_checkpoints_go_there_too(journal):
    """A journal is often sent to another machine; the note keeps its lines."""
    made, path = journal
    (sink,) = open_sink(Settings(socket=str(path)))
    assert sink.checkpoints
    sink.keep(kept(4))
    sink.close()
    found = fields(made.recv(65536))
    assert found["REPLGUARD_CHECKPOINT"] == kept(4).checkpoint.note
    assert (found["PRIORITY"], found["REPLGUARD_STREAM"], found["MESSAGE"]) == ("6", "raw", "kept")
    assert not open_sink(Settings(checkpoints=False))[0].checkpoints


def test_no_field_can_be_forged():
    """A rule's name with a newline is one value."""
    found = fields(record(alert(1, rule="r\nPRIORITY=0")))
    assert found["REPLGUARD_RULE"] == "r\nPRIORITY=0"
    assert found["PRIORITY"] == "3"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this kernel has no memory files")
def test_large_alerts_go_through_a_memory_file(journal):
    """What no datagram holds is handed over as a sealed file."""
    made, path = journal
    (sink,) = open_sink(Settings(socket=str(path)))
    sink.send(alert(1, target="/" + "x" * 600_000))
    sink.close()
    data, rights, _, _ = made.recvmsg(65536, socket.CMSG_SPACE(4))
    assert data == b""
    (fd,) = array.array("i", rights[0][2])
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        assert "x" * 600_000 in fields(file.read())["REPLGUARD_ALERT"]


def test_no_journal_is_an_oserror(tmp_path):
    """A host without the journal is trouble that is retried."""
    (sink,) = open_sink(Settings(socket=str(tmp_path / "none")))
    with pytest.raises(FileNotFoundError):
        sink.send(alert(1))
    sink.close()
