"""Rule files into a rule set: every fault of every file at once, and the good rules of the others all the same."""

import hashlib
import os
import stat
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import replguard
from replguard import yamlfile
from replguard.errors import ConfigError, Problem
from replguard.events.alert import Level
from replguard.rules import evaluable, suggest
from replguard.rules.link import link, references
from replguard.rules.model import AnyRule, Correlation, Filter, NotEvaluable, RuleSet
from replguard.rules.parse import Source, parse
from replguard.yamlfile import Document

SUFFIXES = (".yml", ".yaml")
FIXTURES = (".test.yml", ".test.yaml")
"""Endings of fixture files, which lie beside a user's rules and are no rules."""


_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking: a FIFO in a rule folder must not hold up the start."""


def shipped_dir() -> Path:
    """Return the folder of the shipped rules: in an installed package its own, in a checkout ``rules/``."""
    package = Path(replguard.__file__).parent
    inside = package / "shipped"
    return inside if inside.is_dir() else package.parent / "rules"


def load(
    paths: Iterable[str | Path] = (),
    *,
    shipped: Path | None = None,
    disable: Collection[str] = (),
    levels: Mapping[str, Level] | None = None,
    makes: frozenset[str] = evaluable.EVERYTHING,
    over: Iterable[str | Path] = (),
) -> RuleSet:
    """Return the rules of files and folders besides the shipped ones.

    Those of ``over`` take the place of others of the same name or id: rules that are tried. ``shipped`` replaces the
    folder of the shipped rules (a folder that does not exist: none). ``disable`` and ``levels`` name rules by id or
    name. ``makes`` are the kinds of events that occur on this host; rules that need others are listed as not
    evaluable. Never raises for what is in a file: see ``RuleSet.problems``.
    """
    found = RuleSet()
    loader = _Loader(found, set(disable), dict(levels or {}))
    own = shipped_dir() if shipped is None else shipped
    for path, is_shipped, is_over in _files(own, paths, over, found.problems):
        loader.file(path, is_shipped, is_over)
    loader.unused()
    _filter(found)
    _set_apart(found, makes)
    link(found)
    for document in loader.torn:
        references(document, found)
    found.sha256 = _digest([*found.files.values(), *_changed(disable, levels or {})])
    return found


def _changed(disable: Collection[str], levels: Mapping[str, Level]) -> list[str]:
    """Return what the configuration makes of the files: a host on which a rule is switched off has other rules."""
    return sorted(f"disable {rule}" for rule in disable) + sorted(f"level {rule} {levels[rule]}" for rule in levels)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class _Loader:
    """Reads files into a rule set. ``torn`` are the documents that have a fault."""

    def __init__(self, found: RuleSet, disable: set[str], levels: dict[str, Level]) -> None:
        self._found = found
        self._disable = disable
        self._levels = levels
        self._seen: dict[str, AnyRule | Filter] = {}
        self._used: set[str] = set()
        self._over: set[str] = set()
        self.torn: list[Document] = []

    def file(self, path: Path, is_shipped: bool, is_over: bool) -> None:  # noqa: FBT001
        """Read one file into the set; one of ``over`` before those whose place it takes."""
        if is_over:
            self._over.add(str(path))
        problems = self._found.problems
        try:
            data = read(path)
            documents = yamlfile.parse(data, str(path))
        except ConfigError as error:
            problems += error.problems
            return
        digest = hashlib.sha256(data).hexdigest()
        self._found.files[str(path)] = digest
        self._found.texts[str(path)] = zlib.compress(data)
        documents = [document for document in documents if document.value is not None]
        if not documents:
            problems.append(Problem(str(path), 1, "holds no rule"))
        for number, document in enumerate(documents):
            stem = path.stem if not number else f"{path.stem}-{number + 1}"
            made = parse(document, Source(stem, digest, is_shipped, self._levels), problems)
            if made is not None:
                self._take(made)
            elif isinstance(document.value, dict):
                self.torn.append(document)
                self._found.broken |= {stem, *(str(document.value.get(key)) for key in ("name", "id"))}

    def _take(self, made: AnyRule | Filter) -> None:
        keys = {made.name} if isinstance(made, Filter) else {made.name, made.id}
        self._used |= keys
        if keys & self._disable:
            if not isinstance(made, Filter):
                self._found.disabled.append(made)
            return
        for key in sorted(keys):
            if key in self._seen:
                other = self._seen[key]
                if other.path in self._over and made.path not in self._over:
                    return
                text = f"the name or id '{key}' is taken by {other.path}:{other.line}"
                self._found.problems.append(Problem(made.path, made.line, text))
                return
        self._seen.update(dict.fromkeys(keys, made))
        self._sort(made)

    def _sort(self, made: AnyRule | Filter) -> None:
        found = self._found
        if isinstance(made, Filter):
            found.filters.append(made)
        elif isinstance(made, Correlation):
            if made.status in {"deprecated", "unsupported"}:
                found.not_evaluable.append(NotEvaluable(made, f"its status is {made.status}"))
            else:
                found.correlations.append(made)
        else:
            found.rules.append(made)

    def unused(self) -> None:
        """Tell names in ``disable`` and ``levels`` that no rule has: a typing error there would go unseen."""
        for where, keys in (("rules.disable", self._disable), ("rules.levels", self._levels)):
            for key in sorted(set(keys) - self._used - self._found.broken):
                text = f"no rule has the name or id '{key}'{suggest.hint(key, sorted(self._used))}"
                self._found.problems.append(Problem(where, 0, text))


def read(path: Path) -> bytes:
    """Return a file's content. Raises ConfigError for what cannot be read or is no plain file of sensible size."""
    try:
        with open(os.open(path, _FLAGS), "rb", buffering=0) as file:  # noqa: PTH123 - flags that Path.open lacks
            data = file.read(yamlfile.MAX_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, f"cannot be read: {error.strerror}")]) from error
    if data is None:
        raise ConfigError([Problem(str(path), 0, "is not a plain file")])
    if len(data) > yamlfile.MAX_BYTES:
        raise ConfigError([Problem(str(path), 0, f"is larger than {yamlfile.MAX_BYTES} bytes")])
    return data


