"""Descriptors that outlive the daemon: its service manager keeps them, and hands them to the next start.

The protocol is that of systemd, which any supervisor may speak: sd_notify's FDSTORE, FDSTOREREMOVE, FDNAME and FDPOLL,
sd_listen_fds' LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. The manager says nothing to what it is given: whether it kept
it is known at the next start. So a set is named OWNER.BUILD.PART, where BUILD stands for all that the set was made of,
its parts as well: one that lacks a part, or that another version of ours made otherwise, is told from one that fits.
"""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Collection, Mapping, MutableMapping

from replguard.kernel.notify import notify

FIRST = 3
"""The first descriptor that is handed in (SD_LISTEN_FDS_START)."""
MOST = 1024
"""Descriptors that are looked at: many times those that we ever have kept."""
PATIENCE = 0.1
"""Seconds that a manager which does not read is waited for."""
KINDS = {
    "anon_inode:bpf_link": "link",
    "anon_inode:bpf-map": "map",
    "anon_inode:[fanotify]": "fanotify",
    "anon_inode:[eventfd]": "counter",
}
"""What may be handed in, by what the kernel calls it. None of these can be made to look like another."""
_NAME = re.compile(r"([a-z]{1,32})\.([0-9a-f]{16})\.([a-z0-9_]{1,64})")
UNFIT = "what was kept is not whole, or another version or configuration made it"


class Kept:
    """What was handed in at the start of this process, and what its manager has of ours.

    ``adopted`` names the owners that went on with theirs, ``unfit`` says of others why they could not.
    """

    def __init__(self) -> None:
        self.adopted: set[str] = set()
        self.unfit: dict[str, str] = {}
        self._held: dict[str, int] = {}
        self._stored: set[str] = set()
        self._lock = threading.RLock()

    def receive(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Take what was handed in. Before anything is opened or started: the numbers are fixed, and not for children.

        What is not ours by its name and its kind is closed.
        """
        given = {key: environment.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
        if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"].isdecimal():
            return
        names = given["LISTEN_FDNAMES"].split(":")
        for place in range(min(int(given["LISTEN_FDS"][:6]), MOST)):
            name = names[place] if place < len(names) else ""
            descriptor = FIRST + place
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue
            if _NAME.fullmatch(name) and name not in self._held and kind(descriptor) is not None:
                self._held[name] = descriptor
            else:
                os.close(descriptor)
        self._stored |= self._held.keys()

    @property
    def owners(self) -> set[str]:
        """Those for whom something was handed in."""
        return self.adopted | self.unfit.keys() | {name.partition(".")[0] for name in self._held}

    def adopt(self, owner: str, form: str) -> dict[str, int]:
        """Return descriptors of the caller's own of each part of what was kept for it; none where that does not fit.

        ``form`` says what the parts are made of: those of another form are given up.
        """
        with self._lock:
            held = {name: descriptor for name, descriptor in self._held.items() if name.startswith(f"{owner}.")}
            parts = {name.rpartition(".")[2]: descriptor for name, descriptor in held.items()}
            if not held:
                return {}
            if {name.split(".")[1] for name in held} != {build(form, parts)}:
                self.refuse(owner, UNFIT)
                return {}
            return {part: os.dup(descriptor) for part, descriptor in parts.items()}

    def keep(self, owner: str, form: str, parts: Mapping[str, int]) -> None:
        """Have the manager keep these in place of what it has of an owner. Without one nothing happens."""
        with self._lock:
            self.drop(owner)
            for part, descriptor in parts.items():
                name = f"{owner}.{build(form, parts)}.{part}"
                # Unless told otherwise systemd watches what it keeps: it would be woken by every event.
                words = ("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0")
                if not notify(*words, descriptors=[descriptor], patience=PATIENCE):
                    return  # a set that is not whole is of no use, and whoever does not read must not hold us up
                self._stored.add(name)

    def refuse(self, owner: str, reason: str) -> None:
        """Give up what was kept for an owner, for a reason that is told."""
        with self._lock:
            self.unfit[owner] = reason
            self.drop(owner)

    def drop(self, owner: str) -> None:
        """Have the manager keep no more of an owner's, and close what was handed in."""
        with self._lock:
            self.adopted.discard(owner)
            reads = True
            for name in [name for name in self._stored if name.startswith(f"{owner}.")]:
                self._stored.discard(name)
                reads = reads and notify("FDSTOREREMOVE=1", f"FDNAME={name}", patience=PATIENCE)
                with contextlib.suppress(KeyError):
                    os.close(self._held.pop(name))

    def release(self, but: Collection[str] = ()) -> None:
        """Close what was handed in, once all have begun but these; what nobody went on with is kept no more."""
        with self._lock:
            for owner in self.owners - self.adopted - self.unfit.keys() - set(but):
                self.refuse(owner, "nobody here goes on with what was kept")
            for name in [name for name in self._held if name.partition(".")[0] not in but]:
                os.close(self._held.pop(name))


def kind(descriptor: int) -> str | None:
    """Return which of the kinds that are kept a descriptor is, None for any other."""
    try:
        return KINDS.get(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - a link that leads nowhere
    except OSError:
        return None


def build(form: str, parts: Mapping[str, object]) -> str:
    """Return what stands in the names of a set: a hash of its form and of which parts it has."""
    return hashlib.blake2b("\0".join([form, *sorted(parts)]).encode(), digest_size=8).hexdigest()


KEPT = Kept()
"""That of this process: a descriptor is handed in once."""
