"""YAML keeps its lines, tells every fault, and no file, however hostile, costs more than an error."""

from typing import Literal

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from replguard import yamlfile
from replguard.errors import ConfigError, Problem


class Item(msgspec.Struct):
    name: str
    ports: tuple[int, ...] = ()
    state: Literal["on", "off", "auto"] = "auto"


class Top(msgspec.Struct):
    items: tuple[Item, ...] = ()
    one: Item | None = None
    by_name: dict[str, Item] = {}
    size: int = 0


def faults(data: bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        yamlfile.parse(data, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


def converted(data: bytes) -> tuple[Top | None, list[str]]:
    (document,) = yamlfile.parse(data, "f.yaml")
    problems = []
    top = yamlfile.convert(document, Top, problems)
    return top, [str(problem) for problem in problems]


def test_every_place_has_its_line():
    """A problem names the line of the key it is about, or of the nearest thing around it."""
    (document,) = yamlfile.parse(b"a:\n  b:\n    - 1\n    - {c: 2}\n", "f.yaml")
    assert document.value == {"a": {"b": [1, {"c": 2}]}}
    assert [document.line(p) for p in [("a",), ("a", "b"), ("a", "b", 1), ("a", "b", 1, "c")]] == [1, 2, 4, 4]
    assert document.line(("a", "b", 7, "nothing")) == 2
    assert str(document.problem(("a", "b", 1), "is wrong")) == "f.yaml:4: is wrong"


def test_several_documents_and_none():
    """A file holds any number of documents; an empty one holds none."""
    values = [document.value for document in yamlfile.parse(b"a: 1\n---\n- 2\n---\n", "f.yaml")]
    assert values == [{"a": 1}, [2], None]
    assert yamlfile.parse(b"", "f.yaml") == []
    assert yamlfile.parse(b"# nothing\n", "f.yaml") == []


def test_lines_of_a_later_document_count_from_the_file():
    """The line is the editor's, whichever document it is in."""
    _, second = yamlfile.parse(b"a: 1\n---\nb: 2\n", "f.yaml")
    assert second.line(("b",)) == 3


def test_anchors_are_values():
    """An alias stands for a value of its own."""
    (document,) = yamlfile.parse(b"a: &x [1, 2]\nb: *x\n", "f.yaml")
    assert document.value == {"a": [1, 2], "b": [1, 2]}
    assert document.value["a"] is not document.value["b"]


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "true"])
def test_a_key_that_yaml_takes_for_a_truth_value_is_a_word(word):
    """`on:` means the word."""
    (document,) = yamlfile.parse(f"{word}: 1\n".encode(), "f.yaml")
    assert document.value == {word: 1}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"a: 1\nb: 2\na: 3\n", "f.yaml:3: 'a' is given twice"),
        (b"a: 1\nb: x\0y\n", "f.yaml:2: not YAML: control characters are not allowed"),
        (b'a: "x\\0y"\n', "f.yaml:1: holds a NUL character, which no path or name can"),
        (b"a: 1\nb: \xff\n", "f.yaml:2: not YAML: invalid leading UTF-8 octet"),
        (b"a: !!python/object/apply:os.system [id]\n", "f.yaml:1: 'tag:yaml.org,2002:python/object/apply:os.system'"),
        (b"a: !!python/name:os.system\n", "f.yaml:1: not a plain value: could not determine a constructor"),
        (b"a: 1\nb: 2027-13-45\n", "f.yaml:2: not a plain value: month must be in 1..12"),
        (b"a: " + b"9" * 5000, "f.yaml:1: not a plain value: Exceeds the limit"),
        (b"? [a]\n: 1\n", "f.yaml:1: a key must be a plain word"),
        (b"x: &x {a: 1}\ny:\n  <<: *x\n", "f.yaml:3: a key must be a plain word"),
        (b"a:\n\tb: 1\n", "f.yaml:2: not YAML: found character that cannot start any token"),
        (b"a: [1\nb: 2\n", "f.yaml:2: not YAML: did not find expected ',' or ']'"),
        (b"a: *nothing\n", "f.yaml:1: not YAML: found undefined alias"),
        (b"a: &a [*a]\n", "f.yaml:1: nested deeper than 64, or in itself"),
    ],
)
def test_what_is_no_plain_yaml_is_an_error_at_its_line(data, fault):
    """Each fault is one sentence with file and line."""
    (found,) = faults(data)
    assert found.startswith(fault)


def test_all_faults_of_a_file_are_told_at_once():
    """A file is mended in one go."""
    assert [fault.split(":")[1] for fault in faults(b"a: 1\na: 2\nb: 2027-99-99\n---\nc: 1\nc: 2\n")] == ["2", "3", "6"]


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_deep_nesting_is_refused_before_the_composer_dies_of_it(opening):
    """A hundred thousand levels overflow the stack of PyYAML's C composer, which no except can catch."""
    (fault,) = faults(opening * 100_000)
    assert "nested deeper than 64" in fault


