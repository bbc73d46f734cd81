"""Posting over HTTP with nothing but the standard library: no redirects, no other schemes, bounded answers."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from replguard.sinks.base import Rejected

_AGAIN = frozenset({408, 425, 429})
"""Client errors that pass: timeout, too early, too many requests."""
_ANSWER = 64 * 2**10


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect could lead an alert anywhere: it is told as an error instead."""

    def redirect_request(self, *_: object) -> None:
        return None


def check(url: str) -> str:
    """Return the URL. Raises ValueError with a sentence when it is none that can be posted to."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ValueError(f"'{url}' is not a URL: {error}") from error
    if not fits or not url.isprintable() or " " in url:
        raise ValueError(f"'{url}' is not a URL that begins with http:// or https:// and names a host")
    return url


class Poster:
    """Posts bodies to one URL, waiting at most ``timeout`` seconds for each step of the exchange."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        self._url, self._headers, self._timeout = check(url), dict(headers), timeout
        for name, value in headers.items():
            if not (name + value).isascii() or not (name + value).isprintable() or ":" in name:
                raise ValueError(f"'headers': '{name}' is not a header")
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _Stay(),
        ):
            self._opener.add_handler(handler)

    def post(self, body: bytes) -> None:
        """Post. Raises OSError for what may pass, Rejected for an answer that will stay the same."""
        request = urllib.request.Request(self._url, data=body, headers=self._headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(_ANSWER)
        except urllib.error.HTTPError as error:
            error.close()
            text = f"{urlsplit(self._url).hostname} answered {error.code}"
            if 300 <= error.code < 500 and error.code not in _AGAIN:
                raise Rejected(text) from error
            raise OSError(0, text) from error
        except urllib.error.URLError as error:
            raise OSError(0, f"{urlsplit(self._url).hostname}: {error.reason}") from error
        except http.client.HTTPException as error:
            raise OSError(0, f"{urlsplit(self._url).hostname}: {type(error).__name__}") from error
