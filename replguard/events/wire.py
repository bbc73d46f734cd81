"""Events and alerts as lines of JSON: the same bytes in the log, in alerts.jsonl and on a terminal."""

import re
from typing import Any

import msgspec

from replguard.events.alert import Alert
from replguard.events.event import Event

_ENCODER = msgspec.json.Encoder()
_EVENT = msgspec.json.Decoder(Event)
decode_event = _EVENT.decode
"""``event`` for whoever reads millions: it raises one of ``UNREADABLE`` as it comes."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ALERT = msgspec.json.Decoder(Alert)
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(record: Any) -> bytes:
    r"""Return the record as one line of ASCII-safe JSON, without its newline.

    Besides what JSON demands, every character that could move a cursor, break a line or turn its direction (DEL, C1
    controls, U+2028, bidirectional overrides) is written as ``\uNNNN``: the line can be shown by ``cat``. Lone
    surrogates, which UTF-8 cannot hold, become a visible backslash escape.
    """
    try:
        line = _ENCODER.encode(record)
    except UnicodeEncodeError:
        line = _ENCODER.encode(clean(msgspec.to_builtins(record)))
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode()
    if text.isprintable():
        return line
    return "".join(char if char.isprintable() else _escape(char) for char in text).encode()


def event(line: bytes | str) -> Event:
    """Return the event of a line. Raises ValueError with a sentence for anything else."""
    try:
        return _EVENT.decode(line)
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def alert(line: bytes | str) -> Alert:
    """Return the alert of a line. Raises ValueError with a sentence for anything else."""
    try:
        return _ALERT.decode(line)
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def clean(value: Any) -> Any:
    """Return plain data in which lone surrogates, that UTF-8 cannot hold, are visible escapes."""
    if isinstance(value, str):
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
