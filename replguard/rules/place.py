"""Where in a rule file a fault lies: pySigma says what is wrong, rarely where."""

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
    where = _KEYS.get(type(error).__name__, ()) if place is None else place
    text = " ".join(str(error).split()) or type(error).__name__
    advice = _advice(document, type(error).__name__, where)
    return document.problem(where, text.removesuffix(".") + advice if advice else text)


def _advice(document: Document, kind: str, where: Place) -> str:
    """Return what to do: a word that exists for one that does not, or what is expected there."""
    words = suggest.AT.get(tuple(map(str, where)))
    if words is not None:
        value = document.value
        for part in where:
            value = value.get(part) if isinstance(value, dict) else None
        return "" if value is None else suggest.choice(value, words)
    return f"; {_ADVICE[kind]}" if kind in _ADVICE else ""
