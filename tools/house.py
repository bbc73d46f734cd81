"""The house checks that no linter knows: sizes, mirrored tests, tests that assert, leftovers, places that are not ours.

Run by ``make lint``; prints ``path:line: what is wrong`` and exits 1. Takes the root of another tree as an argument.
"""

import ast
import contextlib
import gc
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

MODULE_LINES = 400
FUNCTION_LINES = 60
TEXT = {".py", ".md", ".yml", ".yaml", ".toml", ".lock", ".sh", ".service", ".conf", ".txt", ".cfg", ".c", ".h", ""}
LEFTOVERS = re.compile(r"\b(TO" r"DO|FIX" r"ME|Not" r"Implemented" r"Error)\b")
PLACES = re.compile(
    r"/wo"
    r"rk/|files\.pytho"
    r"nhosted\.org|pypi\.o"
    r"rg/simple|registry\.npm"
    r"js\.org|proxy\.gol"
    r"ang\.org"
    r"|--(extra-)?in"
    r"dex-url|--find-"
    r"links|://[^\s/]*(artifac"
    r"tory|devpi|nex"
    r"us)\b"
)
CLOCK = "replguard/events/clock.py"
CLOCKS = re.compile(
    r"time\.(time|monotonic|perf_counter|process_time|thread_time|clock_gettime)(_ns)?"
    r"|(datetime\.)?(datetime|date)\.(now|utcnow|today)"
)
ASSERTING = re.compile(r"^(assert|raises|warns|fail|deprecated_call)")
"""A call by one of these names judges: pytest's own, unittest.mock's, and helpers named for it."""


def main(arguments: list[str]) -> int:
    """Print every fault of the tree and return the exit status."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    faults = sorted(check(root))
    for fault in faults:
        print(fault)
    print(f"house: {len(faults)} to put right" if faults else "house: in order")
    return 1 if faults else 0


def check(root: Path) -> list[str]:
    """Return each fault of the tree as ``path:line: sentence``."""
    with uncollected():
        return list(_faults(root))


def _faults(root: Path) -> Iterator[str]:
    files = tracked(root)
    sources = {name: (root / name).read_text("utf-8", "replace") for name in files if is_text(name)}
    trees: dict[str, ast.Module] = {}
    for name, source in sources.items():
        if name.endswith(".py"):
            try:
                trees[name] = ast.parse(source)
            except SyntaxError as error:
                yield f"{name}:{error.lineno}: does not parse: {error.msg}"
    yield from sizes(sources, trees)
    yield from mirrors(files)
    yield from judges({name: tree for name, tree in trees.items() if name.startswith("tests/")})
    yield from clocks({name: tree for name, tree in trees.items() if CLOCKS.search(sources[name])})
    yield from leftovers(sources)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: among the millions of nodes of all trees that takes as long as the checks."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def tracked(root: Path) -> list[str]:
    """Return the files that git knows or would take in, as paths below the root; without git, all files."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if (root / ".git").exists() else None
    if done is not None and done.returncode == 0:
        names: Iterable[str] = done.stdout.split("\0")
    else:
        names = (path.relative_to(root).as_posix() for path in root.rglob("*"))
    return sorted(name for name in set(names) if name and (root / name).is_file())


def is_text(name: str) -> bool:
    """Tell whether a file is one that a person wrote as text."""
    return PurePosixPath(name).suffix in TEXT


def sizes(sources: dict[str, str], trees: dict[str, ast.Module]) -> Iterator[str]:
    """Yield modules and functions of the package that are too long to hold one job."""
    for name, tree in trees.items():
        if not name.startswith("replguard/"):
            continue
        lines = sources[name].count("\n")
        if lines > MODULE_LINES:
            yield f"{name}:1: module of {lines} lines, at most {MODULE_LINES}: give its second job a file of its own"
        for node in _functions(tree):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: function {node.name} of {length} lines, at most {FUNCTION_LINES}"


def mirrors(files: list[str]) -> Iterator[str]:
    """Yield modules without their test and shipped rules without their fixtures."""
    known = set(files)
    for name in files:
        path = PurePosixPath(name)
        if path.parts[0] == "replguard" and path.suffix == ".py" and path.name != "__init__.py":
            inside = path.parent.relative_to("replguard")
            mirror = PurePosixPath("tests", inside, f"test_{path.stem}.py")
            if not known & {str(mirror), str(mirror.with_name(f"test_{path.stem.strip('_')}.py"))}:
                yield f"{name}:1: has no mirror {mirror}"
        if path.parts[0] == "rules" and path.suffix in {".yml", ".yaml"} and f"tests/{name}" not in known:
            yield f"{name}:1: shipped rule without fixtures, write tests/{name}"


def judges(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Yield tests that cannot fail: no assertion in them, nor in any helper of the tests that they call."""
    functions = [(name, node) for name, tree in trees.items() for node in _functions(tree)]
    facts = {id(node): _judged(list(ast.walk(node))) for _, node in functions}
    judging = {node.name for _, node in functions if facts[id(node)][0]}
    grown = True
    while grown:
        more = {node.name for _, node in functions if facts[id(node)][1] & judging}
        grown = not more <= judging
        judging |= more
    for name, node in functions:
        if node.name.startswith("test_") and PurePosixPath(name).name.startswith("test_"):
            own, calls = facts[id(node)]
            if not own and not calls & (judging - {node.name}):
                yield f"{name}:{node.lineno}: {node.name} asserts nothing"


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a tree; expressions, which are most of it, hold none."""
    waiting = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
                waiting.append(node)
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node


def _judged(nodes: list[ast.AST]) -> tuple[bool, set[str]]:
    """Return whether a function of these nodes can fail on purpose, and what it calls."""
    called = _called(nodes)
    return any(map(_asserts, nodes)) or any(ASSERTING.match(name) for name in called), called


def _asserts(node: ast.AST) -> bool:
    """Tell whether this is a judgement; a command run with ``check=True`` is judged too."""
    if isinstance(node, ast.Raise):
        return "AssertionError" in ast.unparse(node)
    if isinstance(node, ast.keyword):
        return node.arg == "check" and getattr(node.value, "value", False) is True
    return isinstance(node, ast.Assert)


def _called(nodes: list[ast.AST]) -> set[str]:
    """Return the names that are called, and those of arguments: a fixture may judge after the test."""
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    named = {node.arg for node in nodes if isinstance(node, ast.arg)}
    return named | {
        f.attr if isinstance(f, ast.Attribute) else f.id for f in called if isinstance(f, ast.Attribute | ast.Name)
    }


def clocks(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Yield calls that ask what time it is anywhere but in the one place that may: a replay has no clock."""
    for name, tree in trees.items():
        if not name.startswith("replguard/") or name == CLOCK:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and CLOCKS.fullmatch(ast.unparse(node.func)):
                yield f"{name}:{node.lineno}: {ast.unparse(node.func)}() asks the clock, which {CLOCK} alone may"


def leftovers(sources: dict[str, str]) -> Iterator[str]:
    """Yield lines that promise work for later, or name a place that only one machine has."""
    for name, source in sources.items():
        for pattern, sentence in ((LEFTOVERS, "is left over"), (PLACES, "names a place outside the project")):
            for found in pattern.finditer(source):
                line = source.count("\n", 0, found.start()) + 1
                yield f"{name}:{line}: '{found[0]}' {sentence}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
