"""Whether a rule can fire on this host, and the sentence that says why not: never quietly silent."""

import re

from sigma.exceptions import SigmaError

from replguard.events import names
from replguard.events.catalogue import KINDS
from replguard.rules import suggest
from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout
from replguard.rules.model import Rule
from replguard.rules.values import Unsupported

EVERYTHING = frozenset(KINDS)
"""All kinds of events: what a host with every sensor makes."""


def reason(rule: Rule, makes: frozenset[str]) -> str | None:
    """Return why a rule cannot be evaluated where only the kinds ``makes`` occur, or None when it can."""
    return _status(rule) or _source(rule, makes) or _fields(rule) or _values(rule)


def _status(rule: Rule) -> str | None:
    return f"its status is {rule.status}" if rule.status in {"deprecated", "unsupported"} else None


def _source(rule: Rule, makes: frozenset[str]) -> str | None:
    source = rule.sigma.logsource
    if source.product not in {None, "linux"}:
        return f"it is written for {source.product}"
    if source.service not in {None, "replguard"}:
        return f"it reads the log of {source.service}, which no sensor reads"
    if not source.category:
        return "its log source names no category"
    if not rule.actions:
        return f"no sensor makes events of the category {source.category}"
    if not rule.actions & makes:
        return f"no sensor of this host makes {' or '.join(sorted(rule.actions))}"
    return None


def _fields(rule: Rule) -> str | None:
    for field in rule.fields:
        paths = names.resolve(field)
        if not paths:
            return suggest.field(field)
        if names.NOT_MADE.issuperset(paths):
            return f"no sensor fills {' or '.join(paths)}"
    return None


def _values(rule: Rule) -> str | None:
    try:
        compile_rule(rule.sigma, Layout())
    except (Unsupported, SigmaError, re.error, KeyError, RecursionError) as error:
        return str(error) or type(error).__name__
    return None
