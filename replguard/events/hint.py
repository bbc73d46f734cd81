"""What provenance asks the sensors to watch from now on: the arrow back."""

from typing import Literal

import msgspec


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Watch (or, with ``drop``, stop watching) one thing.

    ``inode``: a protected file or a copy of one, by ``device`` and ``inode``, last seen at ``path``,
    which is that of whoever acted; ``host_path`` leads there from our namespace, where that differs.
    ``endpoint``: an inference endpoint, by ``ip`` (None: any local address) and ``port``.
    ``opener``: a process that opened a watched file and may map it any moment, by ``pid``.
    ``reader``: a process that opened a watched file and may have read it into its memory; both are named.
    ``holder``, ``listener``: a process that holds protected content, or that accepts connections: what joins them?
    ``gpu``: a process that opened the device node of a GPU.
    ``process``: a member of a serving instance or an agent, by ``pid`` and ``entity_id``.
    """

    kind: Literal["inode", "endpoint", "process", "opener", "reader", "holder", "listener", "gpu"]
    drop: bool = False
    path: str | None = None
    host_path: str | None = None
    device: int | None = None
    inode: int | None = None
    size: int | None = None
    ip: str | None = None
    port: int | None = None
    pid: int | None = None
    entity_id: str | None = None
