"""What words next to each other say: an option and its value, a program and its own short options."""

import re
from collections.abc import Sequence

from replguard.masking.acts import literal
from replguard.masking.commands import Place
from replguard.masking.formats import HIDDEN
from replguard.masking.names import Kind, hidden, is_scheme, kind, spared, takes_value
from replguard.masking.programs import CLUSTERS, PROGRAMS, Rule

NESTED = 3
"""Quotes in quotes that are looked into."""
_OPTION = re.compile(r"-{1,4}([A-Za-z_][\w.-]*)")
_LIKE_OPTION = re.compile(r"-{1,2}[A-Za-z](?:[A-Za-z]*(?:[-_][A-Za-z]+)*)?(?:=.*)?", re.DOTALL)
_SETTING = re.compile(r"(?://[^\s=]*:)?(_?[A-Za-z0-9.]+(?:[_-][A-Za-z0-9.]+)+|requirepass|masterauth|_authToken)")
_NAME = re.compile(r"-{0,2}([A-Za-z_][\w.-]*)")
_ASSIGNING = re.compile(r"['\"]?([A-Za-z_][\w.-]*)(?::=|=|:)")
_SPEAKS = frozenset("echo printf setx".split())
"""They are given a name and its value as words."""
_KEEPS = frozenset(
    "aws az bundle composer conda consul databricks doctl etcdctl fly flyctl gcloud gh git heroku hf huggingface-cli"
    " kubectl mc npm pip pip3 pnpm poetry redis-cli valkey-cli keydb-cli snap vault vercel wrangler yarn".split()
)
"""They keep settings."""
_SETS = frozenset("set create update config configure add put".split())
"""Behind one of these a name without dashes may have its value next: elsewhere it may be that of a file."""
_LONGEST_SET = max(map(len, _SETS))
_APART = {found: Rule(kind=found) for found in Kind}
_SIGNS = frozenset(("=", ":", ":=", "==", "=>"))
_LETTERS = re.compile(r"-[A-Za-z]{2,8}")
_COST = re.compile(r"[0-9]{1,2}")
"""Of bcrypt, behind htpasswd's ``-C``."""
_NO_PASSWORD = re.compile(r"/.*|\*|[A-Za-z]:", re.DOTALL)
_PARTING = re.compile(r"[;|&()\n]+")
_WORDS = re.compile(
    r"""([;|&()\n]+|(?:'[^']*+'|"(?:[^"\\]|\\.)*+"|\\.|[^\s;|&()'"\\]|['"\\])++)""",
    re.DOTALL,
)
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)


def line(text: str, depth: int = 0) -> str:
    """Return a line for a shell with what its words say of credentials hidden."""
    return "".join(piece for piece, _ in pieces(text, depth))


def pieces(text: str, depth: int = 0) -> list[tuple[str, bool]]:
    """Return such a line in pieces, each with whether it belongs to programs that take no credential."""
    parts = _WORDS.split(text)
    found, plain, held = [parts[0]], [False], ""
    for (word, of_plain), gap in zip(walk(parts[1::2], in_line=True, depth=depth), parts[2::2], strict=True):
        if _PARTING.fullmatch(word):
            held += word + gap
            continue
        if of_plain != plain[-1]:
            found.append("")
            plain.append(of_plain)
        found[-1] += held + word + gap
        held = ""
    found[-1] += held
    return list(zip(found, plain, strict=True))


def walk(words: Sequence[str], *, in_line: bool = False, depth: int = 0) -> list[tuple[str, bool]]:
    """Return words, each with the credential in it hidden, and whether it is one of a program that takes none.

    ``in_line``: they are a shell's, with their quotes.
    """
    shown, walker = list[tuple[str, bool]](), _Walker(in_line=in_line, depth=depth)
    for word in words:
        told = walker.meets(word)
        shown.append((told, walker.place.plain))
    return shown


