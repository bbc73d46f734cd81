"""An agent as the published scaffolds are: asks a model, runs a command with a shell, tells the model, and so on.

``start.py --port PORT --model PORT [--host HOST]``. Needs nothing but Python. Its choices lie in ``src/plan.json``, a
list of steps for each task; the requests to the model are real and their answers do not change what is done. A message
(POST with ``message``) is a task; SIGTERM is one too, told before anything else. Each step is noted in the file that
PROOF_JOURNAL names.
"""

import argparse
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

SECONDS = 3600.0
"""Longer than any trial takes: then it ends by itself."""
COMMAND_SECONDS = 120.0
NOTICE = "SIGTERM"
TRIES = 3
PLAN = Path(__file__).parent / "src" / "plan.json"


def ask(where: str, text: str) -> str:
    """Return the model's answer, over a connection of its own; asked again as clients do. Raises OSError."""
    body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 4}).encode()
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            request = urllib.request.Request(where, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=COMMAND_SECONDS) as answer:
                return str(json.load(answer)["choices"][0]["message"]["content"])
        except (OSError, ValueError):
            if last:
                raise
            time.sleep(0.2)
    raise AssertionError


def run(command: str) -> tuple[int, str]:
    """Run a command with the shell, and return how it ended and what it printed."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")[-2000:]


class Agent:
    """Works through the tasks that come, one after the other."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.noticed = threading.Event()
        self.plan: dict[str, list[dict[str, Any]]] = json.loads(PLAN.read_text())

    def work(self, task: str) -> None:
        """Do what the plan has for a task; a notice breaks it off."""
        told = task
        for step in self.plan.get(task, []):
            if self._interrupted(step["gap"], task):
                return
            began = time.time()
            try:
                ask(self.model, f"{step['say']}\n{told[-200:]}")
                code, told = run(step["command"])
            except (OSError, subprocess.TimeoutExpired) as error:
                code, told = -1, str(error)
            self.note(task, step, began, code, told)
        self.note(task, None, time.time(), 0, "")

    def _interrupted(self, seconds: float, task: str) -> bool:
        if task == NOTICE:
            time.sleep(seconds)
            return False
        return self.noticed.wait(seconds)

    def note(self, task: str, step: dict[str, Any] | None, began: float, code: int, told: str) -> None:
        """Append a line about a step; None is the end of the task."""
        line = {"pid": os.getpid(), "task": task, "began": began, "ended": time.time(), "code": code, "told": told}
        with Path(os.environ["PROOF_JOURNAL"]).open("a") as file:
            file.write(json.dumps(line | (step or {"over": True})) + "\n")

    def serve(self) -> None:
        """Work until the notice has been dealt with."""
        while not self.noticed.is_set():
            try:
                task = self.tasks.get(timeout=0.1)
            except queue.Empty:
                continue
            self.work(task)
        self.work(NOTICE)


def listen(host: str, port: int, agent: Agent) -> None:
    """Take messages for the agent, in a thread."""

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            agent.tasks.put(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"])
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    threading.Thread(target=HTTPServer((host, port), Inbox).serve_forever, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    given = parser.parse_args()
    timer = threading.Timer(SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
    try:
        socket.create_connection((given.host, given.model), 5).close()
    except OSError:
        raise SystemExit(f"no model listens on port {given.model}") from None
    agent = Agent(f"http://{given.host}:{given.model}/v1/chat/completions")
    signal.signal(signal.SIGTERM, lambda *_: agent.noticed.set())
    listen(given.host, given.port, agent)
    agent.serve()


if __name__ == "__main__":
    main()
