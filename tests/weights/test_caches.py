"""Models that other programs' caches hold."""

import json
import os
from pathlib import Path

import pytest
from support import modelfiles

from replguard.weights import caches


@pytest.fixture(autouse=True)
def no_cache_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(caches, "_OLLAMA", ())


def test_large_blobs_are_found(tmp_path: Path) -> None:
    """Small ones are configurations and tokenizers; links lead to blobs that are found anyway."""
    hub = tmp_path / ".cache/huggingface/hub/models--org--name"
    modelfiles.write(hub / "blobs" / "aa", bytes(5000))
    modelfiles.write(hub / "blobs" / "bb", bytes(10))
    (hub / "blobs" / "cc").symlink_to(modelfiles.write(tmp_path / "elsewhere", bytes(9000)))
    modelfiles.write(tmp_path / ".cache/huggingface/hub/datasets--x" / "blobs" / "dd", bytes(5000))
    found = [(Path(one.path).name, model) for one, model in caches.blobs(1000, [str(tmp_path)])]
    assert found == [("aa", None)]


def test_ollama_blobs_get_the_names_of_their_manifests(tmp_path: Path) -> None:
    """A manifest that is broken only costs the name."""
    root = tmp_path / ".ollama/models"
    modelfiles.write(root / "blobs" / "sha256-ab", bytes(5000))
    modelfiles.write(root / "blobs" / "sha256-cd", bytes(5000))
    manifest = {"layers": [{"digest": "sha256:ab"}, {"digest": "sha256:zz"}]}
    folder = root / "manifests/registry.ollama.ai/library"
    modelfiles.write(folder / "phi" / "latest", json.dumps(manifest).encode())
    for number, broken in enumerate((b"{", b"[]", b'{"layers": 3}', b'{"layers": [3]}', b"\xff", b"[" * 100_000)):
        modelfiles.write(folder / "broken" / str(number), broken)
    found = {Path(one.path).name: model for one, model in caches.blobs(1000, [str(tmp_path)])}
    assert found == {"sha256-ab": "phi:latest", "sha256-cd": None}


def test_the_environment_names_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the programs themselves take it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    modelfiles.write(tmp_path / "hf/hub/models--a--b/blobs/aa", bytes(5000))
    modelfiles.write(tmp_path / "ollama/blobs/sha256-bb", bytes(5000))
    assert [Path(one.path).name for one, _ in caches.blobs(1000, [])] == ["aa", "sha256-bb"]


def test_homes_are_known_and_few() -> None:
    """At least our own."""
    assert 0 < len(caches.homes()) <= caches.MOST_HOMES


def test_a_cache_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """Its owner must not choose what root walks and reads: a folder that is a link is left out."""
    blobs = modelfiles.write(tmp_path / "private/blobs/aa", bytes(5000)).parent
    hub = tmp_path / ".cache/huggingface/hub"
    (hub / "models--a--b").mkdir(parents=True)
    (hub / "models--a--b" / "blobs").symlink_to(blobs)
    (hub / "models--c--d").symlink_to(tmp_path / "private")
    (tmp_path / ".ollama/models").mkdir(parents=True)
    (tmp_path / ".ollama/models/blobs").symlink_to(blobs)
    assert list(caches.blobs(1000, [str(tmp_path)])) == []


def test_a_cache_is_looked_at_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills his cache with files keeps nobody busy."""
    monkeypatch.setattr(caches, "MOST_FILES", 3)
    for number in range(3):
        for name in "ab":
            modelfiles.write(tmp_path / f".cache/huggingface/hub/models--m--{number}/blobs/{name}", bytes(10))
            modelfiles.write(tmp_path / f".ollama/models/blobs/{number}{name}", bytes(10))
    assert len(list(caches.blobs(1, [str(tmp_path)]))) == 6


def test_a_home_that_is_hidden_from_us_is_passed_over(tmp_path, monkeypatch):
    """An ordinary user may not even ask what lies in another's home."""
    if os.geteuid() == 0:
        pytest.skip("root can read everything")
    hidden = tmp_path / "home"
    hidden.mkdir()
    hidden.chmod(0)
    try:
        assert list(caches.blobs(1, [str(hidden)])) == []
    finally:
        hidden.chmod(0o700)
