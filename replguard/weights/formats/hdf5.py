"""HDF5, and Keras within it: a signature at 0, 512, 1024, 2048 … and a superblock behind it."""

from replguard.weights.formats.base import Format, FormatError, Source, Verdict

NAME = "hdf5"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
_KERAS = (b"keras_version", b"model_weights", b"layer_names", b"model_config")


def recognise(source: Source) -> Verdict:
    """Tell HDF5 by its signature and superblock; Keras by the names of its groups in the first 64 KiB."""
    at = next((at for at in (0, 512, 1024, 2048, 4096) if source.head[at : at + 8] == SIGNATURE), None)
    if at is None:
        return None
    (version,) = source.unpack("<B", at + 8)
    if version > 3:
        return FormatError(NAME, f"superblock version {version} is not known")
    offsets, lengths = source.unpack("<BB", at + (13 if version < 2 else 9))
    if offsets not in {2, 4, 8, 16} or lengths not in {2, 4, 8, 16}:
        return FormatError(NAME, f"offsets of {offsets} bytes are not known")
    return Format("keras" if any(word in source.head for word in _KERAS) else NAME)
