"""Names to addresses, by the host's own resolver. It may hang for as long as the network is down: give it a thread."""

import socket
from collections.abc import Iterable


class Names:
    """Names, with the addresses that each stood for when it was last known: a resolver that fails takes none away."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, set[str]] = {name: set() for name in names}

    def addresses(self) -> set[str]:
        """Return every address that the names stand for now; a name that was never known gives none."""
        for name in self._known:
            try:
                answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            self._known[name] = {str(answer[4][0]) for answer in answers}
        return set().union(*self._known.values())
