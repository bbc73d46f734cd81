"""A stand-in for a model server: each request is answered with how many tokens it was, each a product of matrices."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np

TOKENS = 16
WEIGHTS = np.random.default_rng(1).standard_normal((4096, 4096), dtype=np.float32)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        state = np.ones(4096, dtype=np.float32)
        for _ in range(TOKENS):
            state = WEIGHTS @ state
            state /= np.abs(state).max()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(TOKENS).encode())

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Answer)
    print(server.server_port, flush=True)
    server.serve_forever()
