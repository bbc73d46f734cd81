"""The event: one ECS document, typed. Sensors make it, provenance enriches it, rules read it, the log keeps it."""

import msgspec

from replguard.events.clock import Time
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.gpu import Gpu
from replguard.events.health import Health
from replguard.events.host import Container, Host, Orchestrator
from replguard.events.network import Endpoint, Network
from replguard.events.process import Process, User


class Meta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """ECS ``event.*``. ``action`` is the kind (see the catalogue); the pipeline gives ``id`` and ``sequence``."""

    action: str
    kind: str = msgspec.field(default="event")
    provider: str | None = None
    id: str = ""
    sequence: int | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that happened on the host, or a fact about it. Immutable: enrichment makes a new one.

    ``timestamp`` is the time of the act in UTC. Sections that do not apply are None. For a connection ``source`` is
    the local and ``destination`` the remote end; a listener is a ``server``. ``target`` is the process acted upon.
    """

    timestamp: Time = msgspec.field(name="@timestamp")
    event: Meta
    message: str | None = None
    process: Process | None = None
    target: Process | None = None
    file: File | None = None
    source: Endpoint | None = None
    destination: Endpoint | None = None
    server: Endpoint | None = None
    network: Network | None = None
    gpu: Gpu | None = None
    user: User | None = None
    container: Container | None = None
    orchestrator: Orchestrator | None = None
    host: Host | None = None
    health: Health | None = None
    replguard: Context | None = None

    @property
    def action(self) -> str:
        """The kind of event, as the catalogue lists it."""
        return self.event.action
