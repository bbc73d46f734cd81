"""Fingerprints and indexes made directly, for the tests of the weights room."""

from pathlib import Path

from support import modelfiles

from replguard.weights.anchors import Scheme
from replguard.weights.building import Building
from replguard.weights.fingerprint import Fingerprint, Match, Target
from replguard.weights.index import Index, sample
from replguard.weights.library import Library
from replguard.weights.messages import Indexed
from replguard.weights.reading import open_regular

KEY = bytes(range(32))
SCHEME = Scheme(KEY)
MIB = 2**20


def model(seed: int, size: int = 3 * MIB) -> bytes:
    """Return a safetensors file of random values, the same for the same seed."""
    return modelfiles.safetensors(modelfiles.noise(size, seed))


def target(path: Path, name: str = "m", *, scaffold: bool = False, form: str | None = "safetensors") -> Target:
    found = path.stat()
    times = found.st_mtime_ns, found.st_ctime_ns
    return Target(str(path), name, found.st_dev, found.st_ino, found.st_size, *times, form, scaffold)


def printed(path: Path, name: str = "m", *, scaffold: bool = False, form: str | None = "safetensors") -> Fingerprint:
    """Return the fingerprint of a file, made in one go."""
    with open_regular(str(path)) as reader:
        making = Building(reader, target(path, name, scaffold=scaffold, form=form), SCHEME)
        for _ in making.pieces():
            pass
        return making.done()


def sampled(index: Index, path: Path) -> list[tuple[str, float]]:
    """Return (model, share) of what an index finds in a file."""
    return [(match.model, match.share) for match in looked(index, path)[0]]


def looked(index: Index, path: Path) -> tuple[list[Match], list[Match]]:
    """Return matches and traces that an index finds in a file."""
    with open_regular(str(path)) as reader:
        return sample([index], reader)


def finish(library: Library) -> list[Indexed]:
    """Make all fingerprints that a library still has to make."""
    done = []
    while library.todo:
        done += library.work(1.0)[1]
    return done
