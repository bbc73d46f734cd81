"""The house checks find each fault they are there for, and nothing in a tree that is in order."""

import importlib.util
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
assert _spec is not None
assert _spec.loader is not None
house = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(house)


def tree(root: Path, **files: str) -> Path:
    """Write files below a root; in a keyword ``__`` stands for a slash and ``_dot_`` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_tree_in_order_has_no_fault(tmp_path, capsys):
    """A module with its mirror, a rule with its fixtures and a test that asserts are in order."""
    tree(
        tmp_path,
        replguard__cli__run_dot_py='"""One."""\n',
        tests__cli__test_run_dot_py="def test_it():\n    assert True\n",
        rules__copy__a_dot_yml="title: a\n",
        tests__rules__copy__a_dot_yml="fires: []\n",
    )
    assert house.main([str(tmp_path)]) == 0
    assert "in order" in capsys.readouterr().out


def test_long_modules_and_functions_are_named(tmp_path):
    """The offender is named with its line and its length."""
    long = "def f():\n" + "    x = 1\n" * 61
    tree(
        tmp_path,
        replguard__a_dot_py="\n" + long,
        replguard__b_dot_py="x = 1\n" * 401,
        tests__test_a_dot_py="",
        tests__test_b_dot_py="",
    )
    faults = list(house.check(tmp_path))
    assert faults == [
        "replguard/a.py:2: function f of 62 lines, at most 60",
        "replguard/b.py:1: module of 401 lines, at most 400: give its second job a file of its own",
    ]


def test_a_module_without_mirror_is_named(tmp_path):
    """Packages of any depth and private modules need their mirror; __init__ does not."""
    tree(tmp_path, replguard__weights__formats__gguf_dot_py="")
    (tmp_path / "replguard/__init__.py").write_text("")
    (tmp_path / "replguard/__main__.py").write_text("")
    faults = list(house.check(tmp_path))
    assert faults == [
        "replguard/__main__.py:1: has no mirror tests/test___main__.py",
        "replguard/weights/formats/gguf.py:1: has no mirror tests/weights/formats/test_gguf.py",
    ]


def test_a_rule_without_fixtures_is_named(tmp_path):
    """A shipped rule that nobody tried is a fault."""
    tree(tmp_path, rules__copy__a_dot_yml="title: a\n")
    assert list(house.check(tmp_path)) == [
        "rules/copy/a.yml:1: shipped rule without fixtures, write tests/rules/copy/a.yml"
    ]


def test_tests_that_assert_nothing_are_named(tmp_path):
    """A test judges by assert, by pytest.raises, a mock, a checked command, or through helpers and fixtures."""
    tree(
        tmp_path,
        tests__helper_dot_py="def deep():\n    assert 1\n\ndef helper():\n    deep()\n",
        tests__test_x_dot_py=(
            "def test_none():\n    print(1)\n\n"
            "def test_raises():\n    with pytest.raises(ValueError):\n        int('x')\n\n"
            "def test_helper():\n    helper()\n\n"
            "def test_mock():\n    m.assert_called_once()\n\n"
            "def test_command():\n    run(['true'], check=True)\n\n"
            "def quiet():\n    yield\n    assert 1\n\n"
            "def test_fixture(quiet):\n    print(1)\n"
        ),
    )
    assert list(house.check(tmp_path)) == ["tests/test_x.py:1: test_none asserts nothing"]


def test_only_one_module_asks_the_clock(tmp_path):
    """A call elsewhere in the package is told; sleeping is not asking."""
    asking = "import time\nfrom datetime import datetime\ntime.sleep(1)\ntime.monotonic_ns()\ndatetime.now(UTC)\n"
    tree(
        tmp_path,
        replguard__events__clock_dot_py=asking,
        replguard__a_dot_py=asking,
        tests__events__test_clock_dot_py="",
        tests__test_a_dot_py=asking,
    )
    assert [fault.split(" asks")[0] for fault in house.check(tmp_path)] == [
        "replguard/a.py:4: time.monotonic_ns()",
        "replguard/a.py:5: datetime.now()",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("# TO" + "DO later\n", "is left over"),
        ("raise Not" + "ImplementedError\n", "is left over"),
        ("open('/wo" + "rk/x')\n", "outside the project"),
        ("https://pypi.o" + "rg/simple\n", "outside the project"),
    ],
)
def test_leftovers_and_foreign_places_are_named(tmp_path, text, part):
    """Promises for later and places of one machine are found in any text file, with their line."""
    tree(tmp_path, docs__page_dot_md="first\n" + text)
    (fault,) = house.check(tmp_path)
    assert fault.startswith("docs/page.md:2: ")
    assert part in fault


def test_a_file_that_does_not_parse_is_a_fault(tmp_path):
    """Broken Python is told with its line and ends nothing."""
    tree(tmp_path, tools__x_dot_py="def (:\n")
    (fault,) = house.check(tmp_path)
    assert fault.startswith("tools/x.py:1: does not parse")


def test_the_whole_project_is_checked_quickly():
    """The checks are cheap enough to run before every commit."""
    before = time.process_time()
    faults = list(house.check(ROOT))
    assert time.process_time() - before < 5
    assert all(":" in fault for fault in faults)
