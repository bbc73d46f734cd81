"""What netlink's answers have in common, whatever was asked (netlink(7))."""

import os
import struct

LARGEST = 4095
"""MAX_ERRNO (linux/err.h): what is beyond is no error of the kernel's."""


def end(body: bytes) -> None:
    """Take the message that ends an answer. Raises OSError where it says an error."""
    code = -int(struct.unpack_from("=i", body)[0]) if len(body) > 3 else 0
    if 0 < code <= LARGEST:
        raise OSError(code, os.strerror(code))
