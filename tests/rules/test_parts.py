"""The texts that are looked for inside a field."""

from replguard.rules.parts import Parts


def test_a_text_has_one_number():
    """Whoever asks for it."""
    parts = Parts()
    first = parts.numbers(["a", "b"])
    assert parts.numbers(["b", "c"]) & first == parts.numbers(["b"])
    assert len(parts.texts) == 3
    assert sorted(parts.texts.values()) == [0, 1, 2]
