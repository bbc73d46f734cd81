"""What is never hidden, whatever stands before it: what a program acts on, and what a shell carries out.

Who attacks writes the command lines. Could a name such as ``--password`` hide a word behind it that the program takes
for its own, the rules would not see what is done.
"""

import re

from replguard.masking.commands import PLAIN, WRAPPERS

PATH = r"(?:file:/{0,2})?(?:~\w{0,32}|\.{1,2})?(?:/(?![\w+-]*[A-Z][\w+-]*[0-9][\w+-]{6})[\w.@+~%-]{0,255}){1,64}"
_ABSOLUTE = re.compile(rf"(?=/){PATH}/?\Z")
_OURS = re.compile(
    r"replguard|\.(?:safetensors|gguf|ggml|ckpt|pth|pt|onnx)(?![A-Za-z0-9])|\.\./"
    r"|/(?:etc|var|proc|dev|run|usr|opt|root|home|boot|sys|srv|mnt|data|tmp|models)/"
    r"|\.(?:ssh|aws|kube|config|huggingface)/|\.bash",
    re.IGNORECASE,
)
_NAMES = "|".join(sorted(map(re.escape, PLAIN | WRAPPERS.keys())))
_COMMAND = rf"(?:[\w.~-]{{0,64}}/)*+(?:{_NAMES})(?=[\s;|&)$<>]|\Z)"
_CARRIED_OUT = re.compile(
    r"\$[({]|`|[<>]\(|>{1,2}[|&]?\s{0,8}[/~.$]|<{1,3}\s{0,8}[/~]"
    rf"|[;|&\n]\s{{0,8}}(?:{_COMMAND}|[\w./~+-]{{2,64}}(?=[ \t]))"
)
_RUN = re.compile(rf"\s{_COMMAND}")


def literal(value: str, *, outer: bool = False) -> int:
    """Return how many of the first characters of a value may be hidden. ``outer``: blanks in it may part words."""
    if _OURS.search(value) or _ABSOLUTE.match(value):
        return 0
    found = _CARRIED_OUT.search(value)
    end = found.start() if found else len(value)
    run = _RUN.search(value, 0, end) if outer else None
    return run.start() if run else end
