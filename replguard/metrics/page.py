"""The page that Prometheus reads, on the configured address alone; a port that is taken is tried again."""

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from replguard.events import clock
from replguard.events.health import Health
from replguard.metrics.basic import Users
from replguard.metrics.table import Sheet
from replguard.metrics.web import Guarded, Watched, exposed
from replguard.nameless import NamelessHTTPServer

PATH = "/metrics"
AGAIN = 5.0
"""Seconds between two attempts to take the port."""
MOST = 8
"""Requests that are answered at once, so that no local user can make us a thousand threads. One more takes the place of
the oldest of the address that has most: a client that says nothing keeps nobody out, nor does one that floods us."""
YIELD = 0.5
"""Seconds that the oldest may take to go."""
PATIENCE = 10.0
"""Seconds that a client may take for its request, however it spreads it over them."""
HEAD = 16 * 2**10
"""Bytes of a request."""
SHARE = 9.0
"""A page is shown again for so many times the time that it took to make: a tenth of a core, whoever asks how often."""
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
    """Serves the values that ``snapshot`` gives to whom the file ``web_config`` lets in, everybody where there is none.

    ``report`` is told of a port that cannot be taken, and of a file that is wrong: then nobody is answered.
    """

    def __init__(
        self, listen: str, snapshot: Callable[[], Sheet], report: Callable[[Health], None], web_config: str = ""
    ) -> None:
        self._listen, self._report = listen, report
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Live(snapshot))
        self._web_config, self._web = web_config, Watched(web_config)
        self._making = threading.Lock()
        self._made, self._good_until = b"", 0.0
        self._stop = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._unbound: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why nobody can read the page, None while it can be read."""
        return self._unbound or self._web.trouble

    @property
    def port(self) -> int | None:
        """The port that is served, None while there is none."""
        return self._server.server_port if self._server else None

    def start(self) -> None:
        """Begin to serve, or to try for it. Without an address nothing is served."""
        if not self._listen:
            return
        if told := exposed(self._listen, self._web_config):
            self._report(Health(component="metrics", state="degraded", reason=told))
        self._look()
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
        """Return the page, a moment old where it is asked for again and again."""
        with self._making:
            if (began := clock.monotonic()) >= self._good_until:
                self._made = generate_latest(self._registry)
                now = clock.monotonic()
                self._good_until = now + SHARE * (now - began)
            return self._made

    def _run(self) -> None:
        while self._server is None and not self._stop.wait(AGAIN):
            self._look()
            self._bind()
        server = self._server
        if server is None:
            return
        with server:
            while not self._stop.is_set():
                server.handle_request()
                server.expire()
                self._look()

    def _look(self) -> None:
        """Heed what the web configuration says now."""
        before = self._web.trouble
        self._web.look()
        if self._web.trouble == before:
            return
        if self._web.trouble is None:
            self._report(Health(component="metrics", state="recovered"))
        else:
            reason = f"nobody is shown metrics, for metrics.web_config is wrong: {self._web.trouble}"
            self._report(Health(component="metrics", state="failed", reason=reason))

    def _bind(self) -> None:
        try:
            self._server = _Server(address(self._listen), self.text, self._web)
        except (OSError, ValueError) as error:
            reason = f"metrics cannot be served on {self._listen}: {getattr(error, 'strerror', None) or error}"
            if self._unbound is None:
                self._report(Health(component="metrics", state="failed", reason=reason))
            self._unbound = reason
            return
        if self._unbound is not None:
            self._report(Health(component="metrics", state="recovered"))
            self._unbound = None


class _Live(Collector):
    """Asks for the values when they are read."""

    def __init__(self, snapshot: Callable[[], Sheet]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Family]:
        return self._snapshot().families()


class Bucket:
    """So many at once, and one more each ``interval`` seconds; without an interval any number."""

    def __init__(self, interval: float, burst: int) -> None:
        self._interval, self._burst = interval, burst
        self._lock = threading.Lock()
        self._left, self._at = float(burst), clock.monotonic()

    def takes(self) -> bool:
        """Whether there is room for one more, which is then taken."""
        if not self._interval:
            return True
        with self._lock:
            now = clock.monotonic()
            self._left = min(self._burst, self._left + (now - self._at) / self._interval)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


@dataclass(eq=False, slots=True)
class _Client:
    """A connection that is being answered; ``who`` is the address that it comes from."""

    connection: socket.socket
    who: str
    since: float


class _Server(NamelessHTTPServer):
    timeout = 0.5
    request_queue_size = 64
    daemon_threads = True
    block_on_close = False

    def __init__(self, where: tuple[str, int], text: Callable[[], bytes], web: Watched) -> None:
        self.text, self.web = text, web
        self._users = Users({})
        self._pace = Bucket(0.0, 0)
        self._guarded: Guarded | None = None
        self._room = threading.BoundedSemaphore(MOST)
        self._held: dict[int, _Client] = {}
        if ":" in where[0]:
            self.address_family = socket.AF_INET6
        super().__init__(where, _Handler)

    def guarded(self) -> tuple[Guarded, Users, Bucket] | None:
        """Return what holds for who asks now; None if nobody is to be answered."""
        now = self.web.now
        if now is not None and now is not self._guarded:
            self._users, self._pace = Users(now.users), Bucket(now.pace.interval, now.pace.burst)
            self._guarded = now
        return None if now is None else (now, self._users, self._pace)

    def expire(self) -> None:
        """Let go who took too long."""
        late = clock.monotonic() - PATIENCE
        for client in list(self._held.values()):
            if client.since < late:
                _hang_up(client.connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            clients = list(self._held.values())
            most = Counter(client.who for client in clients).most_common(1)
            oldest = next((client for client in clients if most and client.who == most[0][0]), None)
            if oldest is not None:
                _hang_up(oldest.connection)
            if not self._room.acquire(timeout=YIELD):
                self.shutdown_request(request)
                return
        self._held[id(request)] = _Client(request, source(request, client_address[0]), clock.monotonic())
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._held.pop(id(request), None)
            self._room.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, by TLS where that is asked for; here, where only its own thread waits for it."""
        found = self.guarded()
        if found is None:
            return
        guarded = found[0]
        if guarded.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(PATIENCE)
        with guarded.tls.wrap_socket(request.dup(), server_side=True) as secured:
            if not guarded.names or guarded.names & set(_names(secured)):
                super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _names(connection: ssl.SSLSocket) -> Iterator[str]:
    """Yield the alternative names of a client's certificate, which was verified."""
    known: dict[str, Any] = connection.getpeercert() or {}
    for _, name in known.get("subjectAltName", ()):
        yield str(name)


