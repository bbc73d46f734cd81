import pytest
from support.rulebook import good, ruleset

RULE = """
title: t
name: one
status: {status}
logsource: {source}
detection:
  s: {{{item}}}
  condition: s
"""


def rules(tmp_path, source="{category: process_creation}", item="CommandLine: x", status="stable", **options):
    return ruleset(tmp_path, RULE.format(source=source, item=item, status=status), **options)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"source": "{product: windows, category: process_creation}"}, "it is written for windows"),
        ({"source": "{product: linux, service: auditd}"}, "it reads the log of auditd, which no sensor reads"),
        ({"source": "{product: linux}"}, "its log source names no category"),
        ({"source": "{category: dns_query}"}, "no sensor makes events of the category dns_query"),
        ({"status": "deprecated"}, "its status is deprecated"),
        ({"status": "unsupported"}, "its status is unsupported"),
        ({"item": "Hashes: x"}, "no event has the field 'Hashes'"),
        ({"item": "ImageLoaded: x"}, "no event has the field 'ImageLoaded', did you mean 'Image'?"),
        ({"item": "DestinationHostname: x"}, "no sensor fills destination.domain"),
        (
            {"item": "'CommandLine|expand': '%names%'"},
            "the placeholder %names% needs a list that only a pipeline can fill",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_fire_says_why(tmp_path, given, reason):
    """It is listed with its reason, and is no fault."""
    found = rules(tmp_path, **given)
    assert found.problems == []
    assert found.rules == []
    assert [entry.reason for entry in found.not_evaluable] == [reason]


def test_a_kind_of_event_that_does_not_occur_here(tmp_path):
    """On a tier without signals a rule about signals cannot fire; where one of its kinds occurs it can."""
    found = rules(tmp_path, "{category: process_signal}", makes=frozenset({"process_exec"}))
    assert [entry.reason for entry in found.not_evaluable] == ["no sensor of this host makes process_signal"]
    assert len(good(tmp_path, RULE.format(source="{category: file_event}", item="Image: x", status="test"),
                    makes=frozenset({"file_create"})).rules) == 1  # fmt: skip


def test_a_typing_error_in_a_rule_of_ours_is_a_fault(tmp_path):
    """A rule for our own service that names no field of ours was meant to fire."""
    found = rules(tmp_path, "{service: replguard, category: weights_copy}", "replguard.sttaus: done")
    assert [problem.text for problem in found.problems] == [
        "no event has the field 'replguard.sttaus', did you mean 'replguard.status'?"
    ]
