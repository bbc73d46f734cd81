"""The rule format as a JSON Schema, so that editors complete and check a rule while it is written.

It is made of the words that loading uses: fields of events, categories, Sigma's modifiers, and the structs of the
``replguard:`` key. What a schema cannot know, whether a rule or a selection of that name exists, `check` tells.
"""

from typing import Any

import msgspec

from replguard.events import names
from replguard.events.alert import LEVELS
from replguard.events.catalogue import KINDS
from replguard.rules import suggest
from replguard.rules.extension import CorrelationExtension, RuleExtension
from replguard.rules.model import MAX_STAGES
from replguard.rules.parse import MAX_COUNT

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
NAME: Schema = {"type": "string", "minLength": 1}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_KNOWN = (*names.SIGMA, *sorted(names.paths()))
_SECTIONS = sorted({path.split(".")[0] for path in names.paths() if "." in path})
_MODIFIERS = rf"(\|({'|'.join(suggest.MODIFIERS)}))*"
_NUMBERS = "gt|gte|lt|lte"
_EXTENSION = {
    "score": "What a match adds to its actor's sum.",
    "runbook": "Anchor in the documentation. Goes into the alert.",
    "triage": "What to check first, and how to contain. Goes into the alert.",
    "blind_spots": "What the rule cannot see.",
    "join": "An event joins a sequence when it shares any value of these with the first or last stage reached.",
    "optional": "Stages, by their names in `rules`, that may be left out.",
    "until": "A rule whose match ends the sequence.",
    "levels": "The level of the alert that is raised when a stage is reached, by the stage's name in `rules`.",
    "sum": "Adds up the scores of the rules, each rule once, instead of a field.",
    "distinct_rules": "At least so many different rules.",
    "every_rule": "Every rule with a score takes part, not only those in `rules`.",
}
"""What each key under ``replguard:`` means, as editors show it."""


def schema() -> Schema:
    """Return the schema of one document of a rule file."""
    defs = {
        "value": {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]},
        "fields": _fields(),
        "any-fields": _named(*sorted(names.paths()), rest=rf"(?!({'|'.join(_SECTIONS)})\.)[^|]*"),
        "linux-fields": _named(*_KNOWN, *sorted(suggest.FOREIGN_FIELDS), rest="(?![A-Z])[^|.]*"),
        "own-fields": _named(*_KNOWN, rest=""),
        "rule-extension": _extension(RuleExtension),
        "correlation-extension": _extension(CorrelationExtension),
    }
    for kind in ("any", "linux", "own"):
        defs[f"{kind}-selection"] = _selection(f"#/$defs/{kind}-fields")
        defs[f"{kind}-detection"] = _detection(f"#/$defs/{kind}-selection")
    return {
        "$schema": DIALECT,
        "title": "A rule of replguard",
        "description": "A Sigma rule, correlation or filter. What Sigma has no word for stands under `replguard:`.",
        "type": "object",
        "required": ["title"],
        "properties": _properties(),
        # Keys of one's own, which Sigma allows, hold an underscore here: else every slip would be one.
        "patternProperties": {"^[a-z]+(_[a-z]+)+$|^simulation$": True},
        "additionalProperties": False,
        "allOf": [*_kinds(), *_sources(), *_temporal()],
        "$defs": defs,
    }


def _properties() -> Schema:
    date: Schema = {"type": "string", "pattern": r"^[1-3]\d{3}(-[01]\d-[0-3]\d|/[01]?\d/[0-3]?\d)$"}
    return {
        "title": {**TEXT, "description": "What the rule tells, in a few words."},
        "id": {**TEXT, "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", "description": "A UUID."},
        "name": {**NAME, "description": "What correlations and the configuration call it. Default: the file's stem."},
        "taxonomy": NAME,
        "related": {"type": "array", "items": {"type": "object", "required": ["id", "type"]}},
        "status": {**_words(suggest.STATUSES), "description": "`deprecated` and `unsupported` are never evaluated."},
        "description": {**TEXT, "description": "What it means when the rule fires."},
        "license": TEXT,
        "references": TEXTS,
        "tags": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^[^.]+\..+$"},
            "description": "For example attack.t1005 or atlas.aml.t0025.",
        },
        "author": TEXT,
        "date": date,
        "modified": date,
        "fields": TEXTS,
        "scope": TEXTS,
        "falsepositives": {**TEXTS, "description": "What looks the same and is no attack."},
        "level": {**_words(LEVELS), "description": "Default: medium."},
        "logsource": _logsource(),
        "detection": {"description": "Selections by name, and the condition that joins them."},
        "correlation": _correlation(),
        "filter": {"description": "Takes events away from the rules that it names."},
        "replguard": {"description": "What Sigma has no word for."},
    }


