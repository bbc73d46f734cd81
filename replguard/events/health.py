"""Our own trouble, as events: what started, degraded, lost events, recovered or stopped."""

from typing import Literal

import msgspec

State = Literal["started", "ready", "degraded", "loss", "recovered", "stopped", "reloaded", "failed", "canary", "tick"]


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``component`` is a sensor, sink or stage; ``lost`` counts events; ``stage`` is where they were lost."""

    component: str
    state: State
    mode: str | None = None
    reason: str | None = None
    stage: str | None = None
    lost: int | None = None
