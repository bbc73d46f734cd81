"""Which regular expressions a rule may hold: those of RE2, and those of Python that RE2 does not know.

pySigma compiles them only to see whether they are right. It takes RE2 for that, which refuses to look around or back
and writes to standard error by itself. Whether the time of an expression is bounded is asked where it is used.
"""

import re
from typing import Any

import re2  # type: ignore[import-untyped]
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine

_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


class Either(RegexEngine):
    """Takes what RE2 knows, and else what Python does; the fault of what neither knows is told in Python's words."""

    def compile(self, pattern: str, flags: int = 0) -> Any:
        """Return the compiled expression. Raises re.error."""
        signs = "".join(sign for flag, sign in _FLAGS.items() if int(flags) & flag)
        options = re2.Options()
        options.log_errors = False
        try:
            return re2.compile((f"(?{signs})" if signs else "") + pattern, options)
        except re2.error:
            return re.compile(pattern, flags)

    @property
    def error(self) -> type[re.error]:
        """What a bad expression raises."""
        return re.error


POLICY = SigmaPolicy(regex_engine=Either())
