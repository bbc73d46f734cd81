"""What is remembered, and what is said."""

import msgspec
import pytest

from replguard.weights.fingerprint import Fingerprint, Stream, Target

TARGET = Target("/m", "m", 1, 2, 30, 4, 5)


@pytest.mark.parametrize("change", [{"size": 31}, {"mtime_ns": 9}, {"ctime_ns": 9}])
def test_a_file_is_the_same_by_its_size_and_times(change: dict[str, int]) -> None:
    """Its name and model are no content."""
    assert TARGET.key == (1, 2)
    assert TARGET.same(msgspec.structs.replace(TARGET, path="/other", model="n", device=7))
    assert not TARGET.same(msgspec.structs.replace(TARGET, **change))


def test_entries_of_all_streams_are_counted() -> None:
    """Its own bytes and its casts."""
    streams = [Stream("raw", 1, 256, 7), Stream("f16", 8, 256, 3)]
    assert Fingerprint(TARGET, 30, None, streams).entries == 10
