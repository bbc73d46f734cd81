"""How the daemon stands, in types: what serves here, and in which mode each sensor works."""

import msgspec

LIMITED = "without root, what other users' processes hold is hidden."
"""Why the portable tier is worse for whoever is not root, in the words of every sensor."""


class Serves(msgspec.Struct, frozen=True, kw_only=True):
    """An instance and who serves it. ``others`` are programs of it besides the one that it hangs on.

    ``agent``: an agent or another instance started it. ``allowed`` names the manifest entry that allows it already.
    """

    model: str
    pid: int
    weights: tuple[str, ...]
    ports: tuple[int, ...]
    agent: bool
    unit: str | None = None
    container: str | None = None
    image: str | None = None
    namespace: str | None = None
    workload: str | None = None
    user: str | int | None = None
    executable: str | None = None
    command: str | None = None
    others: tuple[str, ...] = ()
    allowed: str | None = None


class SensorLine(msgspec.Struct, frozen=True):
    """One line of the table that is shown at start and by `status`."""

    name: str
    area: str
    mode: str
    why: str | None
    blind: str | None
