"""An answer ends well, or with the kernel's error."""

import errno
import struct

import pytest

from replguard.kernel import netlink


@pytest.mark.parametrize("body", [b"", b"\0\0", bytes(4), struct.pack("=i", 1), struct.pack("=i", -(2**31))])
def test_what_is_no_error_ends_it(body: bytes) -> None:
    """Also a number that no error has."""
    assert netlink.end(body) is None


def test_an_error_is_raised() -> None:
    """With its name."""
    with pytest.raises(PermissionError) as caught:
        netlink.end(struct.pack("=i", -errno.EPERM) + b"more")
    assert caught.value.errno == errno.EPERM
