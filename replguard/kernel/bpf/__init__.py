"""The kernel side: each probe in C, its object, and beside it the decoder of its records under the same name."""

from pathlib import Path

from replguard.errors import Unavailable


def image(name: str) -> bytes:
    """Return the bytes of an object of the package; raises Unavailable if it was not shipped."""
    path = Path(__file__).parent / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"the package lacks its eBPF object {name} ({error.strerror}): install it again.") from error
