"""Device memory that the driver does not tell is unknown, not none."""

import msgspec

from replguard.events.gpu import Gpu


def test_unknown_memory_is_not_zero_memory():
    """A process in another container shows no figure; one that freed its memory shows 0."""
    assert msgspec.to_builtins(Gpu(id="0")) == {"id": "0"}
    assert msgspec.to_builtins(Gpu(id="0", memory_bytes=0)) == {"id": "0", "memory_bytes": 0}
