"""A model and an index that knows it."""

from pathlib import Path

import pytest
from support import fingerprints, modelfiles

from replguard.weights.index import Index


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A model of 3 MiB in its folder."""
    return modelfiles.write(tmp_path / "models" / "llama" / "model.safetensors", fingerprints.model(1))


@pytest.fixture
def index(origin: Path) -> Index:
    """An index that knows the origin."""
    known = Index(fingerprints.KEY)
    known.add(fingerprints.printed(origin, "llama"))
    return known
