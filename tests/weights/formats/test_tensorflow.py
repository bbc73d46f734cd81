"""TensorFlow checkpoint indexes, and the tables that only look like them."""

from support import modelfiles

from replguard.weights.formats import Format, Memory, recognise


def test_an_index_is_recognised() -> None:
    """By its footer and its empty first key."""
    assert recognise(Memory(modelfiles.tensorflow_index())) == Format("tensorflow")


def test_a_cut_index_is_none() -> None:
    """Without the footer nothing tells it."""
    assert recognise(Memory(modelfiles.tensorflow_index()[:-1])) is None
