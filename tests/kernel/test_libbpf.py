"""Loading: each thing that a host may lack is a sentence, and a probe that a kernel lacks costs no other."""

import gc
import sys
import threading
from pathlib import Path

import pytest

from replguard.errors import Unavailable
from replguard.kernel import bpf, libbpf
from replguard.kernel.bpf import network, process


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return a folder that is the /proc of a capable host."""
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "pid").write_text("")
    (tmp_path / "self" / "status").write_text("Name:\tx\nCapEff:\t000001ffffffffff\n")
    (tmp_path / "btf").write_text("")
    (tmp_path / "lockdown").write_text("none [integrity] confidentiality\n")
    return tmp_path


def check(host: Path) -> None:
    libbpf.check(str(host / "btf"), str(host / "lockdown"), str(host))


def test_without_rights_it_names_the_capabilities(host: Path) -> None:
    """CAP_BPF alone is not enough; together with CAP_PERFMON it is."""
    (host / "self" / "status").write_text(f"CapEff:\t{1 << 39:016x}\n")
    with pytest.raises(Unavailable, match="CAP_PERFMON"):
        check(host)
    (host / "self" / "status").write_text(f"CapEff:\t{1 << 39 | 1 << 38:016x}\n")
    with pytest.raises(Unavailable, match="--pid=host"):
        check(host)


def test_without_btf_it_names_the_kernel_option(host: Path) -> None:
    """Distributions' kernels have it; small ones may not."""
    (host / "btf").unlink()
    with pytest.raises(Unavailable, match="CONFIG_DEBUG_INFO_BTF"):
        check(host)


def test_a_locked_down_kernel_is_named(host: Path) -> None:
    """Integrity allows eBPF, confidentiality does not."""
    with pytest.raises(Unavailable, match="--pid=host"):
        check(host)
    (host / "lockdown").write_text("none integrity [confidentiality]\n")
    with pytest.raises(Unavailable, match="locked down"):
        check(host)


def test_without_the_library_it_names_the_package(tmp_path: Path) -> None:
    """The folders are fixed: nothing else is searched."""
    with pytest.raises(Unavailable, match="apt-get install libbpf1"):
        libbpf.Library((str(tmp_path),))


def test_a_file_that_is_no_library_is_said(tmp_path: Path) -> None:
    """The path is in the sentence."""
    (tmp_path / libbpf.LIBRARY).write_bytes(b"no library")
    with pytest.raises(Unavailable, match=str(tmp_path)):
        libbpf.Library((str(tmp_path),))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def library() -> libbpf.Library:
    try:
        return libbpf.Library()
    except Unavailable as error:
        pytest.skip(str(error))


def test_an_object_that_is_none_is_said() -> None:
    """Nothing is printed by the library itself."""
    with pytest.raises(Unavailable, match="cannot open"):
        libbpf.Programs(b"no object at all", library())


def programs(image: bytes) -> libbpf.Programs:
    try:
        libbpf.check()
    except Unavailable as error:
        pytest.skip(str(error))
    return libbpf.Programs(image, library())


@pytest.mark.root
def test_a_probe_that_the_kernel_lacks_is_left_out_and_named() -> None:
    """The others run; their numbers can be read; nothing stays in the kernel."""
    image = bpf.image(process.OBJECT).replace(b"tp_btf/sched_process_fork", b"tp_btf/sched_process_f0rk")
    descriptors = open_files()
    loaded = programs(image)
    try:
        loaded.attach()
        assert set(loaded.missing) == {"process_f0rk"}  # the object keeps both names in the same bytes
        assert loaded.number(loaded.map("lost"), process.FORK) == 0
        with pytest.raises(Unavailable, match="no map"):
            loaded.map("nothing")
    finally:
        loaded.close()
    assert open_files() == descriptors


@pytest.mark.root
def test_if_the_kernel_refuses_all_the_first_reason_is_told() -> None:
    """Nothing stays open."""
    descriptors = open_files()
    with pytest.raises(Unavailable, match="process_exec_bounded: No such process"):
        programs(bpf.image(process.OBJECT).replace(b"tp_btf/s", b"tp_btf/z"))
    assert open_files() == descriptors


@pytest.mark.root
def test_the_entries_of_a_map_are_read_many_at_a_time() -> None:
    """Each once, however many there are; what was removed is gone."""
    loaded = programs(bpf.image(network.OBJECT))
    try:
        sums = loaded.map("sums")
        assert list(loaded.entries(sums, network.FLOW, network.SUM.size)) == []
        keys = {number.to_bytes(network.FLOW, "little"): network.SUM.pack(number, 1) for number in range(1000)}
        for key, value in keys.items():
            loaded.put(sums, key, value)
        assert dict(loaded.entries(sums, network.FLOW, network.SUM.size)) == keys
        for key in keys:
            loaded.remove(sums, key)
        assert list(loaded.entries(sums, network.FLOW, network.SUM.size)) == []
        with pytest.raises(OSError, match="batch"):
            list(loaded.entries(loaded.map("records"), network.FLOW, network.SUM.size))
    finally:
        loaded.close()


def test_what_is_said_outlives_who_asked_and_stays_in_its_thread() -> None:
    """The library has one place for all to complain to: it must not go with the first that is given up."""
    kept = library()
    for _ in range(3):
        library()
    gc.collect()
    said: list[str] = []

    def refused() -> None:
        with pytest.raises(Unavailable) as error:
            libbpf.Programs(b"no object at all", kept)
        said.append(str(error.value))

    other = threading.Thread(target=refused)
    other.start()
    other.join()
    assert "libbpf cannot open the eBPF object" in said[0]
    assert libbpf._notes.lines == []


def test_the_library_beside_the_interpreter_comes_first(tmp_path: Path) -> None:
    """The archive carries one; a host with neither is told which package has it."""
    assert libbpf.FOLDERS[0] == f"{sys.prefix}/lib"
    ours, systems = tmp_path / "ours", tmp_path / "systems"
    for folder in (ours, systems):
        folder.mkdir()
        (folder / libbpf.LIBRARY).touch()
    assert libbpf.find((str(ours), str(systems))) == f"{ours}/{libbpf.LIBRARY}"
    (ours / libbpf.LIBRARY).unlink()
    assert libbpf.find((str(ours), str(systems))) == f"{systems}/{libbpf.LIBRARY}"
    with pytest.raises(Unavailable, match="apt-get install libbpf1"):
        libbpf.find((str(ours),))
