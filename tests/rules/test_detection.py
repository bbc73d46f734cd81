import pytest

from replguard import yamlfile
from replguard.rules.detection import check_fields, check_filter, check_values, items, written_fields

TEXT = b"""title: t
detection:
  one:
    CommandLine|re: '('
    Image|contians: x
    process.pid|cidr: 10.0.0.1/8
  two:
    - Imgae: x
    - file.pth: y
  condition: one or two
"""


@pytest.fixture
def document():
    return yamlfile.parse(TEXT, "r.yml")[0]


def test_every_bad_value_is_told_at_its_line(document):
    """Expression, modifier and network, all at once."""
    problems = []
    assert check_values(document, document.value["detection"], ("detection",), problems)
    assert [problem.line for problem in problems] == [4, 5, 6]
    assert "Regular expression '(' is invalid" in problems[0].text
    assert problems[1].text == "unknown modifier 'contians', did you mean 'contains'?"
    assert "10.0.0.1/8" in problems[2].text


def test_fields_that_look_like_ours_are_told(document):
    """A dotted name of a section of ours is a typing error; a foreign name is one only in a rule for us."""
    fields = written_fields(document)
    problems = []
    check_fields(document, fields, problems)
    assert [(problem.line, problem.text) for problem in problems] == [
        (9, "no event has the field 'file.pth', did you mean 'file.path'?")
    ]
    for source in ({"service": "replguard"}, {"category": "process_creation", "product": "linxu"}):
        document.value["logsource"] = source
        problems = []
        check_fields(document, fields, problems)
        assert [problem.line for problem in problems] == [8, 9]
    document.value["logsource"] = {"category": "process_creation", "product": "windows"}
    problems = []
    check_fields(document, fields, problems)
    assert [problem.line for problem in problems] == [9]


@pytest.mark.parametrize("field", ["DestinationPortName", "ImageLoaded", "TargetObject", "exe", "dns.question.name"])
def test_what_other_sensors_tell_is_no_slip(document, field):
    """However close its name is to one of ours: such a rule is not evaluable, and says so."""
    document.value["logsource"] = {"category": "network_connection", "product": "linux"}
    problems = []
    check_fields(document, [field], problems)
    assert problems == []


def test_a_filter_that_names_no_field_of_ours_is_told():
    """It would never take anything away."""
    text = b"filter:\n  rules: any\n  s:\n    Imgae: x\n  condition: not s\n"
    document = yamlfile.parse(text, "f.yml")[0]
    problems = []
    check_filter(document, document.value["filter"], problems)
    assert [str(problem) for problem in problems] == ["f.yml:4: no event has the field 'Imgae', did you mean 'Image'?"]


def test_a_detection_of_no_shape_has_no_items():
    """What is no mapping is passed over here; pySigma tells it."""
    assert list(items("text", ())) == []
    assert list(items({"s": ["a", 1, ["b"]]}, ())) == []


def test_a_value_that_a_field_never_has_is_told():
    """Where it is always one of a few words; wildcards, other cases and modifiers are no mistakes."""
    text = b"""
detection:
  one:
    replguard.actor.standing: [agnet, agent, 'un*']
    replguard.tier: KERNEL
    replguard.actor.kind|contains: age
    user.name: agnet
"""
    document = yamlfile.parse(text, "r.yml")[0]
    problems = []
    assert check_values(document, document.value["detection"], ("detection",), problems)
    assert [str(problem) for problem in problems] == [
        "r.yml:4: 'replguard.actor.standing' is never 'agnet', did you mean 'agent'?"
    ]


def test_a_value_that_does_not_go_with_its_modifier_is_told_by_its_key():
    """The author knows no classes of a library."""
    document = yamlfile.parse(b"detection:\n  one:\n    process.pid|gt: abc\n", "r.yml")[0]
    problems = []
    assert check_values(document, document.value["detection"], ("detection",), problems)
    assert [str(problem) for problem in problems] == ["r.yml:3: the value 'abc' does not go with 'process.pid|gt'"]
