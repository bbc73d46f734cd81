"""What the kernel tier keeps of each process that runs, as little as the next event of it needs."""

from replguard.events.process import Parent, Process, User


class Known:
    """What is known of a process: what it is now, and the parent that forked it.

    ``ticks`` is its start as in ``/proc/PID/stat``, ``group`` the kernel's id of its control group (None for one that
    was found at the start).
    """

    __slots__ = ("above", "entity", "group", "parent", "process", "ticks", "user")

    def __init__(
        self,
        ticks: int,
        entity: str,
        process: Process,
        user: User | None,
        group: int | None,
        parent: Parent | None,
    ) -> None:
        self.ticks = ticks
        self.entity = entity
        self.process = process
        self.user = user
        self.group = group
        self.parent = parent
        self.above: Parent | None = None

    def as_parent(self) -> Parent:
        """Return it as the parent of another, made once."""
        if self.above is None:
            p = self.process
            self.above = Parent(
                pid=p.pid, entity_id=self.entity, executable=p.executable, command_line=p.command_line, name=p.name
            )
        return self.above
