from replguard.log import names


def test_segments_are_in_order_and_of_the_stream(tmp_path):
    """Other streams and other files are left out; numbers order, not text."""
    for name in (
        "raw-1000000.jsonl",
        "raw-000002.jsonl.zst",
        "raw-000010.jsonl",
        "evidence-000001.jsonl",
        "raw-x.jsonl",
    ):
        (tmp_path / name).touch()
    assert [s.path.name for s in names.segments(tmp_path, "raw")] == [
        "raw-000002.jsonl.zst",
        "raw-000010.jsonl",
        "raw-1000000.jsonl",
    ]


def test_name_round_trip(tmp_path):
    """The name that is written is one that is found."""
    (tmp_path / names.name("evidence", 42)).touch()
    assert [s.number for s in names.segments(tmp_path, "evidence")] == [42]
