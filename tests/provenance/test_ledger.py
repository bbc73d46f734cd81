"""What an inode is, who touched which model, and what was made from what."""

from datetime import timedelta

import pytest
from support.story import MIB, START, Host

from replguard.events.fact import FileRef
from replguard.events.file import File
from replguard.provenance import entry
from replguard.provenance.ledger import TOUCH_HOLDS, Ledger, everybodys
from replguard.provenance.outline import Outline
from replguard.provenance.processes import Proc
from replguard.weights.inventory import Protected

ORIGIN = FileRef(path="/models/llama/w", device=5, inode=1)


def ledger(*files: Protected, limit: int = 20_000) -> Ledger:
    return Ledger(lambda device, inode: next((f for f in files if f.key == (device, inode)), None), limit)


def file(inode: int | None, path: str = "/srv/x", **given: object) -> File:
    return File(path=path, device=None if inode is None else 5, inode=inode, **given)


def starter(proc: Proc) -> Proc:
    return entry.find(proc).proc


def test_an_inode_is_protected_made_or_a_stranger() -> None:
    """By device and inode, never by name; what has none is nothing."""
    known = ledger(Protected("/models/llama/w", "llama", 5, 1, MIB))
    made = known.made(file(2), ORIGIN, "llama", "copy", None, arrived=False)
    assert [known.model_of(file(n)) for n in (1, 2, 3, None)] == ["llama", "llama", None, None]
    assert known.model_of(None) is None
    assert known.artefact(file(2)) is made
    assert known.protected(file(1)) is not None
    assert known.artefact(None) is None


def test_ids_derive_from_what_is_made() -> None:
    """The same inode is the same copy; a link is its name, for its inode is the original's."""
    known = ledger()
    first = known.made(file(2), ORIGIN, "llama", "copy", None, arrived=False)
    assert ledger().made(file(2), ORIGIN, "llama", "copy", None, arrived=False).id == first.id
    assert known.made(file(3), ORIGIN, "llama", "copy", None, arrived=False).id != first.id
    links = [known.made(file(1, path), ORIGIN, "llama", "hardlink", None, arrived=False) for path in ("/a", "/b")]
    assert links[0].id != links[1].id
    assert known.name("/a") is links[0]
    assert known.name("/c") is None


def test_a_link_to_a_copy_leaves_the_copy_what_it_was() -> None:
    """A second name is no second origin; a new name moves it."""
    known = ledger()
    copy = known.made(file(2, "/srv/copy"), ORIGIN, "llama", "copy", None, arrived=True)
    known.made(file(2, "/srv/link"), ORIGIN, "llama", "hardlink", None, arrived=False)
    assert known.artefact(file(2)) is copy
    assert (copy.path, copy.arrived) == ("/srv/copy", True)
    known.made(file(2, "/srv/new"), ORIGIN, "llama", "rename", None, arrived=False)
    assert copy.path == "/srv/new"


def test_what_lost_its_last_name_is_known_by_it_only() -> None:
    """Whoever has it open shows that name; under any other, its inode is another file's."""
    known = ledger()
    known.made(file(2, "/srv/copy"), ORIGIN, "llama", "copy", None, arrived=False)
    known.made(file(2, "/srv/link"), ORIGIN, "llama", "hardlink", None, arrived=False)
    known.gone(file(None, "/srv/copy"))
    assert known.artefact(file(2)) is not None
    known.gone(file(None, "/srv/link"))
    known.gone(file(None, "/srv/copy"))
    assert known.artefact(file(2)) is None
    assert known.artefact(file(2, "/srv/copy")) is not None
    assert list(known.artefacts()) == []
    known.gone(file(9, "/srv/never-was"))


def test_another_name_that_goes_takes_nothing_with_it() -> None:
    """The copy itself is still there, also where a source counts its names."""
    known = ledger()
    known.made(file(2, "/srv/copy"), ORIGIN, "llama", "copy", None, arrived=False)
    known.gone(file(2, "/srv/unseen-link"))
    known.gone(file(2, "/srv/copy", links=1))
    assert known.artefact(file(2)) is not None


def test_what_holds_something_else_now_is_forgotten() -> None:
    """The examiner found other content."""
    known = ledger()
    known.made(file(2), ORIGIN, "llama", "copy", None, arrived=False)
    known.replaced((5, 2))
    known.replaced((5, 2))
    assert known.artefact(file(2)) is None
    assert list(known.artefacts()) == []


def test_a_retired_file_is_known_by_name_inode_and_size() -> None:
    """A rename may be told after the inventory has noticed it."""
    known = ledger()
    known.retire(Protected("/models/w", "llama", 5, 1, MIB))
    known.retire(Protected("/models/missing", "llama"))
    renamed = file(1, "/srv/w", previous="/models/w", size=MIB)
    assert known.retired(renamed) is not None
    assert known.retired(file(1, "/srv/w", previous="/models/other", size=MIB)) is None
    assert known.retired(file(1, "/srv/w", previous="/models/w", size=5)) is None
    assert known.retired(file(2, "/srv/w", previous="/models/w", size=MIB)) is None


def test_a_touch_is_its_actors() -> None:
    """Whatever process of the same entry point; for a day; of that model."""
    host = Host()
    shell, other = host.login(), host.login()
    known = ledger()
    known.touch(host.exec("cat", parent=shell), "llama", START)
    mine, theirs = host.exec("cp", parent=shell), host.exec("cp", parent=other)
    assert known.touched(mine, "llama", START, starter)
    assert known.touched(mine, None, START, starter)
    assert not known.touched(mine, "other", START, starter)
    assert not known.touched(theirs, "llama", START, starter)
    assert known.touched(mine, "llama", START + TOUCH_HOLDS, starter)
    assert not known.touched(mine, "llama", START + TOUCH_HOLDS + timedelta(seconds=1), starter)


