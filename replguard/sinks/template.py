"""Bodies with ``${field}`` places: what an attacker chose can fill a place, and never leave it."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

import msgspec

from replguard import yamlfile
from replguard.events.alert import Alert
from replguard.events.names import paths
from replguard.events.text import printable, show

_PLACE = re.compile(r"\$\{([^}]*)\}")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")
_MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u200b"}
LIMIT = 8_000
"""Characters of a value, where nothing else is said: more than any sentence or command has."""
FORM = "application/x-www-form-urlencoded"


def fields() -> frozenset[str]:
    """Return the names that a place may have: the dotted ECS names of an alert."""
    return paths(Alert)


class Template:
    """A body with places, checked when it is made. Raises ValueError for what is wrong with it.

    For a JSON content type the template is a JSON text or the structure itself; a string that is one place alone takes
    the value with its type. Otherwise it is a text, and values are escaped for forms where the type says so. ``words``
    are what takes the place of values of a field: others have their own words for *firing* or *critical*. ``limit`` is
    the most characters of a value: far ends refuse what is longer, and an attacker chooses how long a path is.
    """

    def __init__(
        self,
        given: Any,
        content_type: str,
        escape: str = "none",
        words: Mapping[str, Mapping[str, str]] | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._words, self._limit = words or {}, limit
        kind = content_type.partition(";")[0].strip().lower()
        self._json = kind == "application/json" or kind.endswith("+json")
        self._escape: Callable[[str], str] = markdown if escape == "markdown" else str
        self._form = kind == FORM
        self._body = given
        if self._json and isinstance(given, str):
            try:
                self._body = json.loads(given)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"'template' is not JSON, as content_type says: {error}") from error
        if not self._json and not isinstance(given, str):
            raise ValueError("'template' must be a text for this content_type")
        for name in sorted(set(_PLACE.findall(json.dumps(self._body, ensure_ascii=False)))):
            _check("template", name)
        for name in self._words:
            _check("words", name)

    def fill(self, alert: Alert) -> bytes:
        """Return the body for an alert."""
        values = msgspec.to_builtins(alert)
        if self._json:
            return json.dumps(self._filled(self._body, values)).encode()
        return str(self._text(self._body, values)).encode("utf-8", "backslashreplace")

    def _filled(self, part: Any, values: Any) -> Any:
        if isinstance(part, dict):
            return {key: self._filled(item, values) for key, item in part.items()}
        if isinstance(part, list):
            return [self._filled(item, values) for item in part]
        if not isinstance(part, str):
            return part
        alone = _PLACE.fullmatch(part)
        if alone is None:
            return self._text(part, values)
        value = self._look(values, alone[1])
        return self._clean(value) if isinstance(value, str) else value

    def _text(self, text: str, values: Any) -> str:
        return _PLACE.sub(lambda match: self._shown(self._look(values, match[1])), text)

    def _look(self, values: Any, name: str) -> Any:
        value = _look(values, name)
        return self._words.get(name, {}).get(value, value) if isinstance(value, str) else value

    def _clean(self, text: str) -> str:
        return self._escape(show(text, self._limit))

    def _shown(self, value: Any) -> str:
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        return quote_plus(self._clean(text)) if self._form else self._clean(text)


def markdown(text: str) -> str:
    """Return the text so that chat programs show it as it is: no formatting, no links, nobody mentioned."""
    safe = _MARKDOWN.sub(r"\\\1", printable(text))
    return "".join(_MARKUP.get(char, char) for char in safe)


def _check(key: str, name: str) -> None:
    known = fields()
    if name not in known:
        raise ValueError(f"'{key}': {yamlfile.unknown_key(name, known) if name else 'a place without name'}")


def _look(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