def test_aliases_cannot_stand_for_a_billion_values():
    """Ten lines that double or more at each line are refused as soon as they have cost what a large file may."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (fault,) = faults("\n".join(lines).encode())
    assert fault.endswith(f"its aliases make more than {yamlfile.MAX_NODES} values")


def test_a_file_of_too_many_values_is_refused():
    """Neither one document nor many of them may hold more."""
    assert faults(b"[" + b"1," * 300_000 + b"]") == [f"f.yaml:1: more than {yamlfile.MAX_NODES} values"]
    assert faults(b"---\n" * 300_000)[0].endswith(f"more than {yamlfile.MAX_NODES} values")


def test_a_file_is_read_up_to_its_limit(tmp_path):
    """A configuration of megabytes is a mistake, as are a folder and a file that is not there."""
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (yamlfile.MAX_BYTES + 1))
    for path, text in (
        (large, "is larger than"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "none.yaml", "cannot be read: No such file or directory"),
        (tmp_path / "a\0b", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(ConfigError, match=text):
            yamlfile.read(path)


def outcome(data: bytes) -> list[yamlfile.Document] | list[Problem]:
    try:
        return yamlfile.parse(data, "f.yaml")
    except ConfigError as error:
        return error.problems


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_configuration_error(data):
    """Whatever the bytes are, the reader hears a sentence."""
    assert all(part.path == "f.yaml" for part in outcome(data))


@given(st.text("abc:-[]{},&*!|>'\"#%@? \n\t0<~", max_size=80))
def test_no_text_made_of_yamls_own_signs_raises_anything_else(text):
    """The signs that mean something to YAML, in any order."""
    assert all(part.path == "f.yaml" for part in outcome(text.encode()))


def test_structs_are_filled():
    """Lists, mappings and optional parts of structs are filled to any depth."""
    top, problems = converted(
        b"items:\n- {name: a, ports: [1, 2], state: off}\none: {name: b}\nby_name:\n  x: {name: c}\nsize: 3\n"
    )
    assert problems == []
    assert top == Top(
        items=(Item("a", (1, 2), "off"),),
        one=Item("b"),
        by_name={"x": Item("c")},
        size=3,
    )


def test_every_fault_of_every_depth_is_told_with_its_line():
    """One reading tells all."""
    top, problems = converted(
        b"items:\n- {name: a, prots: [1]}\n- name: b\n  ports:\n  - 1\n  - x\none: {}\nby_name:\n  x: 3\n"
        b"size: many\nwhat: 1\n"
    )
    assert top is None
    assert problems == [
        "f.yaml:2: unknown key 'prots', did you mean 'ports'?",
        "f.yaml:6: 'ports': Expected int, got text",
        "f.yaml:7: 'name' is missing",
        "f.yaml:9: 'x': Expected keys and values, got int",
        "f.yaml:10: 'size': Expected int, got text",
        "f.yaml:11: unknown key 'what' (known: by_name, items, one, size)",
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"- 1\n", "f.yaml:1: expected keys and values, got list"),
        (b"word\n", "f.yaml:1: expected keys and values, got str"),
        (b"items: {name: a}\n", "f.yaml:1: 'items': Expected a list, got keys and values"),
        (b"one: []\n", "f.yaml:1: 'one': Expected keys and values or nothing, got a list"),
        (b"items:\n", "f.yaml:1: 'items': Expected a list, got nothing"),
        (b"one: {name: a, state: of}\n", "f.yaml:1: 'state': 'of' is none of on, off, auto"),
        (b"3: x\n", "f.yaml:1: unknown key '3' (known: by_name, items, one, size)"),
    ],
)
def test_the_wrong_shape_is_told_in_the_words_of_yaml(data, fault):
    """A list where keys belong, keys where a list belongs, and a word that is none of those known."""
    top, problems = converted(data)
    assert top is None
    assert problems == [fault]


def test_a_part_of_a_document_can_be_converted():
    """A place inside a document is converted by itself."""
    (document,) = yamlfile.parse(b"x:\n  size: 4\n", "f.yaml")
    problems = []
    assert yamlfile.convert(document, Top, problems, place=("x",)) == Top(size=4)
    assert problems == []


@pytest.mark.parametrize("text", ["/models/a: b", "~", "on", "1e3", " x ", "caf\u00e9 \u202e", "two\nlines", "\udc80"])
def test_what_is_written_is_read_again(text):
    """Also what libyaml cannot write: the name of a file need not be text."""
    document = {"jobs": [{"name": text, "weights": [text, "x"], "user": 0}], "a": {}}
    assert yaml.safe_load(yamlfile.written(document)) == document
    assert list(yaml.safe_load(yamlfile.written(document))) == ["jobs", "a"]