def test_a_label_takes_old_touches_with_it() -> None:
    """What the agent's tool touched before anyone knew of an agent is the agent's."""
    host = Host()
    agent = host.exec("python3", parent=host.login())
    known = ledger()
    known.touch(host.exec("cat", parent=agent), "llama", START)
    agent.confirmed_agent = True
    assert known.touched(host.exec("cp", parent=agent), "llama", START, starter)


def test_an_open_that_nobody_is_seen_behind() -> None:
    """Counts for a file made from then on, or from a few seconds after."""
    known = ledger()
    known.opened((5, 1), START)
    second = timedelta(seconds=1)
    assert known.opened_around((5, 1), START - second, START + second)
    assert known.opened_around((5, 1), START + 2 * second, START + 9 * second)
    assert not known.opened_around((5, 1), START + 4 * second, START + 9 * second)
    assert not known.opened_around((5, 1), START - 9 * second, START - second)
    assert not known.opened_around((5, 2), START - second, START + second)


@pytest.mark.parametrize(
    ("link", "target", "found"),
    [
        ("/home/ann/w", "/models/llama/w", True),
        ("/home/ann/w", "../../models/llama/w", True),
        ("/home/ann/m", "/models/llama", True),
        ("/home/ann/m", "/models/llama/", True),
        ("/home/ann/all", "/", False),
        ("/home/ann/all", "/models", False),
        ("/home/ann/w", "/models/llama2/w", False),
        ("/home/ann/w", None, False),
        ("/cache/models--a/snapshots/1/w", "../../blobs/77", False),
        ("/cache/models--b/w", "/cache/models--a/blobs/77", True),
        ("/srv/real", "/data/store/w", True),
    ],
)
def test_where_symlinks_lead(link: str, target: str | None, found: bool) -> None:
    """To a file, to its folder, to what its path is a link to; not from everybody's folders, nor inside one cache."""
    files = [
        Protected("/models/llama/w", "llama", 5, 1, MIB, target="/data/store/w"),
        Protected("/cache/models--a/blobs/77", "a", 5, 2, MIB),
    ]
    assert (ledger().behind_symlink(file(9, link, target_path=target), outline(files)) is not None) is found


def outline(files: list[Protected]) -> Outline:
    """Arrange protected files for questions."""
    return Outline(lambda: files, float)


def test_a_symlink_to_the_folder_of_a_copy_leads_to_it_until_it_is_gone() -> None:
    """Copies are found by the folders they lie in, wherever they move."""
    known = ledger()
    made = known.made(file(2, "/srv/deep/copy"), ORIGIN, "llama", "copy", None, arrived=False)
    to = [file(9, "/a", target_path=folder) for folder in ("/srv/deep", "/data/new")]
    assert known.behind_symlink(to[0], outline([])) == (made, "/srv/deep")
    known.moved(made, "/data/new/copy")
    assert known.behind_symlink(to[0], outline([])) is None
    assert known.behind_symlink(to[1], outline([])) == (made, "/data/new")
    known.replaced((made.inode[0], made.inode[1]))
    assert known.behind_symlink(to[1], outline([])) is None


def test_a_symlink_to_a_copy_leads_to_its_origin() -> None:
    """Copies are files of the model like others."""
    known = ledger()
    made = known.made(file(2, "/srv/copy"), ORIGIN, "llama", "copy", None, arrived=False)
    assert known.behind_symlink(file(9, "/a", target_path="/srv/copy"), outline([])) == (made, "/srv/copy")


def test_everybodys_folders() -> None:
    """Naming one of these says nothing of a file in it."""
    assert [everybodys(path) for path in ("/", "/home", "/home/ann", "/tmp", "/home/ann/x", "/srv/llama")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


def test_everything_is_bounded_and_counted() -> None:
    """The oldest artefacts, names and touches go first."""
    known, host = ledger(limit=2), Host()
    for inode in (1, 2, 3):
        known.made(file(inode, f"/c{inode}"), ORIGIN, "llama", "copy", None, arrived=False)
        known.made(file(inode, f"/l{inode}"), ORIGIN, "llama", "hardlink", None, arrived=False)
        known.touch(host.exec("cat", parent=host.init, session=None), "llama", START)
        known.retire(Protected("/w", "llama", 5, inode, MIB))
    assert known.artefact(file(1)) is None
    assert known.name("/l1") is None
    assert known.name("/l3") is not None
    assert known.evicted == 3
    assert len(known._retired) == 2


def test_a_flood_of_touchers_pushes_out_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many processes of one login open a model; the agent's touch is remembered, and who touched what."""
    monkeypatch.setattr("replguard.provenance.ledger.TOUCHERS", 8)
    known, host = ledger(), Host()
    agent, crowd = host.login(), host.login()
    known.touch(agent, "llama", START)
    for _ in range(30):
        known.touch(host.exec("x", parent=crowd), "llama", START)
    assert known.touched(agent, "llama", START, starter)
    assert known.touched(crowd, "llama", START, starter)
    assert known.evicted == 23
    assert known.toucher(starter(agent))
    assert known.models_of(starter(agent)) == {"llama"}
    stranger = starter(host.service())
    assert not known.toucher(stranger)
    assert known.models_of(stranger) == frozenset()
