"""What is kept of a process names it as the parent of its children."""

from replguard.events.process import Process
from replguard.sensors.processes.known import Known


def test_a_process_is_the_parent_of_its_children() -> None:
    """By its own id, with what it runs; all of them share one section."""
    process = Process(pid=5, entity_id="of another", executable="/bin/sh", command_line="sh -c x", name="sh")
    known = Known(100, "its own", process, None, None, None)
    parent = known.as_parent()
    assert (parent.pid, parent.entity_id, parent.executable) == (5, "its own", "/bin/sh")
    assert (parent.command_line, parent.name) == ("sh -c x", "sh")
    assert known.as_parent() is parent
