"""The page that Prometheus reads, on the configured address alone; a port that is taken is tried again."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from replguard.events.health import Health
from replguard.metrics.table import Sheet
from replguard.nameless import NamelessHTTPServer

PATH = "/metrics"
AGAIN = 5.0
"""Seconds between two attempts to take the port."""
MOST = 8
"""Requests that are answered at once, so that no local user can make us a thousand threads. One more takes the place of
the oldest: a client that says nothing keeps nobody out."""
YIELD = 0.5
"""Seconds that the oldest may take to go."""
PATIENCE = 10.0
"""Seconds that a client may take for its request."""
_log = structlog.get_logger(__name__)


def address(listen: str) -> tuple[str, int]:
    """Return host and port of ``address:port``. Raises ValueError with the forms that are understood."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"'{listen}' is not an address; write for example 127.0.0.1:10947 or [::1]:10947")
    if (":" in host) != (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"'{listen}' is not an address; an IPv6 address stands in brackets: [::1]:10947")
    return host.strip("[]"), int(port)


class Page:
    """Serves the values that ``snapshot`` gives at each request. ``report`` is told of a port that cannot be taken."""

    def __init__(self, listen: str, snapshot: Callable[[], Sheet], report: Callable[[Health], None]) -> None:
        self._listen, self._report = listen, report
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Live(snapshot))
        self._stop = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None

    @property
    def port(self) -> int | None:
        """The port that is served, None while there is none."""
        return self._server.server_port if self._server else None

    def start(self) -> None:
        """Begin to serve, or to try for it. Without an address nothing is served."""
        if not self._listen:
            return
        self._bind()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the port back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
            self._thread = None

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)

    def _run(self) -> None:
        while self._server is None and not self._stop.wait(AGAIN):
            self._bind()
        server = self._server
        if server is None:
            return
        with server:
            while not self._stop.is_set():
                server.handle_request()

    def _bind(self) -> None:
        try:
            self._server = _Server(address(self._listen), self.text)
        except (OSError, ValueError) as error:
            reason = f"metrics cannot be served on {self._listen}: {getattr(error, 'strerror', None) or error}"
            if self.trouble is None:
                self._report(Health(component="metrics", state="failed", reason=reason))
            self.trouble = reason
            return
        if self.trouble is not None:
            self._report(Health(component="metrics", state="recovered"))
            self.trouble = None


class _Live(Collector):
    """Asks for the values when they are read."""

    def __init__(self, snapshot: Callable[[], Sheet]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Family]:
        return self._snapshot().families()


class _Server(NamelessHTTPServer):
    timeout = 0.5
    request_queue_size = 64
    daemon_threads = True
    block_on_close = False

    def __init__(self, where: tuple[str, int], text: Callable[[], bytes]) -> None:
        self.text = text
        self._room = threading.BoundedSemaphore(MOST)
        self._held: dict[int, socket.socket] = {}
        if ":" in where[0]:
            self.address_family = socket.AF_INET6
        super().__init__(where, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            for oldest in list(self._held.values())[:1]:
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            if not self._room.acquire(timeout=YIELD):
                self.shutdown_request(request)
                return
        self._held[id(request)] = request
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._held.pop(id(request), None)
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE
    server_version = "replguard"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer an error without a word of the request."""
        self._send(code, f"{HTTPStatus(code).phrase}\n".encode(), "text/plain; charset=utf-8")

    def log_message(self, *_: object) -> None:
        """Requests are no events, and their paths are whatever the client chose."""

    def _answer(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            page = self.server.text()
        except Exception:  # noqa: BLE001 - one bad number must not end the page
            _log.exception("metrics cannot be gathered")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self._send(HTTPStatus.OK, page, CONTENT_TYPE_PLAIN_0_0_4)

    def _send(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
