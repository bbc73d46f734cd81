"""The decoder of network.bpf.c: recorded bytes, and the same layout and object on both sides of the border."""

import struct
from pathlib import Path

import pytest
from support.elf import rebuilt, section

from replguard.kernel import bpf
from replguard.kernel.bpf import network

ROOT = Path(__file__).resolve().parents[3]
HERE = bytes(10) + b"\xff\xff\x7f\0\0\1"
ANSWERED = struct.pack("=IIQQQQIIHHBBBx", 4, 77, 9, 5, 1234, 6, 4026531840, 0, 40000, 8000, 1, 0, 6) + HERE + HERE


def test_a_record() -> None:
    """Every field comes out as it was put in, addresses as text."""
    record = network.record(ANSWERED)
    assert record.kind == network.REPLY
    assert (record.pid, record.inode, record.amount, record.space) == (77, 1234, 6, 4026531840)
    assert (record.source_port, record.destination_port) == (40000, 8000)
    assert (record.watched, record.accepted, record.transport) == (1, 0, "tcp")
    assert network.text(record.destination) == "127.0.0.1"
    assert network.text(bytes(15) + b"\1") == "::1"
    assert record._replace(start=123_456_789).ticks == 12


def test_a_short_record_is_an_error_that_the_reader_counts() -> None:
    """No record is trusted to be whole."""
    with pytest.raises(struct.error):
        network.record(ANSWERED[:-1])


@pytest.mark.parametrize("accepted", [0, 1])
def test_a_flow_and_its_record_name_the_same(accepted: int) -> None:
    """The key of the kernel's sum comes back from the record that is made of it; the port is that of the server."""
    key = struct.pack("=QIHBB16s", 5, 77, 443, accepted, 17, HERE)
    record = network.volume(key, 1000, 9)
    assert network.key(record) == key
    assert network.flow(key).address == HERE
    assert network.share(key) == struct.pack("=QII", 5, 77, 0)
    assert (record.kind, record.amount, record.when, record.transport) == (network.VOLUME, 1000, 9, "udp")
    assert (record.source_port, record.destination_port) == ((443, 0) if accepted else (0, 443))


def test_ports_are_bits() -> None:
    """As the kernel looks them up: words of 64, the lowest bit first."""
    held = network.ports({0, 8000, 65535})
    words = struct.unpack("<1024Q", held)
    assert [p for p in range(65536) if words[p >> 6] >> (p & 63) & 1] == [0, 8000, 65535]


def test_the_layout_of_the_c_structures_is_the_decoders() -> None:
    """Sizes and offsets that the compiler wrote into the object equal those of the struct formats."""
    told = struct.unpack("<15I", section(bpf.image(network.OBJECT), ".rodata.layout"))
    assert told == (
        *(network.RECORD, 40, 48, 56, 72, network.FLOW, 16, network.SUM.size),
        *(network.FLOWS, network.RING, network.FIRST, network.SHARE_KEY.size, network.SHARE),
        network.PACE,
        network.LISTENING,
    )


def test_the_object_is_what_its_source_gives(tmp_path: Path) -> None:
    """Built anew with the same compiler, the object is the same byte for byte; and it is small."""
    shipped = bpf.image(network.OBJECT)
    assert len(shipped) < 96 * 1024
    assert rebuilt(network.OBJECT, tmp_path) == shipped