class _Walker:
    """What is known of the next word, while words go by."""

    def __init__(self, *, in_line: bool, depth: int) -> None:
        self._in_line, self._depth = in_line, depth
        self._parted()

    def _parted(self) -> None:
        self.place = Place()
        self._program: _Program | None = None
        self._due: Rule | None = None
        self._before, self._sets, self._speaks = "", False, False
        self._keeps = False

    def meets(self, word: str) -> str:
        """Return a word as it is shown."""
        if self._in_line and _PARTING.fullmatch(word):
            self._parted()
            return word
        name = self.place.names(word)
        if name is not None:
            self._program = _Program(name) if name in PROGRAMS else None
            self._speaks, self._keeps = name in _SPEAKS, name in _KEEPS
        if self.place.plain:
            return word
        value, self._due = self._due, None
        if value is not None and self._before.endswith(":") and is_scheme(word):
            self._due = value  # of a header the scheme is shown: what it is a scheme of comes next
            return word
        if value is not None and word not in _SIGNS and not _LIKE_OPTION.fullmatch(word):
            told = _valued(value, word, in_line=self._in_line)
            if told != word:
                return told
        if name is None and self._program is not None:
            taken = self._program.takes(word, in_line=self._in_line)
            if taken is not None:
                word, self._due = taken
        if self._due is None:
            self._due = self._awaits(word)
            self._sets = self._sets or (len(word) <= _LONGEST_SET and word.lower() in _SETS)
        self._before = word
        return _inside(word, self._depth, in_line=self._in_line)

    def _awaits(self, word: str) -> Rule | None:
        """Return what the next word is, were it the value of this one."""
        if word[:1] == "-":
            named, any_kind = _OPTION.fullmatch(word), True
        elif word in _SIGNS:
            named, any_kind = _NAME.fullmatch(self._before), False
        else:
            named = None if self.place.waiting else _ASSIGNING.fullmatch(word)
            if named is None and ((self._sets and self._keeps) or self._speaks):
                named = _SETTING.fullmatch(word)
            any_kind = False
        found = kind(named[1]) if named and takes_value(named[1]) else None
        return _APART[found] if found is not None and (any_kind or found is not Kind.OPAQUE) else None


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
        at = rest.rfind("@") if rule.sign == "/" else -1
        secret = rest[:at] if at >= 0 else rest
        if not rest or (head.isdigit() and rest.isdigit()) or literal(secret) < len(secret):
            return value
        return f"{head}{sign}{HIDDEN}{rest[at:] if at >= 0 else ''}"
    left = spared(rule.kind, value, 0, in_line=variables)
    partly = left is not None and 0 < left < len(value) and not (variables and value[0] in "$`")
    if left is not None and not partly:
        return value
    end = literal(value)
    return hidden(rule.kind, value[:end]) + value[end:] if end else value


class _Program:
    """A program of the table, while its words go by."""

    def __init__(self, name: str) -> None:
        self._rules = PROGRAMS[name]
        self._clusters = CLUSTERS.get(name)
        self._places = {rule: 0 for rule in self._rules if rule.place}
        self._seen = {""}

    def takes(self, word: str, *, in_line: bool) -> tuple[str, Rule | None] | None:
        """Return a word with its credential hidden and what the next one is, None where the word is none of ours."""
        head = ""
        if self._clusters and (cluster := self._clusters.fullmatch(word)):
            head, word = word[: cluster.start(1)], f"-{cluster[1]}"
        for rule in self._rules:
            if not self._applies(rule):
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
        if _LETTERS.fullmatch(word):
            self._seen.update(f"-{letter}" for letter in word[1:])
        return None

    def _applies(self, rule: Rule) -> bool:
        """Whether what comes before a rule's words came; behind ``--`` there are no options."""
        return rule.after in self._seen and (rule.place > 0 or "--" not in self._seen)

    def _is_place(self, rule: Rule, word: str) -> bool:
        """Whether this is the word at the place of a rule; options and assignments have none."""
        if word.startswith("-") or "=" in word or (rule.after == "use" and _NO_PASSWORD.fullmatch(word)):
            return False
        if rule.after in ("-b", "-n") and _COST.fullmatch(word):
            return False
        self._places[rule] += 1
        return self._places[rule] == rule.place
