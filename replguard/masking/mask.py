"""The way in: arguments and texts without their credentials, as they may be remembered, shown and written.

Done where arguments are read, before anything of them is cut or kept. Whatever has no sign of a credential, which is
nearly everything, costs one search. ``***`` stands for what is left out; what is masked is masked to itself.
"""

import re2  # type: ignore[import-untyped]

from replguard.masking import fields, formats, phrases, words
from replguard.masking.house import House, options
from replguard.masking.programs import PROGRAMS

_NAMED = (
    r"(?i:pass(?:word|wd|phrase|code|wort|in|out|)|pwd|pw|psk|otp|secret|token|key|auth|masterauth|creds?|credentials?|userpwd"
    r"|basicauth|cookie|authorization|sig|signature|hmac|sess(?:ion)?id|secret.?id)[0-9_]{0,4}"
    r"(?:\\*[\"'])?\]?[\s\x00]*?(?:[:=\x00]|%3|\s)"
)


def _signs(house: House) -> re2.Set:
    found = re2.Set.SearchSet(options())
    names = "|".join(str(re2.escape(name)) for name in sorted(PROGRAMS))
    programs = rf"(?:^|[\s\x00/;|&('\"])(?:{names})[\s\x00]"
    for source in (formats.SIGNS, _NAMED, programs, phrases.SIGNS, *house.sources):
        found.Add(source)
    found.Compile()
    return found


_LONGEST_FLAGS = len("-abcdefc")
_FORMAT, _NAME, _PROGRAM, _PHRASE = range(4)
_house = House()
_set = _signs(_house)


def also(sources: tuple[str, ...]) -> None:
    """Hide what fits these expressions too, from now on and instead of those given before. `house.check` takes them."""
    global _house, _set  # noqa: PLW0603 - every reader of arguments masks alike, whoever made it
    _house = House(sources)
    _set = _signs(_house)


def masked(args: tuple[str, ...]) -> tuple[str, ...]:
    """Return arguments without their credentials; the very same where there is none."""
    text = "\0".join(args)
    signs = _set.Match(text.encode(errors="surrogatepass"))
    if not signs:
        return args
    given = list(args)
    if _FORMAT in signs:
        given = [formats.hide(arg) for arg in args]
    if _NAME in signs or _PROGRAM in signs:
        shown = words.walk(given)
        given = [
            word if plain and ("/" in word or "=" not in word) else _fields(word, in_line=_is_line(before))
            for (word, plain), before in zip(shown, ("", *given), strict=False)
        ]
    if _PHRASE in signs:
        given = [phrases.hide(word) for word in given]
    if max(signs) > _PHRASE:
        given = [_house.hide(word) for word in given]
    found = tuple(given)
    return args if found == args else found


def mask(text: str) -> str:
    """Return a text, such as a line for a shell, without its credentials; the very same where there is none."""
    signs = _set.Match(text.encode(errors="surrogatepass"))
    if not signs:
        return text
    found = formats.hide(text) if _FORMAT in signs else text
    if _NAME in signs or _PROGRAM in signs:
        found = _fields(found, in_line=True)
    if _PHRASE in signs:
        found = phrases.hide(found)
    if max(signs) > _PHRASE:
        found = _house.hide(found)
    return text if found == text else found


def _fields(text: str, *, in_line: bool) -> str:
    """Hide what fields say; in a line for a shell what words say too, and nothing of what programs act on."""
    if not in_line:
        return fields.hide(text, in_line=False)
    return "".join(piece if plain else fields.hide(piece, in_line=True) for piece, plain in words.pieces(text))


def _is_line(before: str) -> bool:
    """Whether what follows a word is a line for a shell: ``sh -c``."""
    return before.startswith("-") and before.endswith("c") and before[1:].isalpha() and len(before) <= _LONGEST_FLAGS
