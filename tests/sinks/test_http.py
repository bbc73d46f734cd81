import socket

import pytest

from replguard.sinks.base import Rejected
from replguard.sinks.http import Poster, check


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x", "http://", "x", "http://a b", "http://[::1", "http://h:0/", "http://h\n"]
)
def test_only_http(url):
    """A URL that could read files or lead elsewhere is refused."""
    with pytest.raises(ValueError, match="is not a URL"):
        check(url)


def test_post(server):
    """The body and the headers arrive."""
    Poster(server.url, {"X-Key": "v"}, 5).post(b"body")
    assert server.bodies == [b"body"]
    assert server.headers[0]["X-Key"] == "v"


@pytest.mark.parametrize(
    ("code", "error"), [(500, OSError), (503, OSError), (429, OSError), (404, Rejected), (302, Rejected)]
)
def test_answers(server, code, error):
    """What may pass is an OSError, what will not is Rejected; a redirect is not followed."""
    server.codes = [code]
    with pytest.raises(error, match=f"127.0.0.1 answered {code}"):
        Poster(server.url, {}, 5).post(b"x")
    assert server.bodies == []


def test_nobody_there():
    """A closed port is an OSError with a sentence."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match=r"127\.0\.0\.1: .*refused"):
            Poster(f"http://127.0.0.1:{held.getsockname()[1]}", {}, 5).post(b"x")


def test_silence_times_out(server):
    """A far end that never answers costs the timeout, not more."""
    server.hold.clear()
    with pytest.raises(OSError, match="timed out"):
        Poster(server.url, {}, 0.1).post(b"x")


def test_garbage_is_an_oserror():
    """An answer that is not HTTP does not raise anything else."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        import threading

        def answer():
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"\xff\xfe not http\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            Poster(url, {}, 5).post(b"x")
        thread.join()


@pytest.mark.parametrize("headers", [{"a\r\nb": "x"}, {"a": "x\r\nb: c"}, {"a:": "x"}])
def test_headers_cannot_be_split(headers):
    """A header with a newline is refused when the configuration is read."""
    with pytest.raises(ValueError, match="is not a header"):
        Poster("http://x", headers, 5)
