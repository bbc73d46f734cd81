"""The digest of a file."""

from pathlib import Path

from support import modelfiles
from support.fingerprints import KEY, MIB

from replguard.weights import identity
from replguard.weights.reading import open_regular


def test_a_digest_is_of_the_whole_content(tmp_path: Path) -> None:
    """One byte more, less or other makes another digest; almost nothing has none."""
    data = modelfiles.noise(20_000)

    def of(content: bytes, key: bytes = KEY) -> bytes | None:
        with open_regular(str(modelfiles.write(tmp_path / "file", content))) as reader:
            return identity.of(reader, key)

    same = of(data)
    assert same is not None
    assert same == of(data)
    for other in (data + b"x", data[:-1], data[:7000] + b"x" + data[7001:], data[:-1] + b"x"):
        assert of(other) != same
    assert of(data, bytes(32)) != same
    assert of(b"short") is None
    assert of(bytes(100_000)) is None


def test_of_a_large_file_a_grid_is_read(tmp_path: Path, monkeypatch) -> None:
    """Never more than 4 MiB and the end."""
    path = tmp_path / "large"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(900 * MIB)
        file.write(modelfiles.noise(MIB))
    read = []
    with open_regular(str(path)) as reader:
        into = reader.into
        monkeypatch.setattr(reader, "into", lambda view, at: read.append(len(view)) or into(view, at))
        assert identity.of(reader, KEY) is not None
    assert MIB < sum(read) <= 4 * MIB + 4096
    assert [identity.step(size) for size in (16384, 4 * MIB, 90 * MIB, 16 * 2**30)] == [4096, 4096, 131072, 2**24]
