"""What leads to the root of the host where ours is a container's: nothing on the host itself.

What the kernel tells is the host's anyway, and files of other mount namespaces are reached through their processes.
This is for the few files of the host that are read by name: users, machine id, crontabs, what engines keep.
"""

import re

_PROCESS = re.compile(r"/proc/(\d+)/root")


class Host:
    """``root`` is set once, when the configuration is read."""

    root = ""


def use(root: str) -> None:
    """Take a way to the host's root; '' for our own."""
    Host.root = root.rstrip("/")


def path(name: str) -> str:
    """Return our way to a file of the host, by its whole path there."""
    return Host.root + name


def pid() -> str:
    """Return the process whose mount namespace is the host's: 'self' on the host."""
    found = _PROCESS.fullmatch(Host.root)
    return found[1] if found is not None else "self"
