"""The kernel side: each probe in C, its object, and beside it the decoder of its records under the same name."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from replguard.errors import Unavailable


def decoders() -> dict[str, Any]:
    """Return the decoder modules by name: each has OBJECT, RING, KINDS and HOOKS."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def image(name: str) -> bytes:
    """Return the bytes of an object of the package; raises Unavailable if it was not shipped."""
    path = Path(__file__).parent / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"the package lacks its eBPF object {name} ({error.strerror}): install it again.") from error
