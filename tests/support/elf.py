"""The eBPF objects: their sections, as far as tests compare them, and what their sources give."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def rebuilt(name: str, folder: Path) -> bytes:
    """Build the objects anew below a folder and return one of them; skip without the very tools that they came from."""
    header = Path("/usr/include/bpf/libbpf_version.h")
    if not all(map(shutil.which, ("make", "clang-14", "llvm-strip-14"))):
        pytest.skip("clang-14, llvm-14 and make are needed to build the eBPF object")
    if not header.exists() or "MINOR_VERSION 1\n" not in header.read_text():
        pytest.skip("the headers of libbpf 1.1 (libbpf-dev of Debian 12) are needed to build the eBPF object")
    done = subprocess.run(["make", "-s", "-C", ROOT, "bpf", f"BPF_OUT={folder}"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / name).read_bytes()
