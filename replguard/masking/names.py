"""Which names are those of credentials, and which values of theirs are none."""

import re
from enum import Enum
from functools import lru_cache

from replguard.masking.acts import PATH
from replguard.masking.formats import HIDDEN, SHOWN

LONGEST = 80
"""Characters of a name that are looked at: its end."""


class Kind(Enum):
    """What a name says of its value."""

    ALWAYS = "always"
    """A password, whatever it looks like."""
    TOKEN = "token"  # noqa: S105 - a kind of name
    """A credential, unless it is a path, a switch, or a token of a language model."""
    OPAQUE = "opaque"
    """A credential if it looks like one."""
    PAIR = "pair"
    """``user:password``."""
    SOURCE = "source"
    """OpenSSL's: ``pass:password``, or where the password is."""


_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORD = re.compile(r"(?:password|passwd|passphrase|passcode|passwort|requirepass|masterauth|(?<!m)pw|psk|otp)$")
_PASS = re.compile(r"(?<!by)(?<!com)(?<!sur)(?<!low)(?<!high)(?<!band)pass$")
_SECRET = re.compile(
    r"(?:secret|pwd|cookie|authorization|(?:auth|api|access|secret|private|account|master|sign(?:ing)?|encryption"
    r"|license|client|storage|service|deploy|unseal|subscription|certificate|webhook|bot|preshared|security|admin"
    r"|functions)key)$"
)
_LANGUAGE = frozenset(
    "eos bos pad unk mask sep cls stop special image img video audio vision start end begin per max min num new draft"
    " next last first target prefix suffix middle eot eom eog fim think thinking reasoning placeholder newline chunk n"
    " total cached prompt output input completion generated speculative sink top tool by each text box speech".split()
)
"""A token behind one of these is a piece of text."""
_OPEN_KEYS = frozenset("public pub primary foreign sort partition".split())
_PAIRS = frozenset("auth creds cred credential credentials userpwd userpass basicauth".split())
_MARKS = frozenset("sig signature hmac secretid sessionid sessid phpsessid jsessionid".split())
_SWITCHES = frozenset("no ask prompt with use enable disable skip show allow print without has is".split())

_END = r"(?=[\s,;&'\"`)}\]|]|$)"
_ENDS, _ENDS_ALONE = re.compile(_END), re.compile(_END.replace(r"\s", ""))
_FILE = r"[\w./@+~%-]{1,256}\.(?:pem|key|crt|cer|p12|pfx|jks|json|ya?ml|txt|pub|asc|gpg|env|conf|ini)"
_PLAIN = re.compile(
    rf"(?:(?i:true|false|none|null|yes|no|auto|on|off)|-?[0-9]{{1,4}}(?:\.[0-9]+)?|<[^<>\s]{{0,64}}>|\[[A-Z_]{{1,32}}\]"
    rf"|{_FILE}|{PATH}){_END}"
)
OPAQUE = re.compile(
    rf"(?:[0-9A-Fa-f-]{{20,512}}|(?=[\w+/=~%-]{{0,64}}[A-Z])(?=[\w+/=~%-]{{0,64}}[a-z])(?=[\w+/=~%-]{{0,64}}[0-9])"
    rf"[\w+/=~%-]{{16,1024}}){_END}"
)
_PAIRED = re.compile(r"[^\s:=/'\"]{0,128}:(?!//)")
_NUMBERS = re.compile(rf"[0-9]+:[0-9]+{_END}")
_NUMBER = re.compile(rf"(?:[0-9]|[0-9]+:[0-9]+)(?!,){_END}")
"""No password: which pass of how many it is, or ports."""
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^}\s]{1,128}\}|\()|`")
_SCHEME = re.compile(
    r"(?i:bearer|basic|token|digest|negotiate|apikey|api-key|ssws|geniekey|aws4-hmac-sha256|splunk|bot)[ \t]+(?=\S)"
)


@lru_cache(maxsize=4096)
def kind(name: str) -> Kind | None:
    """Return what the name of an option, variable, header or field says of its value; its last word decides."""
    words = [word.lower() for word in _PARTS.findall(name[-LONGEST:])]
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    last, before = words[-1] if words else "", words[-2] if len(words) > 1 else ""
    whole = before + last if last in ("key", "id") else last
    found: Kind | None = None
    if last in ("passin", "passout"):
        found = Kind.SOURCE
    elif _PASSWORD.search(last) or _PASS.search(last):
        found = Kind.ALWAYS
    elif last.endswith("token"):
        found = None if (last.removesuffix("token") or before) in _LANGUAGE else Kind.TOKEN
    elif last == "key" and before in _OPEN_KEYS:
        found = None
    elif _SECRET.search(whole):
        found = Kind.TOKEN
    elif last in _PAIRS:
        found = Kind.PAIR
    elif whole in _MARKS or last.endswith("key"):
        found = Kind.OPAQUE
    return found


def takes_value(name: str) -> bool:
    """Whether an option of this name can have its value in the next word: ``--no-password`` has none."""
    return name.lstrip("-").partition("-")[0].partition("_")[0].lower() not in _SWITCHES


def spared(found: Kind, text: str, at: int, *, in_line: bool) -> int | None:
    """Return up to where a value is to be left as it is, None for one to hide. ``in_line``: it may name a variable."""
    shown = SHOWN.match(text, at)
    end: int | None = None
    if shown and (_ENDS if in_line else _ENDS_ALONE).match(text, shown.end()):
        end = shown.end()
    elif in_line and (variable := _VARIABLE.match(text, at)):
        end = variable.end()
    elif found is Kind.TOKEN and (plain := _PLAIN.match(text, at)):
        end = plain.end()
    elif at >= len(text) or not _hides(found, text, at):
        end = at
    return end


def _hides(found: Kind, text: str, at: int) -> bool:
    """Whether what stands there is a credential, of a name of some kind."""
    if found is Kind.SOURCE:
        return text.startswith("pass:", at)
    if found is Kind.ALWAYS:
        return not _NUMBER.match(text, at)
    pair = found is Kind.PAIR and _PAIRED.match(text, at) and not _NUMBERS.match(text, at)
    return found is Kind.TOKEN or bool(pair) or bool(OPAQUE.match(text, at))


def hidden(found: Kind, value: str) -> str:
    """Return what is shown for a value: its scheme or user, and ``***``."""
    if found is Kind.SOURCE:
        return f"pass:{HIDDEN}"
    if found is Kind.PAIR and (pair := _PAIRED.match(value)):
        return f"{pair[0]}{HIDDEN}"
    return value[: scheme(value, 0)] + HIDDEN


def scheme(text: str, at: int) -> int:
    """Return where a value begins behind its scheme, as ``Bearer`` is one."""
    found = _SCHEME.match(text, at)
    return found.end() if found else at


def is_scheme(word: str) -> bool:
    """Tell whether a word is a scheme and nothing more."""
    return scheme(f"{word} x", 0) == len(word) + 1
