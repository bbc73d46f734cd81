"""Where in a rule file a fault lies: pySigma says what is wrong, rarely where."""

from replguard.errors import Problem
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


def fault(document: Document, error: Exception, place: Place | None = None) -> Problem:
    """Return an exception as a problem, at the place given or at the key that its class speaks of."""
    where = _KEYS.get(type(error).__name__, ()) if place is None else place
    text = " ".join(str(error).split()) or type(error).__name__
    return document.problem(where, text)
