"""Writes what the archive is made of, as CycloneDX 1.6: each component with version, licence, origin and hash.

The tools for it know a Python environment or a Debian system, and this is a bit of both.
"""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SPACE = uuid.UUID("5c3a4c4e-6c2b-5f0e-9d57-6d0b7a6d2f11")
"""What makes the same content have the same serial number, and no other (RFC 9562, version 5)."""


@dataclass(frozen=True, order=True)
class Component:
    """One thing that is carried. ``sha256`` is of the file as it was fetched; ``changed`` says what we did to it.

    ``spdx``: its licence is an expression of SPDX, and no other words.
    """

    name: str
    version: str
    purl: str
    licence: str
    sha256: str | None = None
    changed: str | None = None
    spdx: bool = False


def document(name: str, version: str, licence: str, components: Iterable[Component], epoch: int) -> str:
    """Return the text of the document; the same for the same content."""
    parts = [_component(each) for each in sorted(components)]
    about = {
        "type": "application",
        "bom-ref": name,
        "name": name,
        "version": version,
        "licenses": _licences(licence, spdx=True),
    }
    content = {
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": about,
        },
        "components": parts,
        "dependencies": [{"ref": name, "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    serial = uuid.uuid5(SPACE, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return json.dumps({**head, **content}, indent=1) + "\n"


def _component(each: Component) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": each.purl,
        "name": each.name,
        "version": each.version,
        "licenses": _licences(each.licence, spdx=each.spdx),
        "purl": each.purl,
    }
    if each.sha256 is not None:
        found["hashes"] = [{"alg": "SHA-256", "content": each.sha256}]
    if each.changed is not None:
        found["pedigree"] = {"notes": each.changed}
    return found


def _licences(text: str, *, spdx: bool) -> list[dict[str, Any]]:
    return [{"expression": text}] if spdx else [{"license": {"name": text}}]