def _files(
    own: Path, paths: Iterable[str | Path], over: Iterable[str | Path], problems: list[Problem]
) -> Iterator[tuple[Path, bool, bool]]:
    """Yield each rule file once, in a stable order, whether it is a shipped one, and whether it is one of ``over``."""
    seen: set[str] = set()
    ours = os.path.realpath(own)
    tops = [*((Path(path), False, True) for path in over), (own, True, False)]
    for top, is_shipped, is_over in [*tops, *((Path(path), False, False) for path in paths)]:
        for path in _below(top, problems if not is_shipped else []):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                yield path, is_shipped or Path(real).is_relative_to(ours), is_over


def _below(top: Path, problems: list[Problem]) -> list[Path]:
    if not top.is_dir():
        if top.exists():
            return [top]
        problems.append(Problem(str(top), 0, "does not exist; the file of a rule is wanted, or a folder of them"))
        return []

    def failed(error: OSError) -> None:
        problems.append(Problem(str(error.filename), 0, f"cannot be read: {error.strerror}"))

    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(top, onerror=failed)
        for name in names
        if name.endswith(SUFFIXES) and not name.endswith(FIXTURES) and not name.startswith(".")
    )


def _filter(found: RuleSet) -> None:
    """Apply each filter to the rules that it names; they are ours alone, so pySigma may change them in place."""
    known = {key for rule in found.known() for key in (rule.name, rule.id)} | found.broken
    for one in found.filters:
        rules = one.sigma.filter.rules
        for reference in rules if isinstance(rules, list) else []:
            if str(reference.reference) not in known:
                key = str(reference.reference)
                text = f"'{one.name}' names the rule '{key}', which does not exist{suggest.hint(key, sorted(known))}"
                found.problems.append(Problem(one.path, one.rules_line, text))
        for rule in found.rules:
            one.sigma.apply_on_rule(rule.sigma)


def _set_apart(found: RuleSet, makes: frozenset[str]) -> None:
    """Move the rules that cannot fire here to ``not_evaluable``."""
    reasons = {rule.name: evaluable.reason(rule, makes) for rule in found.rules}
    found.not_evaluable += [NotEvaluable(rule, why) for rule in found.rules if (why := reasons[rule.name])]
    found.rules = [rule for rule in found.rules if not reasons[rule.name]]
