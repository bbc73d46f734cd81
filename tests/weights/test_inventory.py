"""The protected files."""

import os
from pathlib import Path

import pytest
from support import modelfiles
from support.fingerprints import model

from replguard.config import Bytes, Weights
from replguard.weights.inventory import Inventory, Protected
from replguard.weights.messages import Indexed


def inventory(*paths: Path, **keys: object) -> Inventory:
    settings: dict[str, object] = {"paths": tuple(map(str, paths)), "discover": False, **keys}
    return Inventory(Weights(**settings), homes=[])  # type: ignore[arg-type]


def listed(stock: Inventory) -> list[tuple[str, str, str | None]]:
    return sorted((Path(file.path).name, file.model, file.format) for file in stock.files() if file.device is not None)


def test_a_relative_path_is_one_of_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel tells of is absolute: a name that is not would never be met again."""
    modelfiles.write(tmp_path / "models" / "m.safetensors", model(1, 5000))
    monkeypatch.chdir(tmp_path)
    found = Inventory(Weights(paths=("models",), discover=False))
    found.refresh()
    assert [file.path for file in found.files()] == [str(tmp_path / "models" / "m.safetensors")]


def test_a_folder_protects_its_model_files_and_no_others(tmp_path: Path) -> None:
    """Whatever their size and name; a README is none."""
    folder = tmp_path / "llama"
    modelfiles.write(folder / "model-00001-of-00002.safetensors", model(1, 5000))
    modelfiles.write(folder / "renamed", model(2, 5000))
    modelfiles.write(folder / "README.md", b"# about\n")
    modelfiles.write(folder / "empty.safetensors", b"")
    stock = inventory(folder)
    changes = stock.refresh()
    expected = [("model-00001-of-00002.safetensors", "llama", "safetensors"), ("renamed", "llama", "safetensors")]
    assert listed(stock) == expected
    assert {Path(file.path).name for file in changes.added} == {name for name, _, _ in expected}
    assert stock.model_size("llama") == sum(target.size for target in changes.targets)
    assert stock.model_size("other") is None


def test_a_file_that_is_configured_is_protected_whatever_it_is(tmp_path: Path) -> None:
    """An encrypted model has no format."""
    path = modelfiles.write(tmp_path / "secret.enc", modelfiles.noise(5000))
    stock = inventory(path)
    stock.refresh()
    assert listed(stock) == [("secret.enc", "secret", None)]


def test_a_broken_model_file_is_protected_and_its_fault_told(tmp_path: Path) -> None:
    """Someone may want it left alone."""
    modelfiles.write(tmp_path / "m" / "x", (10**7).to_bytes(8, "little") + b'{"a":' + bytes(100))
    stock = inventory(tmp_path / "m")
    stock.refresh()
    (file,) = stock.files()
    assert file.reason is not None
    assert "safetensors" in file.reason


def test_a_path_that_is_not_there_yet_is_picked_up_later(tmp_path: Path) -> None:
    """Missing is a state, not an error."""
    path = tmp_path / "later" / "model.safetensors"
    stock = inventory(path)
    assert stock.refresh().added == ()
    (file,) = stock.files()
    assert (file.state, file.size, file.device, file.reason) == ("missing", None, None, "is not there yet")
    assert file.as_target() is None
    assert file.key is None
    modelfiles.write(path, model(1, 5000))
    assert [one.path for one in stock.refresh().added] == [str(path)]
    assert [one.state for one in stock.files()] == ["listed"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "holds no model file"),
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to("nowhere"), "link to something that is not there"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.symlink_to(path), "cannot be reached"),
    ],
)
def test_a_path_that_protects_nothing_says_why(tmp_path: Path, make: object, reason: str) -> None:
    """A person who configured it must learn that nothing is watched."""
    make(tmp_path / "x")  # type: ignore[operator]
    stock = inventory(tmp_path / "x")
    stock.refresh()
    (file,) = stock.files()
    assert file.state == "missing"
    assert reason in (file.reason or "")


def test_links_to_blobs_protect_the_blob(tmp_path: Path) -> None:
    """As the Hugging Face hub lays it out: the snapshot names what the blob holds."""
    repository = tmp_path / "hub" / "models--org--name"
    blob = modelfiles.write(repository / "blobs" / "0a1b2c", model(1, 5000))
    link = repository / "snapshots" / "rev" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../blobs/0a1b2c")
    stock = inventory(tmp_path / "hub")
    stock.refresh()
    (file,) = stock.files()
    assert (file.path, file.target, file.model) == (str(link), str(blob), "org/name")
    found = blob.stat()
    assert stock.by_inode(found.st_dev, found.st_ino) == file
    assert stock.by_path(str(blob)) == stock.by_path(str(link)) == file
    assert stock.by_inode(None, None) is None
    assert stock.by_path("/elsewhere") is None


def test_changes_are_told_once(tmp_path: Path) -> None:
    """Added, written to, gone."""
    path = modelfiles.write(tmp_path / "m" / "x.safetensors", model(1, 5000))
    stock = inventory(tmp_path / "m")
    assert len(stock.refresh().added) == 1
    quiet = stock.refresh()
    assert (quiet.added, quiet.changed, quiet.gone) == ((), (), ())
    modelfiles.write(path, model(2, 6000))
    assert [file.size for file in stock.refresh().changed] == [path.stat().st_size]
    path.unlink()
    assert [file.path for file in stock.refresh().gone] == [str(path)]


def test_the_examiner_s_word_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    """A fingerprint of old content says nothing of the new."""
    path = modelfiles.write(tmp_path / "m" / "x.safetensors", model(1, 5000))
    stock = inventory(tmp_path / "m")
    (target,) = stock.refresh().targets
    done = Indexed(target.path, target.device, target.inode, target.size, "fingerprinted")
    marked = stock.mark(done)
    assert marked is not None
    assert marked.state == "fingerprinted"
    assert stock.bytes_by_state() == {"listed": 0, "fingerprinted": target.size, "failed": 0}
    stock.refresh()
    assert [file.state for file in stock.files()] == ["fingerprinted"]
    modelfiles.write(path, model(2, 6000))
    stock.refresh()
    assert [file.state for file in stock.files()] == ["listed"]
    late = stock.mark(done)
    assert late is not None
    assert late.state == "listed"
    assert stock.mark(Indexed("/x", 1, 2, 3, "failed", "gone")) is None


def test_scaffolds_are_protected_file_by_file(tmp_path: Path) -> None:
    """Text counts there, other people's packages do not."""
    folder = tmp_path / "agent"
    modelfiles.write(folder / "loop.py", b"print('hello')\n" * 50)
    modelfiles.write(folder / ".git" / "config", b"[core]\n")
    stock = inventory(scaffolds=(str(folder),))
    stock.refresh()
    (file,) = stock.files()
    assert (Path(file.path).name, file.model, file.scaffold) == ("loop.py", "agent", True)


