"""Well-known places where other programs keep models: the Hugging Face hub's blobs and Ollama's."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from replguard.weights.walk import Found, files

MOST_HOMES = 200
_PEOPLE = 1000
_MOST_MANIFEST = 2**20
_OLLAMA = ("/usr/share/ollama/.ollama/models", "/var/lib/ollama/models", "/var/lib/ollama/.ollama/models")


def homes() -> list[str]:
    """Return the home folders of root, of people (uid ≥ 1000) and of ourselves, at most 200."""
    try:
        found = [user.pw_dir for user in pwd.getpwall() if user.pw_uid == 0 or user.pw_uid >= _PEOPLE]
    except OSError:
        found = []
    mine = os.environ.get("HOME")
    return list(dict.fromkeys([*([mine] if mine else []), *found]))[:MOST_HOMES]


def hubs(among: list[str]) -> list[str]:
    """Return the Hugging Face hub folders of these homes, and the one that our own environment names."""
    named = [os.environ.get("HF_HUB_CACHE"), os.environ.get("HF_HOME") and os.environ["HF_HOME"] + "/hub"]
    return [path for path in (*named, *(f"{home}/.cache/huggingface/hub" for home in among)) if path]


def ollamas(among: list[str]) -> list[str]:
    """Return Ollama's model folders: its service's, those of these homes, and the one our environment names."""
    named = os.environ.get("OLLAMA_MODELS")
    return [path for path in (named, *_OLLAMA, *(f"{home}/.ollama/models" for home in among)) if path]


def blobs(min_size: int, among: list[str] | None = None) -> Iterator[tuple[Found, str | None]]:
    """Return every large cached blob with its model's name where the cache tells it; sizes in bytes.

    Links are not followed: these folders belong to users, who must not choose what else we read.
    """
    among = homes() if among is None else among
    for hub in hubs(among):
        for repository in _models(hub):
            for found in files(f"{repository}/blobs", follow=False):
                if found.stat.st_size >= min_size:
                    yield found, None
    for root in ollamas(among):
        names = _ollama_names(root)
        for found in files(f"{root}/blobs", follow=False):
            if found.stat.st_size >= min_size:
                yield found, names.get(Path(found.path).name)


def _models(hub: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(hub) if entry.name.startswith("models--") and entry.is_dir()]
    except OSError:
        return []


def _ollama_names(root: str) -> dict[str, str]:
    """Return blob file name → model name from Ollama's manifests (…/library/NAME/TAG, JSON that names its layers)."""
    names = {}
    for found in files(f"{root}/manifests", follow=False):
        if found.stat.st_size > _MOST_MANIFEST:
            continue
        path = Path(found.path)
        try:
            manifest: Any = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            layers = [layer["digest"] for layer in manifest["layers"]]
        except (OSError, msgspec.MsgspecError, LookupError, TypeError, RecursionError, UnicodeDecodeError):
            continue
        for digest in layers:
            names[str(digest).replace(":", "-")] = f"{path.parent.name}:{path.name}"
    return names
