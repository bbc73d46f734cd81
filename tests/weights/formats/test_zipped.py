"""Zip archives of tensors: told by their directory, nothing inflated."""

import io
import struct
import zipfile

import pytest
from support import modelfiles

from replguard.weights.formats import Format, FormatError, Memory, recognise


def test_the_tensors_of_a_torch_archive_are_told_from_its_pickle() -> None:
    """The pickle is shared by strangers of the same architecture."""
    tensors = modelfiles.noise(5000)
    data = modelfiles.torch_zip(tensors)
    verdict = recognise(Memory(data))
    assert isinstance(verdict, Format)
    assert verdict.payload is not None
    start, end = verdict.payload
    assert start <= data.index(tensors) < data.index(tensors) + 5000 <= end


def test_an_archive_without_an_end_is_told_by_its_first_name() -> None:
    """A copy in progress has no directory yet."""
    verdict = recognise(Memory(modelfiles.torch_zip(modelfiles.noise(5000))[:-200]))
    assert verdict == Format("pytorch")


def test_a_bomb_is_not_inflated() -> None:
    """An entry of a gigabyte of zeros costs its directory entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(2**24))
        archive.writestr("model/data/0", bytes(2**24))
    verdict = recognise(Memory(out.getvalue()))
    assert isinstance(verdict, Format)
    assert verdict.name == "pytorch"


def test_a_wide_archive_is_read() -> None:
    """ZIP64, as torch.save writes above 4 GiB: the 32-bit fields hold ones."""
    data = bytearray(modelfiles.torch_zip(modelfiles.noise(300)))
    at = data.rindex(b"PK\5\6")
    entries, size, start = struct.unpack_from("<HII", data, at + 10)
    wide = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, entries, entries, size, start)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    verdict = recognise(Memory(bytes(data[:at]) + wide + locator + end))
    assert isinstance(verdict, Format)
    assert verdict.complete is True


@pytest.mark.parametrize("place", [0, 7, 2**31])
def test_a_directory_in_the_wrong_place_gives_no_tensors(place: int) -> None:
    """Its offset is the attacker's word."""
    data = bytearray(modelfiles.torch_zip(modelfiles.noise(300)))
    at = data.rindex(b"PK\5\6")
    struct.pack_into("<I", data, at + 16, place)
    verdict = recognise(Memory(bytes(data)))
    assert verdict is None or isinstance(verdict, FormatError)
