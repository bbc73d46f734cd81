"""An authority of a test's own, and certificates that it signed, by openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needed = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
"""Marks a test that makes certificates."""


def _run(*words: object) -> None:
    subprocess.run([str(OPENSSL), *map(str, words)], check=True, capture_output=True, timeout=60)


def certificate(folder: Path, name: str, *, by: str | None = None, alternative: str = "IP:127.0.0.1") -> Path:
    """Make ``name.crt`` and ``name.key``, signed by another one of the folder or by itself; return the certificate."""
    made, key = folder / f"{name}.crt", folder / f"{name}.key"
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    signing = ["-CA", folder / f"{by}.crt", "-CAkey", folder / f"{by}.key"] if by is not None else []
    extra = ["-addext", f"subjectAltName={alternative}"]
    if by is None:
        _run("req", "-x509", *words, "-subj", f"/CN={name}", "-keyout", key, "-out", made)
    else:
        request, extension = folder / f"{name}.csr", folder / f"{name}.ext"
        _run("req", *words, "-subj", f"/CN={name}", "-keyout", key, "-out", request, *extra)
        extension.write_text(f"subjectAltName={alternative}\n")
        _run("x509", "-req", "-in", request, *signing, "-days", "2", "-extfile", extension, "-out", made)
    key.chmod(0o600)
    return made
