"""The same tensors saved by another library, packed, cut, moved, split, or cast: found, with the share that is left."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import modelfiles, values
from support.fingerprints import KEY, MIB, looked, printed, sampled

from replguard.weights.index import Index

SIZES = [MIB, 3 * MIB, 2 * MIB, 4 * MIB, 6 * MIB, 9 * MIB, 5 * MIB]
"""Bytes of the tensors: 30 MiB, so that anchors are as far apart as in the largest models."""


@pytest.fixture(scope="module")
def tensors() -> dict[str, bytes]:
    """The tensors of a model, as bf16."""
    return {f"layers.{n}": values.stored(values.normal(size // 2, n), "bf16") for n, size in enumerate(SIZES)}


@pytest.fixture(scope="module")
def known(tensors: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index that knows the model as safetensors."""
    path = tmp_path_factory.mktemp("origin") / "model.safetensors"
    index = Index(KEY)
    index.add(printed(modelfiles.write(path, values.safetensors(tensors)), "llama"))
    return index


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Where a copy goes; large files are not kept."""
    yield tmp_path / "copy"
    (tmp_path / "copy").unlink(missing_ok=True)


LAYOUTS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "safetensors, other header": lambda t: values.safetensors(dict(reversed(t.items()))),
    "torch zip": values.torch_zip,
    "torch legacy": values.torch_legacy,
    "npz": values.npz,
    "npy": lambda t: values.npy(b"".join(t.values())),
    "gguf": values.gguf,
    "tar": lambda t: values.tar([("README", b"text " * 77), ("model.safetensors", values.safetensors(t))]),
    "cpio": lambda t: values.cpio([("README", b"odd"), ("model.safetensors", values.safetensors(t))]),
    "stored zip": lambda t: modelfiles.zipped({"readme": b"odd", "m.safetensors": values.safetensors(t)}),
    "docker image": lambda t: values.tar(
        [
            ("manifest.json", b"[]"),
            ("aa/layer.tar", values.tar([("etc/motd", b"hello"), ("models/m.gguf", values.gguf(t))])),
        ]
    ),
    "torch zip in a tar at an odd offset": lambda t: b"x" * 4097 + values.tar([("m.pt", values.torch_zip(t))]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_layout_is_found_whole(known: Index, tensors: dict[str, bytes], target: Path, layout: str) -> None:
    """Whatever lies before, between and behind the tensors."""
    ((model, share),) = sampled(known, modelfiles.write(target, LAYOUTS[layout](tensors)))
    assert model == "llama"
    assert share == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("layout", ["safetensors", "torch zip", "torch legacy", "npz", "gguf"])
def test_an_origin_of_any_layout_is_known(tensors: dict[str, bytes], target: Path, tmp_path: Path, layout: str) -> None:
    """Each way: from it to a stream of nothing but tensors, which is what they have in common."""
    made = values.safetensors(tensors) if layout == "safetensors" else LAYOUTS[layout](tensors)
    form = {"gguf": "gguf", "npz": "numpy", "safetensors": "safetensors"}.get(layout, "pytorch")
    index = Index(KEY)
    index.add(printed(modelfiles.write(tmp_path / "origin", made), "llama", form=form))
    ((_, share),) = sampled(index, modelfiles.write(target, b"#" * 13 + b"".join(tensors.values())))
    assert share == pytest.approx(1.0, abs=0.1)


def test_shards_cut_elsewhere_are_found_with_their_parts(
    known: Index, tensors: dict[str, bytes], tmp_path: Path
) -> None:
    """Together they are the model, alone each is its part."""
    names = list(tensors)
    shares = []
    for number, part in enumerate((names[:3], names[3:5], names[5:])):
        shard = values.safetensors({name: tensors[name] for name in part})
        ((_, share),) = sampled(known, modelfiles.write(tmp_path / f"shard{number}", shard))
        shares.append(share)
    assert shares == pytest.approx([6 / 30, 10 / 30, 14 / 30], abs=0.09)


@pytest.mark.parametrize(("start", "stop"), [(0.0, 0.7), (0.3, 1.0), (0.21, 0.83)])
def test_a_cut_head_or_tail_is_found_by_what_is_left(
    known: Index, tensors: dict[str, bytes], target: Path, start: float, stop: float
) -> None:
    """A download that broke off, or was begun in the middle."""
    data = values.safetensors(tensors)
    part = data[int(start * len(data)) : int(stop * len(data))]
    ((_, share),) = sampled(known, modelfiles.write(target, part))
    assert share == pytest.approx(stop - start, abs=0.12)


def test_parts_of_a_megabyte_and_a_half_are_found_at_any_byte(
    known: Index, tensors: dict[str, bytes], target: Path
) -> None:
    """Wherever they are cut out, and wherever they lie in the new file."""
    data = values.safetensors(tensors)
    chance = random.Random(11)
    for _ in range(40):
        at = chance.randrange(300, len(data) - 1_500_000)
        before = chance.randbytes(chance.randrange(5000))
        found, _ = looked(known, modelfiles.write(target, before + data[at : at + 1_500_000]))
        assert [match.model for match in found] == ["llama"]


def test_smaller_parts_leave_traces_that_add_up(known: Index, tensors: dict[str, bytes], target: Path) -> None:
    """A hundred parts of 150 KB are no match each, and half of the model in the sum of what is told."""
    data = values.safetensors(tensors)
    part, total = 150_000, 0.0
    for number in range(100):
        at = 5000 + number * part
        found, traces = looked(known, modelfiles.write(target, data[at : at + part]))
        assert all(match.hits < 3 for match in traces)
        total += sum(match.share for match in (*found, *traces))
    assert total == pytest.approx(100 * part / len(data), abs=0.15)


@pytest.mark.parametrize("origin", values.NAMES)
@pytest.mark.parametrize("copy", values.NAMES)
@pytest.mark.parametrize("size", [5 * MIB, 18 * MIB])
def test_values_cast_to_another_type_are_found(target: Path, tmp_path: Path, origin: str, copy: str, size: int) -> None:
    """In all six directions, behind a header of any length, small and large: a large one is sampled on both sides."""
    data = values.stored(values.normal(size // (4 if origin == "f32" else 2), 3), origin)
    index = Index(KEY)
    path = modelfiles.write(tmp_path / "origin", values.safetensors({"w": data}, values.NAMES[origin]))
    index.add(printed(path, "llama"))
    path.unlink()
    cast = values.stored(values.loaded(data, origin), copy)
    ((model, share),) = sampled(index, modelfiles.write(target, b"h" * 1235 + cast))
    assert model == "llama"
    assert share == pytest.approx(1.0, abs=0.5)


def test_a_model_whose_bytes_are_not_aligned_is_known_in_its_casts(target: Path, tmp_path: Path) -> None:
    """The storages of an old torch.save begin at any byte."""
    data = values.stored(values.normal(2 * MIB, 3), "f32")
    index = Index(KEY)
    index.add(printed(modelfiles.write(tmp_path / "origin", values.torch_legacy({"w": data})[3:]), "m", form="pytorch"))
    cast = values.stored(values.loaded(data, "f32"), "bf16")
    ((model, share),) = sampled(index, modelfiles.write(target, cast))
    assert (model, share) == ("m", pytest.approx(1.0, abs=0.05))


def test_several_models_in_one_file_are_told_with_their_shares(tmp_path: Path, target: Path) -> None:
    """A whole one, half of another, and a stranger, in one archive."""
    index, data = Index(KEY), {}
    for number, name in enumerate(("llama", "qwen", "gemma")):
        data[name] = values.safetensors({"w": values.stored(values.normal(8 * MIB, 40 + number), "bf16")})
        index.add(printed(modelfiles.write(tmp_path / name, data[name]), name))
    half = len(data["qwen"]) // 2
    stranger = values.stored(values.normal(8 * MIB, 50), "bf16")
    packed = values.tar([("a", data["llama"]), ("b", data["qwen"][:half]), ("c", stranger)])
    found = dict(sampled(index, modelfiles.write(target, packed)))
    assert found == {"llama": pytest.approx(1.0, abs=0.35), "qwen": pytest.approx(0.5, abs=0.3)}


@pytest.mark.parametrize("changed", [0.25, 0.5, 0.75])
def test_a_fine_tune_is_told_by_the_share_that_it_kept(
    known: Index, tensors: dict[str, bytes], target: Path, changed: float
) -> None:
    """Layers that were trained on are other bytes; the share of the others is the finding, and no error."""
    data = bytearray(values.safetensors(tensors))
    start = int(len(data) * (1 - changed))
    tuned = values.stored(values.normal((len(data) - start) // 2 + 1, 77), "bf16")
    data[start:] = tuned[: len(data) - start]
    ((_, share),) = sampled(known, modelfiles.write(target, bytes(data)))
    assert share == pytest.approx(1 - changed, abs=0.15)


def test_strangers_of_the_same_kind_have_no_anchor_in_common(known: Index, target: Path) -> None:
    """Other values of the same spread, of every type: not one hit, let alone three."""
    for seed in range(5):
        for kind in values.NAMES:
            stranger = values.stored(values.normal(2 * MIB, 900 + seed), kind)
            assert looked(known, modelfiles.write(target, stranger)) == ([], [])
