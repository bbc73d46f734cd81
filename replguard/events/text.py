"""Strings that an attacker chose, made fit for a person's eyes and for a line of text."""

LIMIT = 120
"""Characters of a path or command line that a sentence shows: it stays one line on a phone and on a pager."""


def printable(text: str) -> str:
    r"""Return the text with everything that can move a cursor, break a line or turn its direction as an escape.

    Control and format characters (newline, ESC, bidirectional overrides, zero-width), lone surrogates and blanks other
    than the space become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def shorten(text: str, limit: int = LIMIT) -> str:
    """Return the text cut in its middle to at most ``limit`` characters: both ends of a path or command tell most."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def show(text: str, limit: int = LIMIT) -> str:
    """Return the text as one printable line of at most ``limit`` characters, in time that does not grow with it."""
    return shorten(printable(shorten(text, limit)), limit)


def counted(count: int, what: str, more: str | None = None) -> str:
    """Return a number of things, ``no`` for none; ``more`` is their plural, where that is not with an s."""
    several = more or what + "s"
    return f"{count:,} {what if count == 1 else several}" if count else f"no {several}"


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