def source(connection: socket.socket, address: str) -> str:
    """Return who asks: all of this host are one, and of IPv6 all of one network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
        ours = str(connection.getsockname()[0])
    except (ValueError, OSError):
        return address
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or address == ours:
        return "here"
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


class _Head:
    """What is read of a request: no more than so much, lest headers without end fill our memory."""

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, HEAD

    def readline(self, most: int) -> bytes:
        if not self._left:
            raise LineTooLong("request")
        line: bytes = self._file.readline(min(most, self._left))
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE
    server_version = "replguard"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile: Any = _Head(self.rfile)

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
        found = self.server.guarded()
        if found is None:
            return
        guarded, users, pace = found
        self._more = dict(guarded.headers)
        if not pace.takes():
            self.send_error(HTTPStatus.TOO_MANY_REQUESTS)
            return
        verdict = users.allows(self.headers.get("Authorization"), source(self.connection, self.client_address[0]))
        if verdict == "yes":
            self._show()
        elif verdict == "no":
            self._more["WWW-Authenticate"] = 'Basic realm="replguard", charset="UTF-8"'
            self.send_error(HTTPStatus.UNAUTHORIZED)
        else:
            self._more["Retry-After"] = "2"
            self.send_error(HTTPStatus.TOO_MANY_REQUESTS)

    def _show(self) -> None:
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
        for name, value in getattr(self, "_more", {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
