"""Looks at a server that ask it nothing: curl or wget fetches a page, as a script does that waits until a server is up.

A question to a model has a body, or says itself in the address. Whatever else is among the arguments makes it no look:
an option that is not known here, a query, a header. What it cannot see: what a ``.curlrc`` adds, and a scaffold whose
own front keeps the conversation and hands its next command to a plain fetch.
"""

import re
from typing import NamedTuple

from replguard.events.process import Process

_ADDRESS = re.compile(r"(?:https?://)?[\w.:\[\]-]{1,253}(?:/[\w./~-]{0,64})?")
"""A host, a port and a short path of plain letters: nothing that could be a sentence."""


class _Tool(NamedTuple):
    """The options of a tool that only say how to fetch: single letters, and words, without and with a value."""

    letters: str
    valued_letters: str
    words: frozenset[str]
    valued: frozenset[str]


_CURL = _Tool(
    "sSfLkgIiv46#",
    "mow",
    frozenset(
        "--silent --show-error --fail --fail-with-body --location --insecure --head --include --verbose --ipv4 --ipv6"
        " --no-progress-meter --retry-connrefused --retry-all-errors".split()
    ),
    frozenset(
        "--max-time --connect-timeout --output --write-out --retry --retry-delay --retry-max-time --noproxy".split()
    ),
)
_WGET = _Tool(
    "qSnvc46",
    "OTt",
    frozenset(
        "--quiet --server-response --no-verbose --spider --no-check-certificate --no-proxy --retry-connrefused".split()
    ),
    frozenset("--output-document --timeout --tries --waitretry --connect-timeout --read-timeout".split()),
)
_BY_NAME = {"curl": _CURL, "wget": _WGET}
_TOOLS = {f"{folder}/{name}": tool for folder in ("/bin", "/usr/bin") for name, tool in _BY_NAME.items()}


def only_looks(process: Process) -> bool:
    """Tell whether a program fetches pages and does nothing else; False where that is not known."""
    tool = _TOOLS.get(process.executable or "")
    if tool is None:
        return False
    fetched, words = 0, iter(process.args[1:])
    for word in words:
        if word.startswith("-"):
            if not _only_how(word, tool):
                return False
            if _takes_next(word, tool):
                next(words, None)
        elif _ADDRESS.fullmatch(word):
            fetched += 1
        else:
            return False
    return fetched > 0


def _only_how(word: str, tool: _Tool) -> bool:
    """Tell whether an option, or each of several letters together, only says how to fetch."""
    if word.startswith("--"):
        name, given, _ = word.partition("=")
        return name in tool.valued or (name in tool.words and not given)
    letters = word[1:].lstrip(tool.letters)
    return not letters or letters[0] in tool.valued_letters


def _takes_next(word: str, tool: _Tool) -> bool:
    """Tell whether the value of a known option is the next word, not in the same one."""
    if word.startswith("--"):
        return word in tool.valued
    letters = word[1:].lstrip(tool.letters)
    return len(letters) == 1