def _logsource() -> Schema:
    told: dict[str, list[str]] = {kind.category: [] for kind in KINDS.values() if kind.category}
    for kind in KINDS.values():
        if kind.category:
            told[kind.category].append(f"{kind.action}: {kind.doc}")
    ours = [{"const": category, "description": " ".join(told[category])} for category in suggest.CATEGORIES]
    other: Schema = {"enum": sorted(suggest.FOREIGN_CATEGORIES), "description": "No sensor here makes such events."}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "category": {"anyOf": [*ours, other]},
            "product": _own_or_other("linux"),
            "service": _own_or_other("replguard"),
            "definition": TEXT,
        },
        "patternProperties": {"^[a-z]+(_[a-z]+)+$": True},
        "additionalProperties": False,
    }


def _own_or_other(word: str) -> Schema:
    """Return a word of ours, or any that is no slip of it."""
    return {"type": "string", "anyOf": [{"const": word}, {"not": {"pattern": f"^({'|'.join(_slips(word))})$"}}]}


def _slips(word: str) -> list[str]:
    """Return expressions of a word with a letter too many, one missing, one that is another, or two swapped."""
    cuts = [(word[:n], word[n:]) for n in range(len(word) + 1)]
    made = [f"{head}.{tail}" for head, tail in cuts] + [f"{head}.?{tail[1:]}" for head, tail in cuts if tail]
    return made + [head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1]


def _named(*known: str, rest: str) -> Schema:
    """Return the schema of fields of these names, or such as the expression ``rest`` has, each with modifiers."""
    exact = [name.replace(".", r"\.") for name in known]
    return {"$ref": "#/$defs/fields", "propertyNames": {"pattern": f"^({'|'.join([*exact, rest])}){_MODIFIERS}$"}}


def _fields() -> Schema:
    """Return the schema of ``field|modifiers: values``, whatever the fields."""
    described: Schema = {name: {"$ref": "#/$defs/value", "description": _meaning(name)} for name in names.SIGMA}
    described |= {path: _values(path) for path in sorted(names.paths())}
    number: Schema = {"type": ["number", "string"], "pattern": r"^-?\d+(\.\d+)?$"}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": described,
        "patternProperties": {
            r"\|exists$": {"type": "boolean"},
            rf"\|({_NUMBERS})$": {"anyOf": [number, {"type": "array", "items": number}]},
        },
        "additionalProperties": {"$ref": "#/$defs/value"},
    }


def _meaning(name: str) -> str:
    return f"Sysmon's name for {' or '.join(names.SIGMA[name])}."


def _values(path: str) -> Schema:
    """Return the schema of a field's value: where it is one of a few words, those, or what has a wildcard."""
    words = suggest.words(path)
    if words is None:
        return {"$ref": "#/$defs/value"}
    one: Schema = {"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": "[*?]"}, {"type": "null"}]}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _selection(fields: str) -> Schema:
    keyword = {"type": ["string", "number"]}
    return {
        "anyOf": [
            {"$ref": fields},
            {"type": "array", "minItems": 1, "items": {"anyOf": [{"$ref": fields}, keyword]}},
            keyword,
        ]
    }


def _detection(selection: str) -> Schema:
    condition: Schema = {"anyOf": [NAME, {"type": "array", "minItems": 1, "items": NAME}]}
    condition["description"] = "For example: selection and not 1 of filter_*"
    return {
        "type": "object",
        "required": ["condition"],
        "minProperties": 2,
        "properties": {"condition": condition, "timeframe": TEXT},
        "additionalProperties": {"$ref": selection},
    }


def _correlation() -> Schema:
    operators: Schema = {name: {"type": "number"} for name in suggest.OPERATORS}
    condition = {
        "type": "object",
        "oneOf": [{"required": [name]} for name in suggest.OPERATORS],
        "properties": operators | {"field": NAME, "percentile": {"type": "integer", "minimum": 0, "maximum": 100}},
        "additionalProperties": False,
    }
    stages = {"type": "array", "minItems": 1, "maxItems": MAX_STAGES, "items": NAME}
    return {
        "type": "object",
        "description": "What must come together, or follow one another.",
        "required": ["type", "rules", "timespan"],
        "properties": {
            "type": _words(suggest.TYPES),
            "rules": {"anyOf": [NAME, stages], "description": "Names or ids of rules, in any file."},
            "group-by": {"anyOf": [NAME, TEXTS], "description": "Fields that must have the same value in all of them."},
            "timespan": {**TEXT, "pattern": "^0*[1-9][0-9]*[smhdwMy]$", "description": "For example 30s, 10m or 2h."},
            "condition": condition,
            "aliases": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": NAME}},
            "generate": {"type": "boolean", "description": "Whether the rules that it names alert by themselves too."},
        },
        "additionalProperties": False,
        "allOf": _by_type(),
    }


