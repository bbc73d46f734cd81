"""Pickles that hold tensors (torch.save of old, joblib): their opcodes are read, and nothing is ever unpickled."""

import io

from replguard.weights.formats.base import Format, Source, Verdict

NAME = "pytorch"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began before 1.6: the pickle of its magic number 0x1950a86a20f9469cfc6c."""
_MOST_OPCODES = 5_000
_TORCH = ("torch._utils", "torch.", "torch ")
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray", "joblib.numpy_pickle", "numpy ndarray")


def recognise(source: Source) -> Verdict:
    """Tell a pickle of tensors by the names that its first opcodes, at most 5,000 in 64 KiB, would import."""
    head = source.head
    if head.startswith(LEGACY):
        return Format(NAME)
    if len(head) < 4 or head[0] != 0x80 or not 2 <= head[1] <= 5:
        return None
    for name in _imports(head):
        if name.startswith(_TORCH):
            return Format(NAME)
        if name.startswith(_ARRAYS):
            return Format("pickle")
    return None


def _imports(data: bytes) -> list[str]:
    import pickletools

    names: list[str] = []
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            if count >= _MOST_OPCODES:
                break
            if opcode.name == "GLOBAL" or ("UNICODE" in opcode.name and isinstance(argument, str)):
                names.append(str(argument)[:200])
    except ValueError:
        # Cut off by our own bound, or hostile; what was read until here still counts.
        pass
    return names
