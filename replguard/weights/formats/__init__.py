"""Weights formats, told by content: one module a format, each bounded, none trusting the file."""

from collections.abc import Callable

from replguard.weights.formats import gguf, hdf5, numpy, onnx, pickle, safetensors, tensorflow, zipped
from replguard.weights.formats.base import FAULTS, Format, FormatError, Memory, Readable, Source, Verdict

__all__ = ["Format", "FormatError", "Memory", "Readable", "Verdict", "payload", "recognise"]

# Those with a magic number come first; ONNX has none, and is asked last.
_MODULES = (gguf, hdf5, numpy, zipped, pickle, safetensors, tensorflow, onnx)
_RECOGNISERS: list[tuple[str, Callable[[Source], Verdict]]] = [(m.NAME, m.recognise) for m in _MODULES]


def recognise(file: Readable) -> Verdict:
    """Return the format of a file, a FormatError if it only pretends to one, or None. Never raises for its content."""
    try:
        source = Source(file)
    except OSError as error:
        return FormatError("unknown", f"cannot be read: {error.strerror}")
    if not source.head:
        return None
    for name, ask in _RECOGNISERS:
        try:
            verdict = ask(source)
        except FAULTS as error:
            verdict = FormatError(name, f"the header does not hold together: {_sentence(error)}")
        except OSError as error:
            verdict = FormatError(name, f"cannot be read: {error.strerror}")
        if verdict is not None:
            return verdict
    return None


def payload(file: Readable, form: Format) -> tuple[int, int] | None:
    """Return the byte range of the tensors, or None where the format does not tell. May read up to 64 MiB (GGUF)."""
    if form.payload is None and form.name == gguf.NAME:
        try:
            return gguf.payload(file)
        except (*FAULTS, OSError):
            return None
    return form.payload


def _sentence(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:160]
