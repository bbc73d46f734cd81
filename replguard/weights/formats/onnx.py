"""ONNX: a protobuf message without a magic number, told by its outermost fields and the first of its graph."""

from replguard.weights.formats.base import Format, FormatError, Source, Verdict

NAME = "onnx"
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
"""Fields of ModelProto in onnx.proto; 1 is ir_version, 7 the graph."""
_GRAPH_FIRST = {1, 2, 5, 10, 11, 12, 13, 14, 15, 16}
_MOST_FIELDS = 256
_NEWEST_IR = 64


def recognise(source: Source) -> Verdict:
    """Tell ONNX by walking the outermost fields only, at most 256 of them; nothing is descended into."""
    head = source.head
    if len(head) < 16 or head[0] != 8 or not 1 <= head[1] <= _NEWEST_IR:
        return None
    at, graph = 0, None
    for _ in range(_MOST_FIELDS):
        if at >= source.size:
            break
        field, wire, at = _tag(source, at)
        if field not in _MODEL_FIELDS or wire not in {0, 2}:
            return None
        value, at = _varint(source, at)
        if wire == 2:
            if field == 7:
                graph = (at, value)
                break
            at += value
    if graph is None or graph[1] < 4:
        return None
    start, length = graph
    field, wire, _ = _tag(source, start)
    if field not in _GRAPH_FIRST or wire != 2:
        return None
    if length > 2**31:
        return FormatError(NAME, f"the graph claims {length} bytes, more than a message can hold")
    return Format(NAME, start, None, complete=start + length <= source.size)


def _tag(source: Source, at: int) -> tuple[int, int, int]:
    value, at = _varint(source, at)
    return value >> 3, value & 7, at


def _varint(source: Source, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(source.read(at, min(10, source.size - at))):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, at + index + 1
    raise ValueError("a number does not end")