def test_companions_without_a_mark_are_protected(tmp_path: Path) -> None:
    """TensorFlow's data shards beside their index."""
    modelfiles.write(tmp_path / "m" / "ckpt.index", modelfiles.tensorflow_index())
    modelfiles.write(tmp_path / "m" / "ckpt.data-00000-of-00001", modelfiles.noise(5000))
    stock = inventory(tmp_path / "m")
    stock.refresh()
    assert [form for _, _, form in listed(stock)] == ["tensorflow", "tensorflow"]


def test_a_discovered_file_is_protected_until_it_is_gone(tmp_path: Path) -> None:
    """If it is large enough and of a weights format."""
    path = modelfiles.write(tmp_path / "somewhere" / "x.bin", model(1, 50_000))
    stock = inventory(min_size=Bytes(10_000))
    stock.refresh()
    added = stock.add(str(path), "found")
    assert isinstance(added, Protected)
    assert added.model == "found"
    assert stock.add(str(modelfiles.write(tmp_path / "small", model(1, 500)))) is None
    assert stock.add(str(modelfiles.write(tmp_path / "noise", modelfiles.noise(50_000)))) is None
    assert stock.add(str(tmp_path / "absent")) is None
    assert stock.refresh().gone == ()
    path.unlink()
    assert [file.path for file in stock.refresh().gone] == [str(path)]


def test_caches_are_discovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only large files of a weights format, named by their repository."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    blobs = tmp_path / ".cache/huggingface/hub/models--org--name/blobs"
    modelfiles.write(blobs / "aa", model(1, 50_000))
    modelfiles.write(blobs / "bb", modelfiles.noise(50_000))
    stock = Inventory(Weights(min_size=Bytes(10_000)), homes=[str(tmp_path)])
    stock.refresh()
    assert ("aa", "org/name", "safetensors") in listed(stock)
    assert not any(name == "bb" for name, _, _ in listed(stock))


def test_what_a_configured_path_leads_to_is_not_discovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the same file lies in a cache; the examiner is told which is which."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    blobs = tmp_path / ".cache/huggingface/hub/models--org--name/blobs"
    modelfiles.write(blobs / "aa", model(1, 50_000))
    both = modelfiles.write(blobs / "bb", model(2, 50_001))
    own = modelfiles.write(tmp_path / "own" / "m.safetensors", model(3, 50_002))
    os.link(both, own.parent / "b.safetensors")
    stock = Inventory(Weights(paths=(str(own.parent),), min_size=Bytes(10_000)), homes=[str(tmp_path)])
    found = {target.size - 50_000: target.discovered for target in stock.refresh().targets}
    sizes = {path.stat().st_size - 50_000 for path in (both, own)}
    assert {size for size, discovered in found.items() if not discovered} == sizes
    assert len(found) == 3
    added = modelfiles.write(tmp_path / "elsewhere" / "m.safetensors", model(4, 50_003))
    assert (stock.add(str(added)) or Protected("", "")).discovered


def test_a_folder_of_too_many_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies behind the bound is not protected, and that must not be silent."""
    monkeypatch.setattr("replguard.weights.walk.MOST_FILES", 2)
    for number in range(4):
        modelfiles.write(tmp_path / "m" / f"{number}.safetensors", model(number, 500))
    stock = inventory(tmp_path / "m")
    stock.refresh()
    assert [file.state for file in stock.files()] == ["listed", "listed", "missing"]
