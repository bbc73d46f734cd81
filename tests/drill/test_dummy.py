import json

import numpy as np

from replguard.drill import dummy


def read(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def test_a_file_is_valid_safetensors(tmp_path):
    """The header names every tensor, and the offsets cover the data without a gap, as the format demands."""
    dummy.write_model(tmp_path, tensors=2)
    header, data = read(tmp_path / "model.safetensors")
    header.pop("__metadata__")
    offsets = [tensor["data_offsets"] for tensor in header.values()]
    assert offsets == [[0, dummy.TENSOR_BYTES], [dummy.TENSOR_BYTES, 2 * dummy.TENSOR_BYTES]]
    assert len(data) == 2 * dummy.TENSOR_BYTES
    assert all(np.prod(t["shape"]) * 2 == dummy.TENSOR_BYTES and t["dtype"] == "BF16" for t in header.values())


def test_values_are_spread_like_weights():
    """The values are finite bf16 numbers around zero with the spread of a common initialisation."""
    raw = np.frombuffer(dummy.tensor(np.random.default_rng(1)), dtype=np.uint16)
    values = (raw.astype(np.uint32) << 16).view(np.float32)
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 0.001
    assert 0.018 < values.std() < 0.022


def test_every_run_makes_another_model_and_a_seed_makes_the_same(tmp_path):
    """Two drills share no content, so that neither is taken for a copy of the other."""
    seeds = {"a": None, "b": None, "c": 5, "d": 5}
    made = [dummy.write_model(tmp_path / name, tensors=1, seed=seed)[0] for name, seed in seeds.items()]
    a, b, c, d = (path.read_bytes() for path in made)
    assert a != b
    assert c == d


def test_shards_are_named_by_an_index(tmp_path):
    """Each tensor of a model in shards is found through the index, in the file that the index names."""
    files = dummy.write_model(tmp_path, tensors=3, shards=2)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert {file.name for file in files} == set(index["weight_map"].values())
    for name, file in index["weight_map"].items():
        assert name in read(tmp_path / file)[0]


def test_the_default_model_is_large_enough_to_be_told_while_it_is_copied():
    """A copy in progress is told from 64 MiB on."""
    assert dummy.DEFAULT_TENSORS * dummy.TENSOR_BYTES >= 64 * 2**20
