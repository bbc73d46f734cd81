"""Questions about all protected files are answered without a walk over them."""

from replguard.provenance.outline import Outline, folders
from replguard.weights.inventory import Protected

MIB = 2**20


def outline(*files: Protected) -> Outline:
    """Return an outline in which a twentieth of a file is worth telling."""
    return Outline(lambda: files, lambda size: size / 20)


def test_folders_from_near_to_far() -> None:
    """The root is everybody's and no folder of anything."""
    assert list(folders("/a/b/c")) == ["/a/b", "/a"]
    assert list(folders("/a")) == []
    assert list(folders("")) == []
    assert len(list(folders("/x" * 10_000))) == 64


def test_worth_is_what_could_be_a_part_of_the_smallest() -> None:
    """A scaffold counts by its exact size only; without any protected file nothing is worth a look."""
    some = outline(Protected("/m/a", "a", 1, 1, 100 * MIB), Protected("/s/b.py", "s", 1, 2, 777, scaffold=True))
    assert some.worth(5 * MIB)
    assert not some.worth(5 * MIB - 1)
    assert some.worth(777)
    assert not some.worth(778)
    assert not outline().worth(1 << 40)


def test_places_are_found_by_path_by_target_and_by_folder() -> None:
    """A cache's link and the blob behind it are the same protected file."""
    blob = Protected("/hub/snap/w", "a", 1, 1, MIB, target="/hub/blobs/123")
    some = outline(blob)
    assert some.at("/hub/snap/w") is blob
    assert some.at("/hub/blobs/123") is blob
    assert some.at("/hub") is None
    assert some.below("/hub/snap") is blob
    assert some.below("/hub") is blob
    assert some.below("/hub/other") is None


def test_it_follows_the_list_once_told() -> None:
    """What came since counts after the next tick, and a missing file never."""
    files: list[Protected] = [Protected("/m/gone", "a")]
    some = Outline(lambda: files, lambda size: size)
    assert some.at("/m/gone") is None
    files.append(Protected("/m/new", "a", 1, 1, MIB))
    assert some.at("/m/new") is None
    some.stale()
    assert some.at("/m/new") is files[1]
