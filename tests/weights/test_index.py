"""Finding protected content in files: copies, parts, shifted and sparse ones, and never in strangers."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import modelfiles
from support.fingerprints import KEY, MIB, looked, model, printed, sampled

from replguard.weights.index import Index, sample, search
from replguard.weights.reading import BLOCK, open_regular


def test_an_identical_copy_under_any_name_is_found_whole(index: Index, origin: Path, tmp_path: Path) -> None:
    """The name and ending play no part."""
    copy = modelfiles.write(tmp_path / "holiday.jpg", origin.read_bytes())
    assert sampled(index, copy) == [("llama", 1.0)]


@pytest.mark.parametrize("part", [0.1, 0.25, 0.5, 0.9])
def test_a_copy_in_progress_is_found_by_its_share(index: Index, origin: Path, tmp_path: Path, part: float) -> None:
    """A prefix is looked at on a grid that contains its origin's."""
    data = origin.read_bytes()
    grown = modelfiles.write(tmp_path / "part", data[: int(len(data) * part)])
    ((name, share),) = sampled(index, grown)
    assert name == "llama"
    assert share == pytest.approx(part, abs=0.02)


def test_a_fine_tune_is_found_by_what_it_shares(index: Index, origin: Path, tmp_path: Path) -> None:
    """Half the layers changed is half a match, and no error."""
    data = bytearray(origin.read_bytes())
    half = len(data) // 2
    data[half:] = modelfiles.noise(len(data) - half, 99)
    ((_, share),) = sampled(index, modelfiles.write(tmp_path / "tuned", bytes(data)))
    assert share == pytest.approx(0.5, abs=0.08)


def test_content_in_a_sparse_terabyte_is_found_at_once(index: Index, origin: Path, tmp_path: Path) -> None:
    """Holes are skipped, so the size that a file claims costs nothing."""
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(2**40)
        file.seek(0)
        file.write(origin.read_bytes())
    assert sampled(index, sparse) == [("llama", 1.0)]


@settings(max_examples=15)
@given(seed=st.integers(100, 10_000), size=st.integers(0, 300_000))
def test_strangers_never_match(tmp_path_factory: pytest.TempPathFactory, seed: int, size: int) -> None:
    """Random content of any size, also behind the very same header."""
    folder = tmp_path_factory.getbasetemp()
    known = Index(KEY)
    known.add(printed(modelfiles.write(folder / "known", model(1, 200_000)), "llama"))
    assert sampled(known, modelfiles.write(folder / "stranger", model(seed, size))) == []
    assert sampled(known, modelfiles.write(folder / "other", modelfiles.noise(size, seed))) == []


def test_less_than_three_anchors_are_a_trace(index: Index, origin: Path, tmp_path: Path) -> None:
    """Which parts of one model add up to, elsewhere."""
    data = origin.read_bytes()
    told = {"matches": 0, "traces": 0}
    for at in range(5000, 5000 + 60 * 6000, 6000):
        part = modelfiles.write(tmp_path / "part", modelfiles.noise(MIB, at) + data[at : at + 6000])
        matches, traces = looked(index, part)
        assert all(match.hits >= 3 for match in matches)
        assert all(0 < match.hits < 3 and 0 < match.share < 0.01 for match in traces)
        told["matches"] += len(matches)
        told["traces"] += len(traces)
    assert told["traces"] > told["matches"]


def test_zeros_and_an_empty_file_are_no_match(index: Index, tmp_path: Path) -> None:
    """What tells nothing is not remembered."""
    assert sampled(index, modelfiles.write(tmp_path / "zeros", bytes(3 * MIB))) == []
    assert sampled(index, modelfiles.write(tmp_path / "empty", b"")) == []


@pytest.mark.parametrize("size", [300, 3000, 9000, 17_000])
def test_a_small_adapter_is_found_whole(tmp_path: Path, size: int) -> None:
    """A file of too few anchors is compared as a whole: the same size and every byte."""
    adapter = modelfiles.write(tmp_path / "adapter.safetensors", model(8, size))
    known = Index(KEY)
    known.add(printed(adapter, "adapter"))
    data = adapter.read_bytes()
    assert sampled(known, modelfiles.write(tmp_path / "same", data)) == [("adapter", 1.0)]


@pytest.mark.parametrize("size", [300, 600])
def test_a_tiny_adapter_with_one_other_byte_is_a_stranger(tmp_path: Path, size: int) -> None:
    """There are too few anchors to speak of a share."""
    adapter = modelfiles.write(tmp_path / "adapter.safetensors", model(8, size))
    known = Index(KEY)
    known.add(printed(adapter, "adapter"))
    data = adapter.read_bytes()
    assert sampled(known, modelfiles.write(tmp_path / "other", data[:-1] + bytes([data[-1] ^ 1]))) == []
    assert sampled(known, modelfiles.write(tmp_path / "same", data)) == [("adapter", 1.0)]


def test_a_model_of_little_entropy_is_found_whole(tmp_path: Path) -> None:
    """No anchor of it tells anything alone, all of it together does."""
    data = modelfiles.safetensors(b"".join(bytes([i]) * 8192 for i in range(100)))
    known = Index(KEY)
    known.add(printed(modelfiles.write(tmp_path / "flat", data), "flat"))
    assert sampled(known, modelfiles.write(tmp_path / "copy", data)) == [("flat", 1.0)]


