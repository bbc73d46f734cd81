"""What a line says without a name: a password that is piped into who asks for one, or that stands in SQL."""

import re

from replguard.masking.acts import literal
from replguard.masking.formats import HIDDEN

_ASKS = (
    r"(?:--password-stdin|\bchpasswd|\bsudo\b[^|;&\n]{0,128}\s-\w{0,8}S|--stdin|--with-token|--passphrase-fd"
    r"|\bcryptsetup)"
)
_PIPED = re.compile(
    r"""(\b(?:echo|printf)\s+(?:-[neE]+\s+)*+)(?!"?\$)[^|;&\n\s][^|;&\n]{0,512}+"""
    rf"(?=\|[^|;&\n]{{0,128}}{_ASKS})"
)
_HERE = re.compile(rf"""({_ASKS}[^|;&\n<]{{0,256}}<<<\s*)(?!"?\$)(?:'[^']*+'?|"[^"]*+"?|[^\s|;&'"]++)""")
_SQL = re.compile(
    r"""((?:identified\s{1,8}(?:with\s{1,8}\S{1,40}\s{1,8})?by|password)\s{1,8}(["']))(?:(?!\2)[^\\]|\\.)++""",
    re.IGNORECASE | re.DOTALL,
)
SIGNS = (
    r"--password-stdin|chpasswd|sudo\s[^\x00|;&\n]*-\w*S|--stdin|--with-token|--passphrase-fd|cryptsetup"
    r"|(?i:identified\s+(?:with\s+\S+\s+)?by\s|password\s+[\"'])"
)
"""Where this is not found, for RE2, nothing of the kind is."""


def hide(text: str) -> str:
    """Return a line with such passwords hidden."""
    if " " not in text:
        return text
    text = _PIPED.sub(lambda match: f"{_shown(match)} " if _hides(match) else match[0], text)
    for known in (_HERE, _SQL):
        text = known.sub(_shown, text)
    return text


def _hides(match: re.Match[str]) -> bool:
    """Whether nothing of what stands there is carried out."""
    value = match[0][len(match[1]) :]
    return literal(value) == len(value)


def _shown(match: re.Match[str]) -> str:
    return f"{match[1]}{HIDDEN}" if _hides(match) else match[0]
