"""Alerts for Prometheus Alertmanager (API v2): posted to every member, firing ones again each minute.

What it can lose: nothing that outlasts a minute. Each member has its own queue; one that was away gets everything that
still fires when it is back. An alert that is no longer re-sent, because replguard ended, runs out by itself.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from replguard import __version__
from replguard.config import Seconds
from replguard.events import clock
from replguard.events.alert import Alert
from replguard.events.text import printable
from replguard.sinks.base import Common, Rejected, Sink
from replguard.sinks.http import Poster
from replguard.sinks.secret import Secret

RESEND = 60.0
"""Seconds between two posts of the same firing alert: what Prometheus itself does."""
OUTLIVE = timedelta(seconds=4 * RESEND)
"""How long a firing alert holds without being sent again."""
AFTER = timedelta(minutes=5)
"""How long a resolved alert is sent again, so that no member misses it."""
MOST = 1_000


class Settings(Common, frozen=True, kw_only=True):
    """``urls`` are all members of the cluster, without ``/api/v2/alerts``; ``labels`` are added to every alert.

    ``headers_file`` names files that hold the values of headers, by name; one without a slash is a systemd credential.
    They are read at each post.
    """

    urls: tuple[str, ...]
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    headers_file: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    timeout: Seconds = Seconds(10)


def open(settings: Settings) -> Sequence[Sink]:  # noqa: A001 - the name that the registry asks for
    """Return a sink for each member. Raises ValueError for a URL that cannot work."""
    if not settings.urls:
        raise ValueError("'urls' is empty: name every member of the cluster")
    return [Alertmanager(url, settings) for url in settings.urls]


class Alertmanager(Sink):
    """One member. Alerts are known by their id and level: a higher level is another alert, and ends the lower one."""

    reminds = True

    def __init__(self, url: str, settings: Settings) -> None:
        headers: dict[str, str | Secret] = {
            "User-Agent": f"replguard/{__version__}",
            "Content-Type": "application/json",
            **settings.headers,
            **{name: Secret(file) for name, file in settings.headers_file.items()},
        }
        self._poster = Poster(url.rstrip("/") + "/api/v2/alerts", headers, settings.timeout)
        self._labels = settings.labels
        self._firing: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._resolved: OrderedDict[tuple[str, str], tuple[dict[str, Any], datetime]] = OrderedDict()
        self._due: float = 0.0

    def check(self) -> None:
        self._poster.check()

    def send(self, alert: Alert) -> None:
        now = clock.now()
        if not self._firing and not self._resolved:
            self._due = clock.monotonic() + RESEND
        key = (alert.event.id, alert.rule.level)
        if alert.replguard.state == "resolved":
            ended = [each for each in self._firing if each[0] == key[0]] or [key]
        else:
            ended = [each for each in self._firing if each[0] == key[0] and each != key]
            self._resolved.pop(key, None)
            self._firing[key] = payload(alert, self._labels)
        for each in ended:
            made = self._firing.pop(each, None) or payload(alert, self._labels)
            self._resolved[each] = ({**made, "endsAt": _time(now)}, now)
        while len(self._firing) > MOST:
            self._firing.popitem(last=False)
        try:
            self._post(list(dict.fromkeys((key, *ended))), now)
        except Rejected:
            self._firing.pop(key, None)
            raise

    def pause(self) -> float | None:
        if not self._firing and not self._resolved:
            return None
        return max(0.1, self._due - clock.monotonic())

    def idle(self) -> None:
        if clock.monotonic() < self._due:
            return
        now = clock.now()
        self._due = clock.monotonic() + RESEND
        for key in [key for key, (_, since) in self._resolved.items() if now - since > AFTER]:
            del self._resolved[key]
        try:
            self._post([*self._firing, *self._resolved], now)
        except Rejected:
            # One alert that this version of Alertmanager does not take was told when it was sent first.
            return

    def _post(self, keys: list[tuple[str, str]], now: datetime) -> None:
        body = [{**self._firing[key], "endsAt": _time(now + OUTLIVE)} for key in keys if key in self._firing]
        body += [self._resolved[key][0] for key in keys if key in self._resolved]
        if body:
            self._poster.post(msgspec.json.encode(body))


def payload(alert: Alert, labels: dict[str, str]) -> dict[str, Any]:
    """Return an alert in Alertmanager's form. Labels tell it apart, annotations explain it."""
    about = alert.replguard
    named = {
        "alertname": alert.rule.name,
        "severity": alert.rule.level,
        "rule": alert.rule.id,
        "alert": alert.event.id,
        "incident": about.incident,
        "model": about.model,
        "instance": alert.host.name if alert.host else None,
    }
    told = {
        "summary": alert.message,
        "contain": "\n".join(map(printable, about.contain)),
        "allow": about.allow,
        "runbook_url": about.runbook,
    }
    return {
        "labels": {name: printable(value) for name, value in {**labels, **named}.items() if value},
        "annotations": {name: value for name, value in told.items() if value},
        "startsAt": _time(about.first_seen),
    }


def _time(when: datetime) -> str:
    return when.isoformat()
