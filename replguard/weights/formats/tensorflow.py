"""TensorFlow checkpoints: the index is a sorted string table; its data shards have no mark and are told by name."""

from replguard.weights.formats.base import Format, Source, Verdict

NAME = "tensorflow"
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
"""Last eight bytes of a table, kTableMagicNumber of tensorflow/core/lib/io/format.h; LevelDB has the same."""


def recognise(source: Source) -> Verdict:
    """Tell a checkpoint index by the footer and the empty first key, whose value says how many shards there are."""
    # A TensorFlow bundle begins with the entry (shared 0, key length 0, value length n) and a BundleHeaderProto whose
    # first field is num_shards (tag 8); a LevelDB key is never empty.
    head = source.head
    if source.size < 48 or len(head) < 5 or head[:2] != b"\0\0" or not 2 <= head[2] < 64 or head[3] != 8:
        return None
    if source.read(source.size - 8, 8) != MAGIC:
        return None
    return Format(NAME)
