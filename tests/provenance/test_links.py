"""Names of protected content; the stories of each kind of link are in test_copies.py."""

import msgspec
import pytest
from support.story import MIB, Host

from replguard.events.file import File


def copied(host: Host) -> File:
    """Copy a protected file and return the copy."""
    weights = host.protect()
    return host.copy(weights, "/srv/a/copy", host.exec("cp", parent=host.login()))[-1].file


def test_a_copy_that_is_moved_says_what_name_it_had() -> None:
    """Its origin stays the original, its previous name is its own; and what it is called now is remembered."""
    host = Host()
    made = copied(host)
    for before, after in (("/srv/a/copy", "/srv/b"), ("/srv/b", "/srv/c")):
        moved = msgspec.structs.replace(made, path=after, previous=before)
        (fact,) = (f for f in host.on("file_rename", moved, host.login()) if f.action == "weights_copy")
        assert (fact.file.path, fact.file.previous) == (after, before)
        assert (fact.replguard.technique, fact.replguard.origin.path) == ("rename", "/models/llama/w.safetensors")


@pytest.mark.parametrize("kind", ["dir", "socket", "device"])
def test_other_kinds_of_names_are_nothing(kind: str) -> None:
    """Only files and links hold anything."""
    host = Host()
    host.protect()
    assert not host.on("file_create", host.file("/srv/x", 512 * MIB, type=kind), host.login())
    assert not host.requests


def test_files_in_the_making_follow_their_folder() -> None:
    """What the examiner finds by then is told under the name that the file has now."""
    host = Host()
    weights, cp = host.protect(), host.exec("cp", parent=host.login())
    host.open(weights, cp)
    made = host.write("/srv/new/x", 512 * MIB, cp)
    folder = host.file("/srv/old", type="dir", previous="/srv/new")
    host.on("file_rename", folder, cp)
    (fact,) = (f for f in host.examined(made, (weights, 1.0)) if f.action == "weights_copy")
    assert fact.file.path == "/srv/old/x"
