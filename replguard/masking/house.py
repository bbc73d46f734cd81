"""The tokens that only this house knows: expressions of the configuration, found by RE2 in time that is bounded."""

import re2  # type: ignore[import-untyped]

from replguard.masking.acts import literal
from replguard.masking.formats import HIDDEN


def options() -> re2.Options:
    """Return how RE2 is to search."""
    found = re2.Options()
    found.log_errors = False
    found.never_capture = True
    return found


def check(source: str) -> str:
    """Return an expression that may be looked for. Raises ValueError that says what is wrong with it."""
    if source.startswith("^") or source.endswith("$") or "\\C" in source:
        raise ValueError(f"'{source}' is looked for anywhere in an argument; write it without ^, $ and \\C")
    try:
        found = re2.compile(source.encode(), options())
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"'{source}' is no expression that RE2 knows: {error}") from error
    if found.search(b""):
        raise ValueError(
            f"'{source}' fits no text at all too; write what a token has at least, such as corp_[a-z0-9]{{20,}}"
        )
    return source


class House:
    """Hides whatever fits one of some expressions, which `check` takes."""

    def __init__(self, sources: tuple[str, ...] = ()) -> None:
        self.sources = sources
        self._known = [re2.compile(source.encode(), options()) for source in sources]

    def hide(self, text: str) -> str:
        """Return an argument with ``***`` for each token."""
        data = text.encode(errors="surrogatepass")
        for known in self._known:
            data = known.sub(lambda match: _shown(match[0]), data)
        return data.decode(errors="surrogatepass")


def _shown(found: bytes) -> bytes:
    """Return what is shown of what fits: all of it where a program would act on it."""
    text = found.decode(errors="surrogateescape")
    return HIDDEN.encode() if literal(text) == len(text) else found
