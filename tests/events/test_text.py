import pytest

from replguard.events.text import counted, printable, shorten, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/models/a b.gguf", "/models/a b.gguf"),
        ("a\nb\r\t", "a\\nb\\r\\t"),
        ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200bb\u2028", "a\\u200bb\\u2028"),
        ("\udcff", "\\udcff"),
        ("é漢\U0001f600", "é漢\U0001f600"),
    ],
)
def test_printable(text, shown):
    """Whatever could drive a terminal or forge a line is written as an escape, the rest stays as it is."""
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_shorten_keeps_both_ends():
    """The beginning and the end of a long path survive."""
    text = "/begin" + "x" * 5000 + "end"
    assert shorten(text, 21) == "/beginxxxx…xxxxxxxend"
    assert len(shorten(text)) == 120
    assert shorten("short") == "short"


def test_show_bounds_hostile_text():
    """A string of nothing but control characters does not outgrow the limit when it is escaped."""
    assert len(show("\n" * 10_000_000)) == 120
    assert show("\n" * 10_000_000).isprintable()


def test_a_count_is_told_as_one_or_as_several():
    """With its plural, where that is not with an s."""
    assert [counted(0, "block"), counted(1, "block"), counted(2000, "block")] == [
        "no blocks",
        "1 block",
        "2,000 blocks",
    ]
    assert [counted(1, "process", "processes"), counted(2, "process", "processes")] == ["1 process", "2 processes"]
