"""Well-known places where other programs keep models: the Hugging Face hub's blobs and Ollama's."""

import os
import pwd
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from replguard.weights.reading import Unreadable, open_regular
from replguard.weights.walk import Found, files

MOST_HOMES = 200
_PEOPLE = 1000
MOST_FILES = 2000
"""Files, and folders of models, that are looked at in one cache: whose it is could fill it to keep us busy."""
_MOST_MANIFEST = 2**16
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
        every = (found for repository in _models(hub) for found in _own(f"{repository}/blobs"))
        for found in islice(every, MOST_FILES):
            if found.stat.st_size >= min_size:
                yield found, None
    for root in ollamas(among):
        large = [found for found in _own(f"{root}/blobs") if found.stat.st_size >= min_size]
        names = _ollama_names(root) if large else {}
        for found in large:
            yield found, names.get(Path(found.path).name)


def _own(folder: str) -> Iterator[Found]:
    """Return the first files of a folder that is no link to somewhere else."""
    is_link = os.path.islink(folder)  # noqa: PTH114 - of a folder that is hidden from us pathlib raises
    return islice(files(folder, follow=False), 0 if is_link else MOST_FILES)


def _models(hub: str) -> list[str]:
    try:
        with os.scandir(hub) as entries:
            found = (entry for entry in entries if entry.name.startswith("models--"))
            return [entry.path for entry in islice(found, MOST_FILES) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _ollama_names(root: str) -> dict[str, str]:
    """Return blob file name → model name from Ollama's manifests (…/library/NAME/TAG, JSON that names its layers)."""
    names = {}
    for found in _own(f"{root}/manifests"):
        if found.stat.st_size > _MOST_MANIFEST:
            continue
        path = Path(found.path)
        try:
            with open_regular(found.path) as reader:
                manifest: Any = msgspec.json.decode(reader.read(0, _MOST_MANIFEST), type=dict[str, Any])
            layers = [layer["digest"] for layer in manifest["layers"]]
        except (OSError, Unreadable, msgspec.MsgspecError, LookupError, TypeError, RecursionError, UnicodeDecodeError):
            continue
        for digest in layers:
            names[str(digest).replace(":", "-")] = f"{path.parent.name}:{path.name}"
    return names
