"""What can go wrong, said so that the reader knows what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault in a file that a person wrote, with its place (1-based; 0 where a line makes no sense)."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """Render as ``path:line: text``, the form that editors jump to."""
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.text}" if place else self.text


class ReplguardError(Exception):
    """Base of every error that replguard raises on purpose."""


class ConfigError(ReplguardError):
    """Configuration, manifest or rules are wrong. Holds every problem found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Unavailable(ReplguardError):  # noqa: N818 - a state of the host, not a fault
    """A sensor, sink or kernel facility cannot work here. The message is the reason, a sentence for `doctor`."""
