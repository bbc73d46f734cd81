"""Sections of ELF objects, as far as tests compare what a compiler wrote into them."""

import struct

import pytest


def section(image: bytes, wanted: str) -> bytes:
    """Return the bytes of a section of a 64-bit ELF file."""
    table, size, count, names = struct.unpack_from("<Q10xHHH", image, 40)
    headers = [struct.unpack_from("<II4QIIQQ", image, table + size * index) for index in range(count)]
    strings = headers[names][4]
    for header in headers:
        at = strings + header[0]
        if image[at : image.index(b"\0", at)].decode() == wanted:
            return image[header[4] : header[4] + header[5]]
    pytest.fail(f"the object has no section {wanted}")
