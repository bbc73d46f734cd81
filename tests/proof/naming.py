"""A watcher of names: ``naming.py FOLDER FILE`` notes files called like weights that come, go, move or are written.

It is what a look at inotify and a list of endings give: `watchdog` on a folder, and nothing of who did it.
"""

import json
import sys
import threading
import time
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

ENDINGS = (".safetensors", ".gguf", ".ggml", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".npz", ".h5")
TOLD = ("created", "moved", "deleted", "closed")


class Notes(FileSystemEventHandler):
    """Writes a line for each, flushed at once."""

    def __init__(self, file: Path) -> None:
        self._out = file.open("a")

    def on_any_event(self, event: FileSystemEvent) -> None:
        paths = [str(path) for path in (event.src_path, event.dest_path) if str(path).endswith(ENDINGS)]
        if event.event_type in TOLD and not event.is_directory and paths:
            line = {"time": time.time(), "what": event.event_type, "path": paths[-1]}
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()


def main(folder: str, file: str) -> None:
    observer = Observer()
    observer.schedule(Notes(Path(file)), folder, recursive=True)
    observer.start()
    Path(f"{file}.ready").touch()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:3])
