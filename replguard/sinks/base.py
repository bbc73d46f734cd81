"""What every way out has in common: one alert at a time, and the two ways in which sending can fail."""

from abc import ABC, abstractmethod

import msgspec

from replguard.errors import ReplguardError
from replguard.events.alert import Alert, Level
from replguard.events.evidence import Kept


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What every sink can be told: ``min_level`` is the lowest level of an alert that goes there.

    It counts after `alerts.min_level`, and by the level that is shown: in `mode: observe` no alert is above low.
    """

    min_level: Level = "informational"


class Rejected(ReplguardError):  # noqa: N818 - the far end's verdict, not a fault of ours
    """The far end will never take this alert: sending it again is of no use."""


class Sink(ABC):
    """One way out. Called from one thread of its own; may block, up to its own timeout.

    ``longest`` is the longest pause in seconds between two attempts after failures. ``checkpoints``: it takes
    checkpoints of the log besides alerts; kept on another machine they are what root cannot write anew. ``reminds``: it
    tells again and again what is firing, and so has to know after a start what was before it.
    """

    longest = 60.0
    checkpoints = False
    reminds = False

    @abstractmethod
    def send(self, alert: Alert) -> None:
        """Send one alert. Raises OSError to be called again with it, Rejected to have it dropped."""

    def keep(self, checkpoint: Kept) -> None:  # noqa: B027 - called where ``checkpoints`` is true
        """Send a checkpoint. Raises as ``send`` does."""

    def check(self) -> None:  # noqa: B027 - most sinks need nothing else
        """Raise ValueError where a file that it needs besides cannot be used now; it is tried again at each send."""

    def pause(self) -> float | None:
        """Return the seconds after which ``idle`` wants to be called; None for never."""
        return None

    def idle(self) -> None:  # noqa: B027 - most sinks have nothing to do
        """Do what is due without a new alert. Raises OSError when it failed; it is called again."""

    def close(self) -> None:  # noqa: B027 - most sinks hold nothing
        """Give back what is held."""
