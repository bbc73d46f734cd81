"""An HTTP server that looks up no name: the page of metrics and the servers of the drills are such."""

from http.server import ThreadingHTTPServer
from socketserver import TCPServer


class NamelessHTTPServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own. Raises OSError for an address that cannot be bound."""

    def server_bind(self) -> None:
        """Bind, and look up no name for the address as HTTPServer does: a resolver may be far away, or silent."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
