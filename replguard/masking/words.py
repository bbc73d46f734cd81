"""What words next to each other say: an option and its value, a program and its own short options."""

import re
from collections.abc import Sequence

from replguard.masking.formats import HIDDEN
from replguard.masking.names import Kind, hidden, kind, spared, takes_value
from replguard.masking.programs import PROGRAMS, Rule

NESTED = 3
"""Quotes in quotes that are looked into."""
_OPTION = re.compile(r"-{1,4}([A-Za-z_][\w.-]*)")
_LIKE_OPTION = re.compile(r"-{1,2}[A-Za-z](?:[A-Za-z]*(?:[-_][A-Za-z]+)*)?(?:=.*)?", re.DOTALL)
_SETTING = re.compile(r"(?://[^\s=]*:)?(_?[A-Za-z0-9.]+(?:[_-][A-Za-z0-9.]+)+|requirepass|masterauth|_authToken)")
_SETS = frozenset("set create update config configure add put".split())
"""Behind one of these a name without dashes may have its value next: elsewhere it may be that of a file."""
_LONGEST_SET = max(map(len, _SETS))
_APART = {found: Rule(kind=found) for found in Kind}
_SIGNS = frozenset(("=", ":", ":=", "==", "=>"))
_CLUSTER = re.compile(r"-[sSLkfvigIjNORlnpGa#0-9]{1,12}([uUb].*)", re.DOTALL)
"""Options of curl without a value, and one that has one, in one word."""
_NO_PASSWORD = re.compile(r"/.*|\*|[A-Za-z]:", re.DOTALL)
_PARTING = re.compile(r"[;|&()\n]+")
_WORDS = re.compile(
    r"""([;|&()\n]+|(?:'[^']*+'|"(?:[^"\\]|\\.)*+"|\\.|[^\s;|&()'"\\]|['"\\])++)""",
    re.DOTALL,
)
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)


def line(text: str, depth: int = 0) -> str:
    """Return a line for a shell with what its words say of credentials hidden."""
    parts = _WORDS.split(text)
    words = parts[1::2]
    walked = walk(words, in_line=True, depth=depth)
    if walked == words:
        return text
    parts[1::2] = walked
    return "".join(parts)


def walk(words: Sequence[str], *, in_line: bool = False, depth: int = 0) -> list[str]:
    """Return words, each with the credential in it hidden. ``in_line``: they are a shell's, with their quotes."""
    shown, sets = list[str](), False
    due: Rule | None = None
    program: _Program | None = None
    for word in words:
        value, due = due, None
        if value is not None and word not in _SIGNS and not _LIKE_OPTION.fullmatch(word):
            told = _valued(value, word, in_line=in_line)
            if told != word:
                shown.append(told)
                continue
        if in_line and _PARTING.fullmatch(word):
            program = None
        elif value is None and (rules := PROGRAMS.get(word.rpartition("/")[2])) is not None:
            program = _Program(rules)
        elif program is not None and (taken := program.takes(word, in_line=in_line)) is not None:
            word, due = taken  # noqa: PLW2901 - it is the same word, with less in it
        if due is None:
            due = _awaits(word, sets=sets)
            sets = sets or (len(word) <= _LONGEST_SET and word.lower() in _SETS)
        shown.append(_inside(word, depth, in_line=in_line))
    return shown


def _awaits(word: str, *, sets: bool) -> Rule | None:
    """Return what the next word is, were it the value of this one."""
    option = word[:1] == "-"
    named = (_OPTION if option else _SETTING).fullmatch(word) if option or sets else None
    found = kind(named[1]) if named and takes_value(named[1]) else None
    return _APART[found] if found is not None and (option or found is not Kind.OPAQUE) else None


def _inside(word: str, depth: int, *, in_line: bool) -> str:
    """Look into a word that holds a line of its own."""
    if depth >= NESTED or not (" " in word or "\t" in word or "\n" in word):
        return word
    if not in_line:
        return line(word, depth + 1)
    quoted = _QUOTED.fullmatch(word)
    return f"{quoted[1]}{line(quoted[2], depth + 1)}{quoted[1]}" if quoted else word


def _valued(rule: Rule, word: str, *, in_line: bool) -> str:
    """Return a value as it is shown, with its quotes."""
    quoted = _QUOTED.fullmatch(word) if in_line else None
    quote, inner = (quoted[1], quoted[2]) if quoted else ("", word)
    return f"{quote}{_hidden(rule, inner, variables=in_line and quote != chr(39))}{quote}"


def _hidden(rule: Rule, value: str, *, variables: bool) -> str:
    if rule.sign:
        head, sign, rest = value.partition(rule.sign)
        if not rest or (head.isdigit() and rest.isdigit()):
            return value
        at = rest.rfind("@") if rule.sign == "/" else -1
        return f"{head}{sign}{HIDDEN}{rest[at:] if at >= 0 else ''}"
    left = spared(rule.kind, value, 0, in_line=variables)
    partly = left is not None and 0 < left < len(value) and not (variables and value[0] in "$`")
    return hidden(rule.kind, value) if left is None or partly else value


class _Program:
    """A program of the table, while its words go by."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._places = {rule: 0 for rule in rules if rule.place}
        self._seen = {""}

    def takes(self, word: str, *, in_line: bool) -> tuple[str, Rule | None] | None:
        """Return a word with its credential hidden and what the next one is, None where the word is none of ours."""
        head = ""
        if (cluster := _CLUSTER.fullmatch(word)) and self._rules is PROGRAMS["curl"]:
            head, word = word[: cluster.start(1)], f"-{cluster[1]}"
        for rule in self._rules:
            if rule.after not in self._seen:
                continue
            if rule.place:
                if self._is_place(rule, word):
                    return _valued(rule, word, in_line=in_line), None
            elif word == rule.option and rule.apart:
                return head + word[1:] if head else word, rule
            elif rule.joined and word.startswith(rule.option) and not rule.option.startswith("--"):
                told = _valued(rule, word[len(rule.option) :].removeprefix("="), in_line=in_line)
                shown = word[: len(rule.option)] + ("=" if word[len(rule.option) :][:1] == "=" else "") + told
                return head + shown[1:] if head else shown, None
            elif rule.option.startswith("--") and word.startswith(rule.option + "="):
                return f"{rule.option}={_valued(rule, word[len(rule.option) + 1 :], in_line=in_line)}", None
        self._seen.add(word)
        return None

    def _is_place(self, rule: Rule, word: str) -> bool:
        """Whether this is the word at the place of a rule; options and assignments have none."""
        if word.startswith("-") or "=" in word or (rule.after == "use" and _NO_PASSWORD.fullmatch(word)):
            return False
        self._places[rule] += 1
        return self._places[rule] == rule.place