def test_an_anchor_of_three_models_tells_nothing(tmp_path: Path) -> None:
    """Masks and tables that many models carry are no evidence."""
    common = modelfiles.noise(20 * BLOCK, 70)
    known = Index(KEY)
    for number in range(3):
        data = common + modelfiles.noise(60 * BLOCK, 71 + number)
        known.add(printed(modelfiles.write(tmp_path / str(number), data), f"m{number}", form="numpy"))
    stranger = modelfiles.write(tmp_path / "stranger", common + modelfiles.noise(60 * BLOCK, 80))
    assert sampled(known, stranger) == []
    copy = modelfiles.write(tmp_path / "copy", (tmp_path / "1").read_bytes())
    assert sampled(known, copy) == [("m1", 1.0)]


def test_three_protected_copies_of_one_model_still_match(tmp_path: Path) -> None:
    """Files of the same content count as one model, whatever their folders are called."""
    known = Index(KEY)
    for name in "abc":
        known.add(printed(modelfiles.write(tmp_path / name, model(1)), name))
    copy = modelfiles.write(tmp_path / "copy", model(1))
    assert sampled(known, copy) == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_a_family_that_shares_most_blocks_still_matches(tmp_path: Path) -> None:
    """Four fine-tunes of which nine tenths are the same keep their common blocks as evidence."""
    base = modelfiles.noise(90 * BLOCK, 70)
    known = Index(KEY)
    for number in range(4):
        data = base + modelfiles.noise(10 * BLOCK, 71 + number)
        known.add(printed(modelfiles.write(tmp_path / str(number), data), f"m{number}", form="numpy"))
    found = sampled(known, modelfiles.write(tmp_path / "copy", (tmp_path / "2").read_bytes()))
    assert found[0] == ("m2", 1.0)
    assert [share for _, share in found[1:]] == [pytest.approx(0.9, abs=0.05)] * 3


def test_many_files_are_told_apart(tmp_path: Path) -> None:
    """Tables are merged as files come, and files that go are forgotten."""
    known = Index(KEY)
    made = [printed(modelfiles.write(tmp_path / str(i), model(i, 100_000)), f"m{i}") for i in range(20)]
    for one in made:
        known.add(one)
    known.remove(made[7].target.key)
    known.remove((1, 2))
    assert len(known) == 19
    assert known.get(made[7].target.key) is None
    assert known.get(made[8].target.key).target == made[8].target
    for i in (0, 8, 19):
        assert sampled(known, modelfiles.write(tmp_path / "copy", model(i, 100_000))) == [(f"m{i}", 1.0)]
    assert sampled(known, modelfiles.write(tmp_path / "copy", model(7, 100_000))) == []
    known.add(made[7])
    assert sampled(known, tmp_path / "copy") == [("m7", 1.0)]


def test_the_match_names_its_origin(index: Index, origin: Path, tmp_path: Path) -> None:
    """Path, device and inode, and what the share was estimated from."""
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    ((match,), traces) = looked(index, copy)
    assert (match.path, match.inode, match.size) == (str(origin), origin.stat().st_ino, origin.stat().st_size)
    assert match.hits == match.samples > 256
    assert match.current
    assert traces == []


def test_a_copy_that_is_sampled_is_told_whole(tmp_path: Path) -> None:
    """Of a file of the very size of its origin, a digest is taken: no estimate says less than there is."""
    known = Index(KEY)
    data = model(4, 24 * MIB)
    known.add(printed(modelfiles.write(tmp_path / "origin", data), "big"))
    assert sampled(known, modelfiles.write(tmp_path / "copy", data)) == [("big", 1.0)]
    tuned = data[: 16 * MIB] + modelfiles.noise(len(data) - 16 * MIB, 9)
    assert sampled(known, modelfiles.write(tmp_path / "copy", tuned)) == [("big", pytest.approx(2 / 3, abs=0.15))]


def test_a_search_reads_all_and_tells_exactly(tmp_path: Path) -> None:
    """Also a part so small that samples pass it by."""
    known = Index(KEY)
    known.add(printed(modelfiles.write(tmp_path / "origin", model(4, 3 * MIB)), "small"))
    part = model(4, 3 * MIB)[MIB : MIB + 300_000]
    packed = modelfiles.write(tmp_path / "packed", modelfiles.noise(30 * MIB, 5) + part + modelfiles.noise(MIB, 6))
    with open_regular(str(packed)) as reader:
        ((match,), _) = search([known], reader)
    assert match.share == pytest.approx(0.1, abs=0.03)


def test_a_small_share_is_looked_at_twice(tmp_path: Path) -> None:
    """A twentieth of a large file: a few anchors are reason enough to read on, up to four times 8 MiB."""
    known = Index(KEY)
    known.add(printed(modelfiles.write(tmp_path / "origin", model(4, 26 * MIB)), "big"))
    packed = modelfiles.write(tmp_path / "packed", modelfiles.noise(120 * MIB, 5) + model(4, 26 * MIB)[: 7 * MIB])
    found = [looked(known, packed) for _ in range(10)]
    told = [matches[0].share for matches, _ in found if matches]
    assert len(told) >= 9
    assert sum(told) / len(told) == pytest.approx(7 / 26, rel=0.4)


class Counting:
    """Stands in for os.preadv and counts."""

    def __init__(self) -> None:
        self.total = 0


def test_no_more_than_eight_mebibytes_are_read(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the file."""
    big = modelfiles.write(tmp_path / "big", modelfiles.noise(40 * MIB, 90))
    with open_regular(str(big)) as reader:
        plain, read = reader.into, Counting()

        def counted(view: memoryview, offset: int) -> int:
            read.total += len(view)
            return plain(view, offset)

        monkeypatch.setattr(reader, "into", counted)
        assert sample([index], reader) == ([], [])
        assert MIB < read.total <= 8 * MIB
