"""A model server for drills: maps weights, answers chat requests over HTTP, and says what its script says."""

import argparse
import json
import mmap
import os
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from replguard.drill import lifetime, script
from replguard.nameless import NamelessHTTPServer

PAGE = mmap.PAGESIZE
MAX_BODY = 4 * 2**20
"""Bytes of a request; a longer one is refused."""


class Weights:
    """The loaded weights of one server: mapped, or read into memory."""

    def __init__(self, files: list[Path], *, read: bool, seconds: float) -> None:
        self.parts: list[mmap.mmap | bytes] = []
        for file in files:
            with file.open("rb") as opened:
                part = opened.read() if read else mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
            self.parts.append(part)
            self.touched = sum(part[::PAGE])
            time.sleep(seconds)

    def forward(self) -> int:
        """Touch every page, as each token of a real model does."""
        return sum(sum(part[::PAGE]) for part in self.parts)


class Server(NamelessHTTPServer):
    """Answers on loopback; ``generation`` is the seconds that a reply takes."""

    daemon_threads = True

    def __init__(self, port: int, *, weights: Weights, mind: script.Script, generation: float) -> None:
        self.weights, self.mind, self.generation = weights, mind, generation
        super().__init__(("127.0.0.1", port), Handler)

    def complete(self, messages: list[Any]) -> dict[str, Any]:
        """Return a chat completion in the form that common model servers share."""
        self.weights.forward()
        time.sleep(self.generation)
        text = script.content(self.mind.reply(messages))
        message = {"role": "assistant", "content": text}
        return {"object": "chat.completion", "model": "drill", "choices": [{"index": 0, "message": message}]}


class Handler(BaseHTTPRequestHandler):
    """GET /health and POST /v1/chat/completions."""

    server: Server

    def do_GET(self) -> None:
        known = self.path == "/health"
        self._answer(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND, {"status": "ok" if known else "not found"})

    def do_POST(self) -> None:
        messages = self._messages()
        if self.path != "/v1/chat/completions" or messages is None:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "expected chat messages at /v1/chat/completions"})
            return
        self._answer(HTTPStatus.OK, self.server.complete(messages))

    def _messages(self) -> list[Any] | None:
        try:
            length = int(self.headers.get("Content-Length", ""))
            body = json.loads(self.rfile.read(length)) if 0 <= length <= MAX_BODY else None
        except ValueError:
            return None
        messages = body.get("messages") if isinstance(body, dict) else None
        return messages if isinstance(messages, list) else None

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: a drill's output is a table."""


def weight_files(given: list[Path]) -> list[Path]:
    """Return the weight files meant: those given, and the safetensors files of given folders."""
    return [f for path in given for f in (sorted(path.glob("*.safetensors")) if path.is_dir() else [path])]


def main(arguments: list[str] | None = None) -> None:
    """Load, then listen, then answer until ended."""
    parser = argparse.ArgumentParser(prog="model-server")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="files, or folders of safetensors files")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=Path, help="what the model says; default: beside the weights")
    parser.add_argument("--read", action="store_true", help="read the weights into memory instead of mapping them")
    parser.add_argument("--generation", type=float, default=0.4, help="seconds that a reply takes")
    parser.add_argument("--loading", type=float, default=0.2, help="seconds that a file takes to load, besides reading")
    given = parser.parse_args(arguments)
    files = weight_files(given.weights)
    if not files:
        parser.error(f"no weights in {', '.join(map(os.fspath, given.weights))}")
    beside = given.script or files[0].parent / script.FILE_NAME
    mind = script.load(beside) if beside.exists() else script.Script(())
    weights = Weights(files, read=given.read, seconds=given.loading)
    Server(given.port, weights=weights, mind=mind, generation=given.generation).serve_forever()


if __name__ == "__main__":
    lifetime.limit()  # only here: whoever calls main() from elsewhere has other things to do after it
    main()
