import base64
import contextlib
import http.client
import socket
import ssl
import time

import bcrypt
import pytest
from support import authority

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
    # Not at once, where the first took long: a page takes a tenth of a core.
    until(lambda: ask(page)[2].endswith(" 2.0\n"))
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


HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
RIGHT = "Basic " + base64.b64encode(b"me:right").decode()


@pytest.fixture
def guarded(make, tmp_path):
    """Return a function that starts a page with a web configuration, with keys beside it."""

    def build(text):
        (tmp_path / "web.yml").write_text(text)
        reports = []
        page = Page("127.0.0.1:0", sheet, reports.append, str(tmp_path / "web.yml"))
        made.append(page)
        page.start()
        return page, reports

    made = []
    yield build
    for page in made:
        page.stop()


def asked(page, *, context=None, **headers):
    """Return status and headers of an answer."""
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    more = {"context": context} if context else {}
    connection = kind("127.0.0.1", page.port, timeout=5, **more)
    try:
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers
    finally:
        connection.close()


def test_a_password_is_asked_for(guarded):
    """Without one, or with a wrong one, there is no page, at no path; what the file wants said is said."""
    page, _ = guarded(f"basic_auth_users: {{me: '{HASH}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}")
    assert asked(page)[0] == 401
    assert asked(page)[1]["WWW-Authenticate"] == 'Basic realm="replguard", charset="UTF-8"'
    assert asked(page, Authorization=RIGHT)[0] == 200
    assert asked(page, Authorization=RIGHT)[1]["X-Frame-Options"] == "deny"
    assert asked(page, Authorization="Basic eDp5")[0] in (401, 429)
    assert ask(page, "/elsewhere")[0] == 401


@authority.needed
def test_a_certificate_is_asked_for(guarded, tmp_path):
    """By TLS alone, and only of those whom the authority signed and the file names."""
    authority.certificate(tmp_path, "ca")
    authority.certificate(tmp_path, "server", by="ca")
    authority.certificate(tmp_path, "client", by="ca", alternative="DNS:prometheus")
    authority.certificate(tmp_path, "other", by="ca", alternative="DNS:other")
    authority.certificate(tmp_path, "stranger")
    page, _ = guarded(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt,"
        " client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [prometheus]}"
    )

    def by(name):
        context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        if name:
            context.load_cert_chain(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        return context

    assert asked(page, context=by("client"))[0] == 200
    for name in ("other", "stranger", None):
        with pytest.raises((ssl.SSLError, OSError, http.client.RemoteDisconnected)):
            asked(page, context=by(name))
    with pytest.raises((OSError, http.client.HTTPException)):
        asked(page)
    assert asked(page, context=by("client"))[0] == 200


def test_what_is_broken_lets_nobody_in(guarded, tmp_path):
    """A file that is wrong at the start or later: nothing is answered and that is told; mended, it is as it says."""
    page, reports = guarded("basic_auth_users: {me: plain}")
    with pytest.raises(http.client.RemoteDisconnected):
        asked(page)
    assert [(r.component, r.state) for r in reports] == [("metrics", "failed")]
    assert "nobody is shown metrics" in reports[0].reason
    assert "web.yml:1: 'me' has no bcrypt hash" in page.trouble
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{me: '{HASH}'}}")
    until(lambda: page.trouble is None)
    assert asked(page, Authorization=RIGHT)[0] == 200
    (tmp_path / "web.yml").unlink()
    until(lambda: page.trouble)
    with pytest.raises(http.client.RemoteDisconnected):
        asked(page, Authorization=RIGHT)
    assert [r.state for r in reports] == ["failed", "recovered", "failed"]


def until(come):
    deadline = time.monotonic() + 10
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_can_be_paced(guarded):
    """As many at once as the file says, then one each interval."""
    page, _ = guarded(f"basic_auth_users: {{me: '{HASH}'}}\nrate_limit: {{interval: 1h, burst: 2}}")
    assert [asked(page, Authorization=RIGHT)[0] for _ in range(3)] == [200, 200, 429]


def test_headers_without_end_are_refused(make):
    """A request is so long at most, whatever it is made of."""
    page, _ = make()
    for said in (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 50_000, b"GET /" + b"x" * 500_000):
        with socket.create_connection(("127.0.0.1", page.port)) as one:
            one.settimeout(5)
            with contextlib.suppress(OSError):
                one.sendall(said)
            with contextlib.suppress(ConnectionError):
                assert b"Header Fields Too Large" in one.recv(1000)
    assert ask(page)[0] == 200


def test_who_trickles_is_let_go(make, monkeypatch):
    """However a request is spread over them, it has so many seconds."""
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    page, _ = make()
    with socket.create_connection(("127.0.0.1", page.port)) as one:
        one.settimeout(0.05)
        said, ended = 0, False
        deadline = time.monotonic() + 10
        while not ended and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                ended = one.recv(1) == b""
            with contextlib.suppress(OSError):
                said += one.send(b"G")
    assert ended
    assert said > 1


def test_a_flood_of_one_address_keeps_no_other_out(make, monkeypatch):
    """Who has most gives way, and of those the oldest."""
    monkeypatch.setattr(module, "source", lambda connection, address: address)
    page, _ = make()
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(socket.create_connection(("127.0.0.1", page.port), source_address=("127.0.0.9", 0)))
        time.sleep(0.1)
        for _ in range(3 * module.MOST):
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port)))
        time.sleep(0.3)
        other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        other.settimeout(5)
        assert b"200" in other.recv(100)


def test_the_page_takes_a_tenth_of_a_core(make):
    """However often it is asked for, it is made anew only after nine times the time that it took."""
    made = []

    def slow():
        made.append(1)
        time.sleep(0.1)
        return sheet()

    page, _ = make(snapshot=slow)
    assert {ask(page)[0] for _ in range(20)} == {200}
    assert len(made) <= 2


def test_a_page_for_all_is_told(make, monkeypatch):
    """One that other hosts reach without TLS, once."""
    _, reports = make("0.0.0.0:0")
    assert [(r.component, r.state) for r in reports] == [("metrics", "degraded")]
    assert "can be reached from other hosts" in reports[0].reason


@pytest.mark.parametrize(
    ("address", "who"),
    [("127.0.0.1", "here"), ("127.9.9.9", "here"), ("::1", "here"), ("::ffff:127.0.0.1", "here"), ("10.0.0.9", "here"),
     ("10.0.0.8", "10.0.0.8"), ("fe80::1%eth0", "fe80::/64"), ("2001:db8::1:2", "2001:db8::/64"), ("?", "?")],
)  # fmt: skip
def test_who_asks(address, who):
    """All addresses of this host are one, and all of a network of IPv6: nobody has many names."""

    class Connection:
        def getsockname(self):
            return ("10.0.0.9", 1)

    assert module.source(Connection(), address) == who
