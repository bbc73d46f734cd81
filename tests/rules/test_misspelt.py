import pytest

from replguard import yamlfile
from replguard.rules.misspelt import check_condition, check_keys, check_source, unused


def told(check, text, *arguments):
    document = yamlfile.parse(text.encode(), "r.yml")[0]
    problems = []
    check(document, *(document.value.get(one) if one == "detection" else one for one in arguments), problems)
    return [(problem.line, problem.text) for problem in problems]


def test_keys_that_are_nearly_one_of_sigmas():
    """At the top, in the log source and in a correlation; custom keys, which Sigma allows, are none."""
    text = """levle: high
x_owner: us
logsource: {product: linux, sevice: replguard, team: red}
correlation:
  type: temporal
  gruop-by: [x]
"""
    assert told(check_keys, text) == [
        (1, "unknown key 'levle', did you mean 'level'?"),
        (3, "unknown key 'sevice', did you mean 'service'?"),
        (6, "unknown key 'gruop-by', did you mean 'group-by'?"),
    ]
    assert told(check_keys, "logsource: linux\ncorrelation: [1]\n") == []


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("category: proces_creation", "process_creation"),
        ("category: Process_Creation", "process_creation"),
        ("category: weight_copy, service: replguard", "weights_copy"),
        ("product: Linux", "linux"),
        ("product: linxu", "linux"),
        ("service: replgard", "replguard"),
    ],
)
def test_log_sources_that_are_nearly_ours(source, meant):
    """Such a rule would be set apart as one for another log, and never fire."""
    ((line, text),) = told(check_source, f"title: t\nlogsource: {{{source}}}\n")
    assert line == 2
    assert text.endswith(f", did you mean '{meant}'?")


@pytest.mark.parametrize(
    "source",
    ["category: process_termination", "category: file_change", "product: windows", "service: auditd", "category: 7"],
)
def test_other_log_sources_are_no_mistake(source):
    """A rule for them is not evaluable, with the reason."""
    assert told(check_source, f"logsource: {{{source}}}\n") == []


@pytest.mark.parametrize(
    ("condition", "texts"),
    [
        ("selection and not filter", []),
        ("1 of sel* and all of filter_*", ["'filter_*' is the name of no selection, did you mean 'filter'?"]),
        ("all of them", []),
        ("1 of sel or all of filter", []),
        ("1 of sle", ["'sle' is the name of no selection; it is one of selection, filter"]),
        ("selction or (filter)", ["'selction' not defined in the detection, did you mean 'selection'?"]),
        ("selection annd filter", ["'annd' not defined in the detection, did you mean 'and'?"]),
        ("selection | count() > 5", []),
        ("a or (a)", ["'a' not defined in the detection"]),
    ],
)
def test_names_in_a_condition(condition, texts):
    """Each that no selection has, once."""
    text = f"detection:\n  selection: {{a: 1}}\n  filter: {{b: 1}}\n  condition: {condition}\n"
    assert told(check_condition, text, "detection", ("detection",)) == [(4, one) for one in texts]


def test_conditions_of_any_shape():
    """A list of them is looked at one by one; anything else is for pySigma to tell."""
    text = "detection:\n  s: {a: 1}\n  condition: [s, t]\n"
    assert told(check_condition, text, "detection", ("detection",)) == [(3, "'t' not defined in the detection")]
    assert told(check_condition, "detection: [1]\n", "detection", ("detection",)) == []


@pytest.mark.parametrize(
    ("condition", "forgotten"),
    [
        ("selection and not 1 of filter_*", ["other"]),
        ("selection", ["filter_a", "filter_b", "other"]),
        ("all of them", []),
        ("1 of sel and other and filter_a", ["filter_b"]),
    ],
)
def test_selections_that_no_condition_names(condition, forgotten):
    """Most often a filter that was written and forgotten."""
    assert unused(["selection", "filter_a", "filter_b", "other"], [condition]) == forgotten
