"""What is remembered of a protected file."""

import os
from pathlib import Path

import numpy as np
import pytest
from support import modelfiles, values
from support.fingerprints import MIB, SCHEME, model, printed, target

from replguard.weights.building import Building
from replguard.weights.fingerprint import Changed, Fingerprint, Stream
from replguard.weights.reading import Reader, open_regular


def raw(made: Fingerprint) -> Stream:
    (stream,) = [stream for stream in made.streams if stream.kind == "raw"]
    return stream


def built(reader: Reader, path: Path) -> Building:
    making = Building(reader, target(path), SCHEME)
    for _ in making.pieces():
        pass
    return making


def test_the_header_is_not_remembered(tmp_path: Path) -> None:
    """Strangers of the same architecture have the same header, and the same tokenizer's scores in it."""
    head = modelfiles.noise(300_000).hex()
    made = printed(modelfiles.write(tmp_path / "a", modelfiles.safetensors(modelfiles.noise(MIB), note=head)))
    same = printed(modelfiles.write(tmp_path / "b", modelfiles.safetensors(modelfiles.noise(MIB))))
    assert raw(made).keys == raw(same).keys
    assert made.payload == same.payload == MIB


def test_a_tokenizer_is_not_remembered(tmp_path: Path) -> None:
    """GGUF carries its tokenizer in the header."""
    data = [modelfiles.gguf(modelfiles.noise(MIB), vocabulary=size) for size in (50, 9000)]
    made = [printed(modelfiles.write(tmp_path / f"{len(one)}.gguf", one), form="gguf") for one in data]
    assert raw(made[0]).keys == raw(made[1]).keys


def test_filling_is_not_remembered(tmp_path: Path) -> None:
    """Zeros, text, and what repeats more than four times."""
    one = modelfiles.noise(40_000, 5)
    payload = bytes(90_000) + one * 6 + b"some words " * 9000 + modelfiles.noise(40_000)
    made = printed(modelfiles.write(tmp_path / "a", payload), form="numpy")
    alone = printed(modelfiles.write(tmp_path / "b", modelfiles.noise(40_000)), form="numpy")
    spaced = raw(made).spacing // raw(alone).spacing
    assert made.entries == pytest.approx(alone.entries / spaced, rel=0.7)


def test_a_scaffold_is_remembered_with_its_text(tmp_path: Path) -> None:
    """An agent's program is text through and through."""
    source = "".join(f"def step_{i}(state):\n    return state.advance({i})\n" for i in range(900)).encode()
    path = modelfiles.write(tmp_path / "agent.py", source)
    assert printed(path, scaffold=True).entries > 16


def test_entries_are_in_order_and_each_is_there_once(origin: Path) -> None:
    """They are looked up by bisection."""
    made = raw(printed(origin))
    keys = np.frombuffer(made.keys, "<u8")
    assert made.count == len(keys) > 256
    assert (np.diff(keys.astype(np.float64)) >= 0).all()
    assert len(set(keys.tolist())) == len(keys)


@pytest.mark.parametrize(
    ("kind", "others"), [("bf16", {"f16", "f32"}), ("f16", {"bf16", "f32"}), ("f32", {"bf16", "f16"})]
)
def test_values_are_remembered_in_their_casts_too(tmp_path: Path, kind: str, others: set[str]) -> None:
    """In proportion to what they become."""
    data = values.safetensors({"w": values.stored(values.normal(MIB, 1), kind)}, values.NAMES[kind])
    made = printed(modelfiles.write(tmp_path / "a", data))
    assert {stream.kind for stream in made.streams} == {"raw", *others}


def test_text_and_noise_have_no_casts(tmp_path: Path, origin: Path) -> None:
    """There is no type to re-type them from."""
    assert [stream.kind for stream in printed(origin).streams] == ["raw"]
    assert printed(modelfiles.write(tmp_path / "empty", b""), form="numpy").streams == []


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_an_interrupted_one_goes_on_where_it_was(tmp_path: Path, cut: int) -> None:
    """And is in the end what it would have been."""
    path = modelfiles.write(tmp_path / "a", values.safetensors({"w": values.stored(values.normal(2 * MIB, 1), "bf16")}))
    with open_regular(str(path)) as reader:
        making = Building(reader, target(path), SCHEME)
        pieces = making.pieces()
        for _ in range(cut):
            next(pieces)
        begun = making.so_far()
        assert begun is not None
        rest = Building(reader, target(path), SCHEME, begun)
        assert sum(rest.pieces()) == 4 * MIB - cut * MIB
        assert rest.done() == built(reader, path).done()


def test_a_file_written_to_meanwhile_is_told(origin: Path) -> None:
    """A fingerprint of two halves of two models would be one of neither."""
    with open_regular(str(origin)) as reader:
        making = built(reader, origin)
        os.utime(origin)
        assert making.so_far() is None
        with pytest.raises(Changed):
            making.done()


def test_a_file_that_shrinks_meanwhile_is_told(origin: Path) -> None:
    """What is gone cannot be read, and what is left is not the model."""
    with open_regular(str(origin)) as reader:
        making = Building(reader, target(origin), SCHEME).pieces()
        next(making)
        os.truncate(origin, MIB + 5)
        with pytest.raises(Changed):
            list(making)


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    """So that requests come between."""
    path = modelfiles.write(tmp_path / "a", model(3, 5 * MIB))
    with open_regular(str(path)) as reader:
        pieces = list(Building(reader, target(path), SCHEME).pieces())
    assert pieces == [MIB] * 5
