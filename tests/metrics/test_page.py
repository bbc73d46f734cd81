import http.client
import socket
import time

import pytest

from replguard.metrics import page as module
from replguard.metrics.page import Page, address
from replguard.metrics.table import Sheet


def sheet():
    made = Sheet()
    made.set("build_info", 1, "0.1.0")
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let pages end at once."""
    monkeypatch.setattr(module._Server, "timeout", 0.01)


@pytest.fixture
def make():
    """Return a function that starts a page; all are stopped."""
    made = []

    def build(listen="127.0.0.1:0", snapshot=sheet):
        reports = []
        page = Page(listen, snapshot, reports.append)
        made.append(page)
        page.start()
        return page, reports

    yield build
    for page in made:
        page.stop()


def ask(page, path="/metrics", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        connection.close()


def test_the_page(make):
    """The page is in the text format, and made anew for each request."""
    counts = iter(range(1, 10))

    def growing():
        made = Sheet()
        made.set("events_fed_total", next(counts))
        return made

    page, _ = make(snapshot=growing)
    assert ask(page) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        (
            "# HELP replguard_events_fed_total Events and facts that the rules were fed.\n"
            "# TYPE replguard_events_fed_total counter\nreplguard_events_fed_total 1.0\n"
        ),
    )
    assert ask(page)[2].endswith(" 2.0\n")
    assert ask(page, "/metrics?x=y")[0] == 200
    assert ask(page, method="HEAD")[2] == ""


@pytest.mark.parametrize("path", ["/", "/<script>alert(1)</script>", "/metrics/../etc", "/%0d%0aX:y"])
def test_nothing_else_and_nothing_reflected(make, path):
    """Other paths are not found, without a word of the request in the answer."""
    status, kind, body = ask(make()[0], path)
    assert (status, kind, body) == (404, "text/plain; charset=utf-8", "Not Found\n")


def test_other_methods(make):
    """What is no reading is refused, its name not repeated."""
    status, _, body = ask(make()[0], method="EVIL")
    assert status == 501
    assert "EVIL" not in body


def test_a_fault_in_the_numbers_is_no_end(make):
    """A snapshot that raises gives a 500, and the next request works."""
    broken = [True]

    def sometimes():
        if broken.pop() if broken else False:
            raise RuntimeError("changed size during iteration")
        return sheet()

    page, _ = make(snapshot=sometimes)
    assert ask(page)[0] == 500
    assert ask(page)[0] == 200


def test_a_taken_port_is_told_and_tried_again(make, monkeypatch):
    """Whoever takes the port first does not end the daemon; when it is free again the page comes."""
    monkeypatch.setattr(module, "AGAIN", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page, reports = make(f"127.0.0.1:{port}")
        assert page.port is None
        assert [(r.component, r.state) for r in reports] == [("metrics", "failed")]
        assert "Address already in use" in reports[0].reason
    deadline = time.monotonic() + 5
    while page.port is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ask(page)[0] == 200
    assert [r.state for r in reports] == ["failed", "recovered"]


def test_off_and_impossible(make):
    """Without an address there is no page; with one that makes no sense it is told."""
    page, reports = make("")
    assert (page.port, reports) == (None, [])
    page, reports = make("nonsense")
    assert "is not an address" in reports[0].reason


def test_silent_clients_do_not_fill_us(make, monkeypatch):
    """Connections that say nothing are bounded, and turned away beyond that."""
    monkeypatch.setattr(module._Handler, "timeout", 0.1)
    page, _ = make()
    silent = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(30)]
    try:
        time.sleep(0.4)
        assert ask(page)[0] == 200
    finally:
        for one in silent:
            one.close()


def test_silent_clients_keep_nobody_out(make):
    """Who asks is answered at once, in place of the one that has been silent longest."""
    page, _ = make()
    silent = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(module.MOST)]
    try:
        time.sleep(0.2)
        assert ask(page)[0] == 200
    finally:
        for one in silent:
            one.close()


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("127.0.0.1:10947", ("127.0.0.1", 10947)),
        ("[::1]:1", ("::1", 1)),
        (":9", ("", 9)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_address(listen, found):
    """Addresses are those that other programs take."""
    assert address(listen) == found


@pytest.mark.parametrize("listen", ["10947", "host:", "host:99999", "::1:80", "host:٣", "[::1:80"])
def test_no_address(listen):
    """Anything else is told."""
    with pytest.raises(ValueError, match="is not an address"):
        address(listen)


def test_only_where_told(make):
    """The page is bound to the address that was given, not to all."""
    page, _ = make()
    assert page._server.server_address[0] == "127.0.0.1"
