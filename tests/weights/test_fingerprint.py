"""What is remembered of a protected file."""

import os
from array import array
from pathlib import Path

import pytest
from support import modelfiles
from support.fingerprints import KEY, MIB, model, printed, target

from replguard.weights import fingerprint
from replguard.weights.reading import BLOCK, open_regular


def places(made: fingerprint.Fingerprint) -> list[int]:
    values = array("I")
    values.frombytes(made.places)
    return sorted(values)


def test_the_header_is_not_remembered(tmp_path: Path) -> None:
    """Strangers of the same architecture have the same header."""
    text = modelfiles.safetensors(modelfiles.noise(MIB), note="n" * 9000)
    made = printed(modelfiles.write(tmp_path / "a", text))
    assert places(made)[0] * BLOCK >= 9000
    assert made.entries == len(places(made)) >= 250


def test_a_tokenizer_is_not_remembered(tmp_path: Path) -> None:
    """GGUF carries its tokenizer in the header."""
    data = modelfiles.gguf(modelfiles.noise(MIB), vocabulary=5000)
    made = printed(modelfiles.write(tmp_path / "a.gguf", data), form="gguf")
    assert places(made)[0] * BLOCK >= len(data) - MIB


def test_filling_is_not_remembered(tmp_path: Path) -> None:
    """Zeros, text, and blocks that repeat more than four times."""
    one = modelfiles.noise(BLOCK, 5)
    payload = bytes(10 * BLOCK) + one * 6 + b"some words " * 3000 + modelfiles.noise(20 * BLOCK)
    made = printed(modelfiles.write(tmp_path / "a", payload), form="numpy")
    assert 18 <= made.entries <= 22


def test_a_scaffold_is_remembered_with_its_text(tmp_path: Path) -> None:
    """An agent's program is text through and through."""
    source = "".join(f"def step_{i}(state):\n    return state.advance({i})\n" for i in range(900)).encode()
    path = modelfiles.write(tmp_path / "agent.py", source)
    assert printed(path, scaffold=True).entries == len(source) // BLOCK


def test_hashes_are_in_order(origin: Path) -> None:
    """They are looked up by bisection."""
    values = array("Q")
    made = printed(origin)
    values.frombytes(made.hashes)
    assert list(values) == sorted(values)
    assert fingerprint.span(made) == len(made.hashes) + len(made.places) + len(str(origin))


def test_a_file_written_to_meanwhile_is_told(origin: Path) -> None:
    """A fingerprint of two halves of two models would be one of neither."""
    with open_regular(str(origin)) as reader:
        making = fingerprint.build(reader, target(origin), KEY)
        next(making)
        with origin.open("ab") as file:
            file.write(b"more")
        os.utime(origin)
        with pytest.raises(fingerprint.Changed):
            list(making)


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    """So that requests come between."""
    path = modelfiles.write(tmp_path / "a", model(3, 2 * MIB))
    with open_regular(str(path)) as reader:
        pieces = list(fingerprint.build(reader, target(path), KEY))
    assert len(pieces) > 10
    assert max(pieces[:-1]) <= 64 * BLOCK
