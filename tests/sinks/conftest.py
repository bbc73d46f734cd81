import pytest
from support import webserver


@pytest.fixture
def server():
    """Return a running web server."""
    with webserver.serving() as made:
        yield made
