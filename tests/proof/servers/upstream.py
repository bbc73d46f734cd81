"""Serves files of a folder, ranges of them too, as what is downloaded from: ``upstream.py ADDRESS PORT FOLDER``."""

import re
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Ranges(SimpleHTTPRequestHandler):
    """Answers a GET of one range with that range."""

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        file = Path(self.translate_path(self.path))
        if asked is None or not file.is_file():
            super().do_GET()
            return
        data = file.read_bytes()
        begin, end = int(asked[1]), int(asked[2] or len(data) - 1)
        part = data[begin : end + 1]
        self.send_response(206 if part else 416)
        self.send_header(
            "Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(data)}" if part else f"bytes */{len(data)}"
        )
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


if __name__ == "__main__":
    address, port, folder = sys.argv[1:]
    ThreadingHTTPServer((address, int(port)), partial(Ranges, directory=folder)).serve_forever()
