"""Programs that ran on are found by their links, with their maps as they were left; others are told from them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from replguard.errors import Unavailable
from replguard.kernel import adopted, bpf, libbpf
from replguard.kernel.adopted import Adopted
from replguard.kernel.bpf import process, volume
from replguard.kernel.libbpf import Programs
from replguard.kernel.ringbuf import Ring
from replguard.kernel.told import Told

pytestmark = pytest.mark.root
LEFT = {"process_exec_bounded": "", "process_access": "", "process_signal": ""}
Links = dict[str, int]


@pytest.fixture
def library() -> libbpf.Library:
    try:
        libbpf.check()
        return libbpf.Library()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def links(library: libbpf.Library) -> Iterator[Links]:
    """The links of the probe of processes, whose loader is gone."""
    programs = Programs(bpf.image(process.OBJECT), library, left=LEFT)
    programs.attach()
    kept = {name: os.dup(link) for name, link in programs.links().items()}
    programs.close()
    yield kept
    for link in kept.values():
        os.close(link)


def again(links: Links, library: libbpf.Library) -> Adopted:
    return Adopted({name: os.dup(link) for name, link in links.items()}, library, LEFT)


def test_what_was_done_meanwhile_lies_in_the_ring(links: Links, library: libbpf.Library) -> None:
    """Nothing is attached twice: a program that is begun is told once."""
    with subprocess.Popen(["true"]) as ran:
        pid = ran.pid
    programs = again(links, library)
    programs.attach()
    ring = Ring(programs.map("records"), process.RING)
    heads = [process.head(record) for record in ring.read()]
    assert [head.kind for head in heads if head.pid == pid] == [process.FORK, process.EXEC, process.EXIT]
    ring.close()
    assert set(programs.links()) == {"process_exec", "process_fork", "process_exit"}
    assert len(programs.programs()) == 3
    assert programs.number(programs.map("lost"), 0) == 0
    programs.close()


def test_what_lies_in_maps_is_as_it_was_left(links: Links, library: libbpf.Library) -> None:
    """Written by one, read by the next."""
    first = again(links, library)
    first.put(first.map("watched"), process.watch_key(1, 2), b"\7\0\0\0")
    first.close()
    second = again(links, library)
    assert dict(second.entries(second.map("watched"), 8, 4)) == {process.watch_key(1, 2): b"\7\0\0\0"}
    assert second.get(second.map("watched"), process.watch_key(1, 2), 4) == b"\7\0\0\0"
    second.close()


def test_the_section_that_each_object_has_is_found(library: libbpf.Library) -> None:
    """The kernel calls it by the object's name as well, which is a number."""
    left = {hook.program: "" for hook in volume.HOOKS if hook.program != "volume_map"}
    programs = Programs(bpf.image(volume.OBJECT), library, left=left)
    programs.attach()
    found = Adopted({name: os.dup(link) for name, link in programs.links().items()}, library, left)
    assert found.map(".bss") >= 0
    found.close()
    programs.close()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_others_are_told_from_them(links: Links, library: libbpf.Library) -> None:
    """A link under another's name, a map or a counter in place of a link, programs of two objects; none stays open."""
    other = Programs(bpf.image(process.OBJECT), library, left=LEFT)
    other.attach()
    wrong: list[Links] = [
        {"process_exit": links["process_exec"]},
        {"process_exec": other.map("records")},
        {"process_exec": links["process_exec"], "process_exit": other.links()["process_exit"]},
    ]
    before = open_files()
    for parts in wrong:
        with pytest.raises((Unavailable, OSError)):
            again(parts, library)
    counter = os.eventfd(0)
    with pytest.raises(OSError, match="bpf_obj_get_info"):
        Adopted({"process_exec": counter}, library, LEFT)
    assert open_files() == before
    other.close()


def test_a_map_of_another_size_is_told(links: Links, library: libbpf.Library) -> None:
    """Before it is read as if it were ours."""
    programs = again(links, library)
    programs.require("records", adopted.RINGBUF, process.RING)
    with pytest.raises(Unavailable, match="another map records"):
        programs.require("records", adopted.RINGBUF, 2 * process.RING)
    with pytest.raises(Unavailable, match="no map sums"):
        programs.map("sums")
    told = Told(programs, 8, 64)
    programs.fits(told.descriptor, adopted.LRU_HASH, 8, 64)
    with pytest.raises(Unavailable, match="another map"):
        programs.fits(told.descriptor, adopted.LRU_HASH, 16, 64)
    told.close()
    programs.close()
