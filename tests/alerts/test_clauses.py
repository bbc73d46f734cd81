from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from support.making import GIB, copy_fact, event, process

from replguard.alerts.clauses import address, clause, program, size
from replguard.events.catalogue import KINDS
from replguard.events.fact import Context, FileRef, Instance
from replguard.events.file import File
from replguard.events.gpu import Gpu
from replguard.events.network import Endpoint, Network


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, None),
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (4402341478, "4.1 GiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_size(number, text):
    """Bytes are told in binary units, unknown stays unknown."""
    assert size(number) == text


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (None, "an unknown address"),
        (Endpoint(ip="10.0.0.1", port=22), "10.0.0.1:22"),
        (Endpoint(ip="::1", port=22), "[::1]:22"),
        (Endpoint(domain="evil\n.example", port=443), "evil\\n.example:443"),
        (Endpoint(path="/run/x.sock"), "/run/x.sock"),
        (Endpoint(ip="10.0.0.1"), "10.0.0.1"),
    ],
)
def test_address(end, text):
    """Addresses are written as people write them."""
    assert address(end) == text


@pytest.mark.parametrize("action", sorted(KINDS))
def test_every_kind_has_words(action):
    """No event of the catalogue is told by its bare name, with or without its sections."""
    bare = clause(event(action, 1))
    full = clause(
        event(
            action,
            1,
            process=process(),
            target=process(7, "/usr/bin/vllm"),
            file=File(path="/a", previous="/b"),
            gpu=Gpu(memory_bytes=GIB),
            destination=Endpoint(ip="10.0.0.1", port=22),
            server=Endpoint(ip="0.0.0.0", port=8000),
            replguard=Context(
                model="m", bytes=GIB, status="confirmed", turns=3, endpoint="127.0.0.1:1", difference="+x"
            ),
        )
    )
    assert action not in bare
    assert action not in full
    assert bare.isprintable()
    assert full.isprintable()


def test_a_program_is_its_image():
    """A process cannot rename itself in an alert."""
    assert program(process(1, "/tmp/e\nvil", "sshd")) == "e\\nvil"
    assert program(None) == "an unknown program"


@pytest.mark.parametrize(
    ("about", "previous", "text"),
    [
        ({"technique": "copy", "confidence": "content"}, None, "copied model m: /m/w → /a (1.0 GiB, 40% of it)"),
        (
            {"technique": "rename", "confidence": "link", "share": 1.0},
            "/srv/copy",
            "moved model m: /srv/copy → /a (1.0 GiB)",
        ),
        ({"technique": "rename", "confidence": "link", "share": 1.0}, None, "moved model m: /m/w → /a (1.0 GiB)"),
        (
            {"technique": "transform", "confidence": "derived"},
            None,
            "made something derived from model m: /m/w → /a (1.0 GiB, 40% of its size)",
        ),
        (
            {"technique": "transform", "confidence": "derived", "status": "started"},
            None,
            "is making something derived from model m: /m/w → /a (1.0 GiB so far)",
        ),
    ],
)
def test_a_copy_says_from_where_to_where_and_how_much(about, previous, text):
    """What was moved may be a copy: the name that it had says so, not the origin of its content."""
    fields = {"model": "m", "share": 0.4, "origin": FileRef(path="/m/w")} | about
    file = File(path="/a", previous=previous, size=GIB)
    assert clause(event("weights_copy", 1, file=file, replguard=Context(**fields))) == text


def test_a_server_too_many_says_how_many_may_be():
    """That an entry allows some of them is no word for the one that it does not allow."""
    instance = Instance(id="i", count=3, max_instances=2, listen=("0.0.0.0:8001",))
    about = Context(status="over_limit", model="chat", instance=instance)
    told = event("server_live", 1, kind="enrichment", replguard=about)
    assert clause(told).endswith("(instance 3 of it, of at most 2 that may be)")
    unknown = replace(told, replguard=replace(about, instance=replace(instance, max_instances=None)))
    assert clause(unknown).endswith("(instance 3 of it, more than are allowed)")


def test_device_memory_says_whether_weights_were_used():
    """Memory of a device alone is anybody's; after weights were used it is what they are loaded into."""
    held = event("gpu_memory", 1, kind="enrichment", gpu=Gpu(memory_bytes=2**29))
    assert clause(held) == "holds 512.0 MiB of GPU memory"
    touched = replace(held, replguard=Context(touched=True, model="chat"))
    assert clause(touched) == "holds 512.0 MiB of GPU memory after using model chat"


def test_what_is_written_over_another_model_says_so():
    """That is another model gone, besides the copy."""
    assert "over another protected file" in clause(copy_fact(1, technique="overwrite"))


FAR = Endpoint(ip="203.0.113.9", port=22)
LOTS = Context(model="llama", bytes=60 << 20, destinations=1)


@pytest.mark.parametrize(
    ("about", "sections", "text"),
    [
        (LOTS, {"destination": FAR}, "sent 60.0 MiB to 203.0.113.9:22 after using model llama"),
        (
            replace(LOTS, protocols=("tcp", "udp"), since=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
            {"destination": FAR},
            "sent 60.0 MiB to 203.0.113.9:22 after using model llama (by tcp, udp, since 2026-01-02 03:04 UTC)",
        ),
        (
            replace(LOTS, destinations=7),
            {"destination": Endpoint()},
            "sent 60.0 MiB to 7 hosts after using model llama",
        ),
        (Context(), {"destination": Endpoint()}, "sent data to many hosts after using protected weights"),
        (
            replace(LOTS, protocols=("nfs4",)),
            {"destination": Endpoint(path="server:/x")},
            "sent 60.0 MiB to server:/x after using model llama (by nfs4)",
        ),
        (
            LOTS,
            {
                "destination": Endpoint(ip="203.0.113.9"),
                "source": Endpoint(port=8000),
                "network": Network(initiated=False),
            },
            "let 203.0.113.9 fetch 60.0 MiB after using model llama (from its port 8000)",
        ),
    ],
    ids=["plain", "since", "many", "unknown", "mount", "fetched"],
)
def test_egress_says_how_much_of_what_where_and_since_when(about, sections, text):
    """Also when another fetched it, when it went to many, and when nobody can say."""
    assert clause(event("weights_egress", 1, replguard=about, **sections)) == text