def _by_type() -> list[Schema]:
    """Return what a condition must and must not say, by the type of the correlation."""
    counted: Schema = {"required": ["condition"], "properties": {"condition": {"required": ["field"]}}}
    few = {"condition": {"properties": {name: {"maximum": MAX_COUNT} for name in suggest.OPERATORS}}}
    return [
        _when({"const": "event_count"}, {"required": ["condition"], "properties": few}),
        _when({"pattern": "^value_"}, counted),
        _when({"const": "value_count"}, {"properties": few}),
        _when({"pattern": "^temporal"}, {"properties": {"rules": {"type": "array", "minItems": 2}}}),
        _when({"const": "temporal_ordered"}, {"properties": {"condition": {"required": ["gte"]}}}),
    ]


def _when(kind: Schema, then: Schema) -> Schema:
    return {"if": {"required": ["type"], "properties": {"type": kind}}, "then": then}


def _extension(struct: type[RuleExtension | CorrelationExtension]) -> Schema:
    """Return the schema of the ``replguard:`` key, as its struct has it."""
    _, parts = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    made: Schema = parts[struct.__name__]
    for name, each in made["properties"].items():
        each.pop("default", None)
        each["description"] = _EXTENSION[name]
    made["properties"]["score"]["anyOf"] = [{"type": "integer", "minimum": 0}, {"type": "null"}]
    made.pop("title", None)
    made["additionalProperties"] = False
    if struct is CorrelationExtension:
        made["dependentRequired"] = {"every_rule": ["sum"], "distinct_rules": ["sum"]}
    return made


def _kinds() -> list[Schema]:
    """Return what a correlation, a filter and a rule about single events each must have."""
    correlation: Schema = {"properties": {"replguard": {"$ref": "#/$defs/correlation-extension"}}}
    filtering: Schema = {"type": "object", "required": ["rules", "condition"], "minProperties": 3}
    filtering["properties"] = {"rules": {"anyOf": [NAME, TEXTS]}, "condition": NAME}
    filtering["additionalProperties"] = {"$ref": "#/$defs/own-selection"}
    taken: Schema = {"required": ["logsource"], "properties": {"filter": filtering}}
    single: Schema = {"required": ["logsource", "detection"]}
    single["properties"] = {
        "detection": {"$ref": "#/$defs/any-detection"},
        "replguard": {"$ref": "#/$defs/rule-extension"},
    }
    is_filter = {"required": ["filter"], "not": {"required": ["detection"]}}
    otherwise = {"if": is_filter, "then": taken, "else": single}
    return [{"if": {"required": ["correlation"]}, "then": correlation, "else": otherwise}]


def _sources() -> list[Schema]:
    """Return which fields a detection may name, by its log source: for events of ours those of ours."""
    own: Schema = {"required": ["service"], "properties": {"service": {"const": "replguard"}}}
    linux: Schema = {"required": ["category"], "properties": {"category": {"enum": list(suggest.CATEGORIES)}}}
    linux["properties"]["product"] = {"const": "linux"}
    return [
        {
            "if": {"required": ["logsource"], "properties": {"logsource": source}},
            "then": {"properties": {"detection": {"$ref": f"#/$defs/{kind}-detection"}}},
        }
        for kind, source in (("own", own), ("linux", linux))
    ]


def _temporal() -> list[Schema]:
    """Return which keys of ours go with sequences only, and which with sums."""
    ordered = {"type": {"pattern": "^temporal"}}
    summed = {"type": {"const": "value_sum"}}
    return [
        {
            "if": {
                "required": ["replguard", "correlation"],
                "properties": {"replguard": {"type": "object", "anyOf": [{"required": [key]} for key in keys]}},
            },
            "then": {"properties": {"correlation": {"properties": kinds}}},
        }
        for keys, kinds in ((("optional", "until", "levels"), ordered), (("sum",), summed))
    ]


def _words(words: tuple[str, ...]) -> Schema:
    return {"enum": list(words)}
