"""Every kind of event that can pass through the daemon, and which parts it carries.

Emitters, rules and docs are held against this table by a test.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event. ``category`` is the Sigma logsource category that rules ask for, ``area`` its sensor.

    ``portable`` is false where the portable tier makes none, or only the few that provenance needs itself.
    """

    action: str
    area: str
    sections: tuple[str, ...]
    doc: str
    category: str | None = None
    fact: bool = False
    portable: bool = True


_ALL = (
    Kind("process_exec", "process", ("process", "user"), "A process began to run an image.", "process_creation"),
    Kind("process_fork", "process", ("process",), "A process was forked."),
    Kind("process_children", "process", ("process",), "A watched process reaped children that were not seen."),
    Kind("process_exit", "process", ("process",), "A process ended."),
    Kind(
        "process_signal",
        "process",
        ("process", "target"),
        "A signal was sent to a watched process.",
        "process_signal",
        portable=False,
    ),
    Kind(
        "process_access",
        "process",
        ("process", "target"),
        "A process read the memory of a watched one, or began to trace it.",
        "process_access",
        portable=False,
    ),
    Kind("file_create", "file", ("file",), "A name appeared.", "file_event"),
    Kind("file_close_write", "file", ("file",), "A file that was open for writing was closed.", "file_event"),
    Kind("file_grow", "file", ("file",), "A new file passed a size while still being written."),
    Kind("file_link", "file", ("file",), "A second name for an inode, or a symlink, appeared.", "file_event"),
    Kind("file_rename", "file", ("file",), "A name was changed.", "file_rename"),
    Kind("file_delete", "file", ("file",), "A name was removed.", "file_delete"),
    Kind("file_open", "file", ("file", "process"), "A watched file was opened.", "file_access", portable=False),
    Kind(
        "file_read",
        "file",
        ("file", "process"),
        "So much of a watched file was read or mapped by a process.",
        "file_access",
        portable=False,
    ),
    Kind("file_map", "file", ("file", "process"), "A watched file is mapped by a process."),
    Kind(
        "network_connection",
        "network",
        ("process", "source", "destination"),
        "A connection.",
        "network_connection",
    ),
    Kind("socket_listen", "network", ("process", "server"), "A socket listens."),
    Kind("socket_close", "network", ("server",), "A listening socket is gone."),
    Kind("socket_used", "network", ("target", "server"), "A Unix socket of a holder of weights is used, or idle."),
    Kind(
        "process_joined",
        "network",
        ("process", "target"),
        "One who listens shares a pipe, socket pair or memory with one who holds weights.",
    ),
    Kind(
        "network_volume",
        "network",
        ("process", "destination"),
        "Bytes sent to a destination.",
        "network_volume",
    ),
    Kind("gpu_usage", "gpu", ("process", "gpu"), "Device memory of a process changed."),
    Kind("host_shutdown", "host", (), "A shutdown was scheduled or has begun.", "host_shutdown"),
    Kind("host_mount", "host", ("file",), "A filesystem was mounted."),
    Kind("control_request", "host", ("process",), "A process asked the daemon for less protection, or for a drill."),
    Kind("sensor_health", "host", ("health",), "Our own state changed.", "sensor_health"),
    Kind("agent_seen", "fact", ("process",), "A lineage drives a language model.", "agent_seen", fact=True),
    Kind(
        "weights_access",
        "fact",
        ("process", "file"),
        "Protected weights were used.",
        "weights_access",
        fact=True,
    ),
    Kind("weights_copy", "fact", ("file",), "Protected weights exist a second time.", "weights_copy", fact=True),
    Kind(
        "weights_arrival",
        "fact",
        ("file",),
        "Protected content came from elsewhere.",
        "weights_arrival",
        fact=True,
    ),
    Kind(
        "weights_egress",
        "fact",
        ("process", "destination"),
        "Bytes left after touching.",
        "weights_egress",
        fact=True,
    ),
    Kind(
        "server_live",
        "fact",
        ("process",),
        "A serving instance began, changed, ended.",
        "server_live",
        fact=True,
    ),
    Kind("gpu_memory", "fact", ("process", "gpu"), "Notable device memory.", "gpu_memory", fact=True),
    Kind("network_listen", "fact", ("process", "server"), "A new listener.", "network_listen", fact=True),
    Kind(
        "serving_signal",
        "fact",
        ("process", "target"),
        "A serving instance is told to end.",
        "serving_signal",
        fact=True,
    ),
    Kind(
        "watcher_tampering",
        "fact",
        ("process",),
        "Somebody signals, reads or changes replguard itself.",
        "watcher_tampering",
        fact=True,
    ),
    Kind("authority_change", "fact", (), "What is allowed has changed.", "authority_change", fact=True),
)

KINDS: dict[str, Kind] = {kind.action: kind for kind in _ALL}


def by_category(category: str) -> frozenset[str]:
    """Return the actions that a Sigma logsource category stands for; empty when nothing makes it."""
    return frozenset(kind.action for kind in _ALL if kind.category == category)


PORTABLE = frozenset(kind.action for kind in _ALL if kind.portable)
"""What the portable tier makes: rules that need anything else are not evaluable there."""
