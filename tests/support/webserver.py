"""A web server on the loopback that keeps what it was sent and answers as it is told."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """``codes`` are the answers to come, 200 when they run out; without ``hold`` set it does not answer."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        self.bodies, self.paths, self.headers = [], [], []
        self.codes, self.hold = [], threading.Event()
        self.hold.set()
        self.came = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook"

    def handle_error(self, request, client_address):
        """Stay silent: clients of these tests give up on purpose."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hold.wait(30)
        code = self.server.codes.pop(0) if self.server.codes else 200
        if code < 300:
            self.server.bodies.append(body)
            self.server.paths.append(self.path)
            self.server.headers.append(self.headers)
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.came.release()

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a web server."""
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.hold.set()
        made.shutdown()
        thread.join()
        made.server_close()
