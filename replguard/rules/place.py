"""Where in a rule file a fault lies: pySigma says what is wrong, rarely where."""

import re

from replguard.errors import Problem
from replguard.rules import suggest
from replguard.yamlfile import Document, Place

_KEYS = {
    "SigmaTitleError": ("title",),
    "SigmaIdentifierError": ("id",),
    "SigmaNameError": ("name",),
    "SigmaLevelError": ("level",),
    "SigmaStatusError": ("status",),
    "SigmaTagError": ("tags",),
    "SigmaDateError": ("date",),
    "SigmaModifiedError": ("modified",),
    "SigmaAuthorError": ("author",),
    "SigmaReferencesError": ("references",),
    "SigmaFalsePositivesError": ("falsepositives",),
    "SigmaDescriptionError": ("description",),
    "SigmaFieldsError": ("fields",),
    "SigmaRelatedError": ("related",),
    "SigmaScopeError": ("scope",),
    "SigmaLicenseError": ("license",),
    "SigmaTaxonomyError": ("taxonomy",),
    "SigmaLogsourceError": ("logsource",),
    "SigmaConditionError": ("detection", "condition"),
    "SigmaDetectionError": ("detection",),
    "SigmaTimespanError": ("correlation", "timespan"),
    "SigmaCorrelationTypeError": ("correlation", "type"),
    "SigmaCorrelationConditionError": ("correlation", "condition"),
    "SigmaCorrelationRuleError": ("correlation",),
    "SigmaFilterError": ("filter",),
    "SigmaFilterConditionError": ("filter", "condition"),
    "SigmaFilterRuleReferenceError": ("filter", "rules"),
}
_CHAR = re.compile(r"Expected .*\(at char (\d+)\).*")
_ADVICE = {
    "SigmaIdentifierError": "`uuidgen` makes one",
    "SigmaDateError": "write it as 2026-01-31",
    "SigmaModifiedError": "write it as 2026-01-31",
    "SigmaTimespanError": "write for example 30s, 10m, 2h or 1d",
    "SigmaTagError": "a tag is namespace.name, for example attack.t1005",
}
"""What to do about a fault that does not say it by itself."""


def fault(document: Document, error: Exception, place: Place | None = None) -> Problem:
    """Return an exception as a problem, at the place given or at the key that its class speaks of."""
    text = " ".join(str(error).split()) or type(error).__name__
    where = (_KEYS.get(type(error).__name__) or _named(document, text)) if place is None else place
    if isinstance(error, RecursionError):
        where, text = ("detection", "condition"), "nested too deeply: write it with fewer parentheses and nots"
    text = _CHAR.sub(lambda found: _unread(document, where, int(found[1])), text)
    advice = _advice(document, type(error).__name__, where)
    return document.problem(where, text.removesuffix(".") + advice if advice else text)


def _unread(document: Document, where: Place, char: int) -> str:
    """Return from where on a condition cannot be read: the parser says it in its own signs."""
    value = document.value
    for part in where:
        value = value.get(part) if isinstance(value, dict) else None
    rest = value[char:].strip() if isinstance(value, str) else "?"
    place = f"from '{rest[:40]}' on" if rest else "to its end: a name is missing there"
    return f"the condition cannot be read {place}"


def _named(document: Document, text: str) -> Place:
    """Return the top-level key that a sentence speaks of, where its class does not say."""
    found = re.match(r"Sigma (?:rule )?(\w+) must", text)
    key = found[1].replace("tag", "tags") if found else ""
    return (key,) if key in document.value else ()


def _advice(document: Document, kind: str, where: Place) -> str:
    """Return what to do: a word that exists for one that does not, or what is expected there."""
    words = suggest.AT.get(tuple(map(str, where)))
    if words is not None:
        value = document.value
        for part in where:
            value = value.get(part) if isinstance(value, dict) else None
        return "" if value is None else suggest.choice(value, words)
    return f"; {_ADVICE[kind]}" if kind in _ADVICE else ""
