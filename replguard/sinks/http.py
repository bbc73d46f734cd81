"""Posting over HTTP with nothing but the standard library: no redirects, no other schemes, bounded answers."""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from replguard.sinks.base import Rejected
from replguard.sinks.secret import Secret, read

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
    """Posts bodies to one URL, waiting at most ``timeout`` seconds for each step of the exchange.

    Secrets are read at each post, so that they may change.
    """

    def __init__(self, url: str | Secret, headers: Mapping[str, str | Secret], timeout: float) -> None:
        self._url, self._headers, self._timeout = url, dict(headers), timeout
        if isinstance(url, str):
            check(url)
        for name, given in headers.items():
            value = given if isinstance(given, str) else ""
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

    def check(self) -> None:
        """Raise ValueError for a secret that cannot be used now."""
        for value in (self._url, *self._headers.values()):
            if isinstance(value, Secret):
                value.check()
        with contextlib.suppress(OSError):
            self._address()

    def _address(self) -> str:
        """Return the URL. Raises OSError where its file cannot be read, ValueError where that holds none."""
        if isinstance(self._url, str):
            return self._url
        try:
            return check(self._url.read())
        except ValueError:  # which would quote it
            raise ValueError(f"{self._url.path} holds no URL that begins with http:// or https://") from None

    def post(self, body: bytes) -> None:
        """Post. Raises OSError for what may pass, Rejected for an answer that will stay the same."""
        try:
            url = self._address()
        except ValueError as error:
            raise OSError(0, str(error)) from error
        headers = {name: read(value) for name, value in self._headers.items()}
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(_ANSWER)
        except urllib.error.HTTPError as error:
            error.close()
            text = f"{urlsplit(url).hostname} answered {error.code}"
            if 300 <= error.code < 500 and error.code not in _AGAIN:
                raise Rejected(text) from error
            raise OSError(0, text) from error
        except urllib.error.URLError as error:
            raise OSError(0, f"{urlsplit(url).hostname}: {error.reason}") from error
        except http.client.HTTPException as error:
            raise OSError(0, f"{urlsplit(url).hostname}: {type(error).__name__}") from error
