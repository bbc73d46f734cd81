"""Dummy weights: valid safetensors files of random bf16 values, spread as the weights of a real model are."""

import functools
import json
import statistics
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROWS, COLUMNS = 1024, 2048
TENSOR_BYTES = ROWS * COLUMNS * 2
"""Bytes of one tensor of two-byte values: 4 MiB."""
DEFAULT_TENSORS = 18
"""72 MiB in all: above the 64 MiB from which a copy in progress is told."""
_SPREAD = 0.02
"""The standard deviation that the linear layers of common transformers are initialised with."""


@functools.cache
def _levels() -> npt.NDArray[np.uint16]:
    # A value for each of 65,536 equally likely draws: looking up is ten times faster than drawing normal values.
    normal = statistics.NormalDist(0, _SPREAD)
    values = np.array([normal.inv_cdf((i + 0.5) / 65536) for i in range(65536)], dtype=np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def tensor(random: np.random.Generator) -> bytes:
    """Return one tensor's bytes: bf16, little endian, normally distributed."""
    draws = np.frombuffer(random.bytes(TENSOR_BYTES), dtype=np.uint16)
    return _levels().take(draws).tobytes()


def write_file(path: Path, names: list[str], random: np.random.Generator) -> None:
    """Write one safetensors file that holds the named tensors. Raises OSError."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    for i, name in enumerate(names):
        offsets = [i * TENSOR_BYTES, (i + 1) * TENSOR_BYTES]
        header[name] = {"dtype": "BF16", "shape": [ROWS, COLUMNS], "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in names:
            file.write(tensor(random))


def write_model(
    folder: Path, *, tensors: int = DEFAULT_TENSORS, shards: int = 1, seed: int | None = None
) -> list[Path]:
    """Write a model of ``shards`` files as Hugging Face lays it out, and return the weight files.

    Without a seed every call makes a different model, so that no two drills share content. Raises OSError.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(tensors)]
    (folder / "config.json").write_text(json.dumps({"architectures": ["DrillForCausalLM"], "torch_dtype": "bfloat16"}))
    if shards == 1:
        write_file(folder / "model.safetensors", names, random)
        return [folder / "model.safetensors"]
    parts = [names[i::shards] for i in range(shards)]
    files = [folder / f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    for file, part in zip(files, parts, strict=True):
        write_file(file, part, random)
    where = {name: file.name for file, part in zip(files, parts, strict=True) for name in part}
    index = {"metadata": {"total_size": tensors * TENSOR_BYTES}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    return files
