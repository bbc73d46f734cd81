"""What is assigned by name inside one argument: variables, options, headers, query parameters, JSON and the like."""

import re

from replguard.masking.acts import literal
from replguard.masking.names import OPAQUE, Kind, hidden, kind, scheme, spared

_FIELD = re.compile(
    r"""(?:(?<![\w$.%-])|(?<=%26)|(?<=%20)|(?<=%3F))(-*+)([A-Za-z_][\w.-]*+)(\\*+["'])?"""
    r"""(\]?[ \t]*+(?::=|=>|==?|:|%3[ADad])[ \t]*+)"""
)
_SIGN = re.compile(r"[=:]|%3[ADad]")
_QUOTE = re.compile(r"""(\\*+)(["'`])""")
_WORD = re.compile(r"(?:\\.|[^\s;|&<>()'\"\\`])*+", re.DOTALL)
_ITEM = re.compile(r"[^&;,#\s'\"}\]]*+")
_ENCODED = re.compile(r"(?:(?!%26)[^&;,#\s'\"}\]])*+")
_SEPARATE = re.compile(r"=[ \t]+")
"""In a shell, an empty variable for the command that follows."""
_UP_TO = {quote: re.compile(rf"[^{quote}]*+") for quote in "\"'`"}
_CLOSED = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*+", re.DOTALL) for quote in "\"'`"}
_ESCAPED = re.compile(r"(?:[^\\]|\\(?![\\\"'`]))*+")
_CALL = re.compile(r"[A-Za-z_][\w.]{0,64}\(")
"""A program's own words, as in ``python -c``: what is called is no secret."""
_MORE = re.compile(r"[;,&]\s?[A-Za-z][\w .-]{0,40}+=")
"""What follows one item of a list."""
_BLANK = re.compile(r"\s|$")
_COMMAND = re.compile(r"\s(?:-|[^;|&<>$`()/=]*+[;|&<>$`()/=])")
"""What follows a value and is rather a command than more of it."""


def hide(text: str, *, in_line: bool) -> str:
    """Return an argument with what its fields say of credentials hidden. ``in_line``: it is a line for a shell."""
    if not _SIGN.search(text):
        return text
    blank = _BLANK.search(text)
    first = blank.start() if blank else len(text)
    kept, done, at = list[str](), 0, 0
    while field := _FIELD.search(text, at):
        at = field.end()
        found = _kind(field, text)
        if found is None:
            continue
        if in_line and _SEPARATE.fullmatch(field[4]):
            continue
        quote = _QUOTE.match(text, at)
        begin = quote.end() if quote else at
        outer = not in_line and field.start() <= first
        left = spared(found, text, begin, in_line=in_line and (quote is None or quote[2] != "'"))
        if left is None and quote is None and not outer and (called := _CALL.match(text, begin)):
            left = called.end()
        if left is not None:
            at = max(at, left)
            continue
        begin = scheme(text, begin)
        end = _end(field, text, begin, found, quote, outer=outer)
        shown = begin + literal(text[begin:end], outer=outer and quote is None)
        if shown > begin:
            kept += [text[done:begin], hidden(found, text[begin:shown])]
            done = at = shown
        elif word := _WORD.match(text, begin):
            at = word.end()
    return "".join((*kept, text[done:])) if kept else text


def _kind(field: re.Match[str], text: str) -> Kind | None:
    """Return what the name of a field says; a colon alone may part an image and its tag, or host and port."""
    found = kind(field[2])
    if found in (None, Kind.ALWAYS) or field[3] or field[4] != ":":
        return found
    name = field[2]
    header = name[0].isupper() or name[:2] == "x-" or name in ("authorization", "cookie")
    if text[field.start() - 1 : field.start()] in ("/", "@"):
        return None
    return found if header or found is Kind.PAIR else Kind.OPAQUE


def _end(field: re.Match[str], text: str, begin: int, found: Kind, quote: re.Match[str] | None, *, outer: bool) -> int:
    """Return where a value ends. ``outer``: no shell will part it from what follows in its argument."""
    start = field.start()
    before = text[start - 1 : start]
    if quote is not None:
        closed = _ESCAPED if quote[1] else _CLOSED[quote[2]]
        match = closed.match(text, begin)
        return match.end() if match else begin
    if found is Kind.OPAQUE and (match := OPAQUE.match(text, begin)):
        return match.end()
    if field[4][:1] == "%":
        match = _ENCODED.match(text, begin)
    elif field[3] or (before and before in ",;?&{#"):
        match = _ITEM.match(text, begin)
    elif (before and before in "\"'`") or outer:
        match = _UP_TO[before].match(text, begin) if before and before in "\"'`" else None
        end = match.end() if match else len(text)
        if ":" in field[4] or field[1]:
            return end
        item = _ITEM.match(text, begin)
        if item and not field[2].isupper() and _MORE.match(text, item.end(), end):
            return item.end()
        if not _COMMAND.search(text, begin, end):
            return end
        match = _WORD.match(text, begin)
    else:
        match = _WORD.match(text, begin)
    return match.end() if match else begin
