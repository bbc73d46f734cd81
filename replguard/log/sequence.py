"""Numbers and ids of events that never come twice on a host, without a file that could be lost."""

from msgspec.structs import replace

from replguard.events import clock
from replguard.events.event import Event


class Sequencer:
    """Gives each event its place in the order of feeding, and an id made of the boot and that place.

    The count begins at the microseconds that the monotonic clock shows when the daemon starts. It stays ahead of every
    number of an earlier run of this boot as long as that run fed less than a million events a second.
    """

    def __init__(self, boot_id: str, start: int | None = None) -> None:
        self._boot = boot_id.replace("-", "")[:8] or "00000000"
        self._next = int(clock.monotonic() * 1_000_000) if start is None else start

    def stamp(self, event: Event) -> Event:
        """Return the event with its id and sequence number."""
        sequence = self._next
        self._next += 1
        return replace(event, event=replace(event.event, id=f"{self._boot}-{sequence}", sequence=sequence))
