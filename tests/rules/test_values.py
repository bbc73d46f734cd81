import time

import pytest
from sigma.rule import SigmaRule

from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout, mapping_field
from replguard.rules.values import Unsupported


def matcher(detection, condition="s"):
    """Return whether a mapping matches a detection."""
    document = {
        "title": "t",
        "logsource": {"category": "process_creation"},
        "detection": {"s": detection, "condition": condition},
    }
    layout = Layout(mapping_field)
    test = compile_rule(SigmaRule.from_dict(document), layout).test
    return lambda **fields: test(*layout.rows(fields))


@pytest.mark.parametrize(
    ("key", "value", "matching", "missing"),
    [
        ("a", "Bash", ["bash", "BASH"], ["bash2", "", None]),
        ("a", "*sh", ["bash", "sh"], ["shy"]),
        ("a", "b*h", ["bash", "bh"], ["bas", "xbash"]),
        ("a", "b?sh", ["bash"], ["bsh", "baash"]),
        ("a", r"b\*h", ["b*h"], ["bash"]),
        ("a", r"b\?h", ["b?h"], ["bah"]),
        ("a", r"c:\temp", [r"c:\temp", r"C:\TEMP"], ["c:temp"]),
        ("a", r"\\\\host", [r"\\host"], [r"\host"]),
        ("a", "*", ["", "x"], [None]),
        ("a", "", [""], ["x", None]),
        ("a", None, [None], ["", "x"]),
        ("a", ["x", None], ["x", None], ["y"]),
        ("a", "*a*b*c*", ["xaxbxcx", "abc"], ["acb"]),
        ("a|contains", "e", ["bed", ("x", "bed")], ["bad", None]),
        ("a|contains", "STRASSE", ["Straße"], ["strase"]),
        ("a|contains|all", ["-a", "-b"], ["x -a -b", "-b-a", ("-a", "-b")], ["-a"]),
        ("a|startswith", "/usr", ["/USR/bin"], ["x/usr"]),
        ("a|startswith|cased", "/usr", ["/usr/bin"], ["/USR/bin"]),
        ("a|endswith", ["/sh", "/bash"], ["/bin/BASH", ("x", "/bin/sh")], ["/bin/shx"]),
        ("a|cased", "Bash", ["Bash"], ["bash"]),
        ("a|contains|cased", "Tmp", ["/Tmp/x"], ["/tmp/x"]),
        ("a|re", r"^b.+h$", ["bash"], ["BASH", "bashx"]),
        ("a|re", r"a.c", ["xabcx"], ["a\nc"]),
        ("a|re|i", r"^b.+h$", ["BASH"], ["bas"]),
        ("a|re|s", r"a.c", ["a\nc"], ["ac"]),
        ("a|re|m", r"^x$", ["a\nx\nb"], ["a\nxy"]),
        ("a|cidr", "10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "no address", "fe80::1", None]),
        ("a|cidr", ["fe80::/10", "127.0.0.0/8"], ["fe80::1", "127.0.0.1"], ["2001:db8::1"]),
        ("a|gt", 5, [6, "6", 5.5], [5, "x", None, True]),
        ("a|gte", 5, [5], [4.9]),
        ("a|lt", 5, [4, "-1"], [5]),
        ("a|lte", 5, ["5"], [6]),
        ("a|exists", True, ["", "x", 0], [None]),
        ("a|exists", False, [None], ["", 0]),
        ("a|fieldref", "b", ["SAME"], ["other", None]),
        ("a|fieldref|startswith", "b", ["same here"], ["the same"]),
        ("a|fieldref|endswith", "b", ["the same"], ["same here"]),
        ("a|base64", "foobar", ["Zm9vYmFy"], ["foobar"]),
        ("a|base64offset|contains", "/bin/sh", ["xxL2Jpbi9zaAxx", "xx9iaW4vc2xx"], ["/bin/sh"]),
        ("a|windash|contains", " -x", ["a -x", "a /x", "a –x"], ["a x"]),
        ("a|wide|base64offset|contains", "ping", ["xxcABpAG4AZwxx"], ["ping"]),
        ("a", 0, [0, "0", 0.0], ["00", "", None, False]),
        ("a", "0", [0], [1]),
        ("a", "true", [True, "True"], [False, 1]),
        ("a", True, [True, "true"], [False]),
        ("a|hour", 3, ["2026-01-01T03:59:00+00:00"], ["2026-01-01T04:00:00+00:00", "x"]),
    ],
)
def test_every_kind_of_value_matches_as_sigma_says(key, value, matching, missing):
    """Each modifier on texts that match and on near misses, lists and missing fields among them."""
    matches = matcher({key: value})
    for found in matching:
        assert matches(a=found, b="same"), found
    for found in missing:
        assert not matches(a=found, b="same"), found


def test_a_missing_field_makes_not_true():
    """Without the field a comparison is false, so its negation holds."""
    assert matcher({"a": "x"}, "not s")(b="y")
    assert not matcher({"a": "x"}, "not s")(a="x")


def test_a_negated_list_means_none_of_its_elements():
    """`not` over a field with two values holds when neither matches: Image is neither path."""
    spared = matcher({"a|endswith": "/sh"}, "not s")
    assert not spared(a=("/usr/bin/dash", "/bin/sh"))
    assert spared(a=("/usr/bin/dash", "/bin/dash"))


def test_placeholders_are_refused():
    """`expand` needs a list that only a pipeline has."""
    with pytest.raises(Unsupported, match="placeholder"):
        matcher({"a|expand": "%names%"})


def test_wildcards_cost_little_on_hostile_texts():
    """A pattern of many stars on a long text that nearly fits ends at once."""
    matches = matcher({"a": "*a*a*a*a*a*a*a*a*a*a*b"})
    began = time.monotonic()
    assert not matches(a="a" * 100_000)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("key", ["a|re", "a|re|i"])
def test_expressions_cost_little_on_hostile_texts(key):
    """An expression whose time would grow with the square of the text, or worse, ends at once on a long one."""
    matches = matcher({key: r"(x+x+)+[;\n]\s*tar$"})
    began = time.monotonic()
    assert not matches(a="x" * 1000 + "\n" * 20_000)
    assert matches(a="x" * 1000 + "\n" * 20_000 + "tar")
    assert time.monotonic() - began < 2
