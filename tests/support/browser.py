"""A real browser without a window, spoken to over two pipes: what a page shows, asks for and complains of."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FOUND = next((path for path in map(shutil.which, PROGRAMS) if path), None)
PATIENCE = 60.0


class Browser:
    """One page in one browser. ``complaints`` are console errors, ``requests`` what was asked for, by address."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._number, self._rest = 0, b""
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._pid = _started(profile, theirs_in, theirs_out)
        os.close(theirs_in)
        os.close(theirs_out)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        self.size(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._ask("Browser.close")
        except (OSError, AssertionError):
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._in)
        os.close(self._out)
        os.waitpid(self._pid, 0)

    def size(self, width: int, height: int) -> None:
        """Give the page a screen of so many pixels; a narrow one is a phone's."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def dark(self, *, is_dark: bool = True) -> None:
        """Ask for dark colours, or light ones."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def open(self, path: Path) -> float:
        """Load a file; return the seconds that it took until it was drawn."""
        began = time.monotonic()
        self.ask("Page.navigate", url=path.as_uri())
        while self.look("location.href + document.readyState") != path.as_uri() + "complete":
            assert time.monotonic() - began < PATIENCE, "the page does not load"
            time.sleep(0.02)
        self.drawn()
        return time.monotonic() - began

    def drawn(self) -> None:
        """Wait until the page has been laid out and drawn."""
        self.look("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def look(self, expression: str):
        """Return what an expression comes to in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, *, whole: bool = False) -> bytes:
        """Return the page as a PNG."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def printed(self) -> bytes:
        """Return the page as it is printed: a PDF of A4."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True}
        return base64.b64decode(self.ask("Page.printToPDF", **paper)["data"])

    def ask(self, method: str, **given):
        """Send a command of the DevTools protocol to the page; return its result."""
        return self._ask(method, self._session, **given)

    def _ask(self, method: str, session: str | None = None, **given):
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        os.write(self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            some = os.read(self._in, 2**20) if ready else b""
            assert some, "the browser does not answer"
            self._rest += some
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message) -> None:
        given = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif message["method"] == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.complaints.append(given["entry"]["text"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(given["exceptionDetails"]))
        elif message["method"] == "Runtime.consoleAPICalled" and given["type"] in ("error", "assert"):
            self.complaints.append(json.dumps(given["args"]))


def _started(profile: Path, in_: int, out: int) -> int:
    """Start it, and return its pid: it reads at descriptor 3 and writes to 4."""
    flags = (
        "--headless",
        "--remote-debugging-pipe",
        "--no-sandbox",  # root, and containers without namespaces
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    )
    assert FOUND is not None
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in (in_, out)]
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    ours = [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(high, 3)]
    try:
        return os.posix_spawn(FOUND, [FOUND, *flags], os.environ, file_actions=[*quiet, *ours])
    finally:
        for each in high:
            os.close(each)
