"""Alerts as HTTP POST requests: the alert's JSON, or a template for whatever program takes them.

What it can lose: an alert that the far end refuses (a client error, a redirect), and the least important ones when
more than the queue holds wait for a far end that is away.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from replguard import __version__
from replguard.config import Seconds
from replguard.events import wire
from replguard.events.alert import Alert
from replguard.events.evidence import Kept
from replguard.sinks.base import Common, Sink
from replguard.sinks.http import Poster
from replguard.sinks.secret import Secret
from replguard.sinks.template import LIMIT, Template


class Settings(Common, frozen=True, kw_only=True):
    """``url_file`` names a file that holds the URL, ``headers_file`` files that hold the values of headers, by name.

    A name without a slash is that of a systemd credential. They are read at each post.
    ``template`` holds ``${field}`` places with the dotted names of the alert; without it the whole alert is sent.

    {doc}`../alerting` has templates for Slack and PagerDuty.
    ``words`` are what the far end says instead of a field's values: ``{replguard.state: {firing: trigger}}``.
    ``limit`` is the most characters that a value fills, cut in its middle: many far ends refuse what is longer.
    ``escape: markdown`` makes what fills a place harmless for chat programs. ``timeout`` is for each step.
    ``checkpoints``: those of the log are posted too, as JSON whatever the template; their ``event.kind`` is ``state``.
    """

    url: str = ""
    url_file: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    headers_file: dict[str, str] = msgspec.field(default_factory=dict)
    template: Any = None
    words: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    limit: Annotated[int, msgspec.Meta(ge=16)] = LIMIT
    content_type: str = "application/json"
    escape: Literal["none", "markdown"] = "none"
    timeout: Seconds = Seconds(10)
    checkpoints: bool = False


def open(settings: Settings) -> Sequence[Sink]:  # noqa: A001 - the name that the registry asks for
    """Return the sink. Raises ValueError for a URL or template that cannot work."""
    return (Webhook(settings),)


class Webhook(Sink):
    """One URL."""

    def __init__(self, settings: Settings) -> None:
        if bool(settings.url) == bool(settings.url_file):
            raise ValueError("needs one of 'url' and 'url_file'")
        headers: dict[str, str | Secret] = {
            "User-Agent": f"replguard/{__version__}",
            "Content-Type": settings.content_type,
            **settings.headers,
            **{name: Secret(file) for name, file in settings.headers_file.items()},
        }
        self._poster = Poster(settings.url or Secret(settings.url_file), headers, settings.timeout)
        self.checkpoints = settings.checkpoints
        given = settings.template
        self._template = (
            None
            if given is None
            else Template(given, settings.content_type, settings.escape, settings.words, settings.limit)
        )

    def check(self) -> None:
        self._poster.check()

    def send(self, alert: Alert) -> None:
        self._poster.post(wire.encode(alert) if self._template is None else self._template.fill(alert))

    def keep(self, checkpoint: Kept) -> None:
        self._poster.post(wire.encode(checkpoint))
