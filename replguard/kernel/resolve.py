"""Names to addresses, by the host's own resolver. It may hang for as long as the network is down: give it a thread."""

import socket
from collections.abc import Iterable


def addresses(names: Iterable[str]) -> set[str]:
    """Return every address that the names stand for now; a name that is not known gives none."""
    found: set[str] = set()
    for name in names:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            continue
        found |= {str(answer[4][0]) for answer in answers}
    return found
