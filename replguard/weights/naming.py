"""Which model a file belongs to: the shards that one index or one folder names."""

import re
from pathlib import PurePath

_HUB = re.compile(r"^models--(.+)$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_TENSORFLOW = re.compile(r"^(.*)\.(index|data-\d{5}-of-\d{5})$")
INDEXES = (".safetensors.index.json", ".bin.index.json")
"""Endings of the JSON files that name a model's shards."""


def model_of(path: str, form: str | None, *, alone: bool) -> str:
    """Return the model's name.

    ``alone`` means that the configuration names the file itself: its stem. In a folder it is the folder's name, or the
    repository's in a Hugging Face cache; a GGUF file is a model by itself, so there its stem, shard number off.
    """
    place = PurePath(path)
    for part in place.parts:
        if match := _HUB.match(part):
            return match[1].replace("--", "/")
    if alone or form == "gguf":
        return stem(place.name)
    return place.parent.name or stem(place.name)


def stem(name: str) -> str:
    """Return a file name without its ending and shard number."""
    if match := _TENSORFLOW.match(name):
        return match[1] or name
    for ending in INDEXES:
        if name.endswith(ending):
            return name.removesuffix(ending) or name
    return _SHARD.sub("", PurePath(name).stem) or name


def belongs(name: str, recognised: dict[str, str]) -> str | None:
    """Return the format of a file that has no mark of its own but sits beside a recognised one that names it.

    ``recognised`` is file name → format of its folder. TensorFlow's data shards and ONNX's external data are such.
    """
    if (match := _TENSORFLOW.match(name)) and recognised.get(f"{match[1]}.index") == "tensorflow":
        return "tensorflow"
    for other, form in recognised.items():
        if form == "onnx" and name.startswith(other) and name[len(other) :] in {"_data", ".data"}:
            return "onnx"
    return None
