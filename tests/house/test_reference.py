"""The reference says what the code does: every page made from it is fresh, and every key has its sentence."""

import importlib.util
from pathlib import Path

import msgspec
import pytest

from replguard import config

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
assert _spec is not None
assert _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


def structs(kind=config.Config):
    yield kind
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from structs(field.type)


@pytest.mark.parametrize("name", reference.PAGES)
def test_no_page_is_stale(name):
    """After a change of an interface: make reference, and commit the page."""
    assert (ROOT / "docs/reference" / name).read_text("utf-8") == reference.PAGES[name](), "stale: run make reference"


def test_every_configuration_key_has_its_sentence():
    """A key without one would be an empty cell in the reference."""
    for struct in structs():
        sentences = reference.attribute_docs(struct)
        for field in msgspec.structs.fields(struct):
            assert sentences.get(field.name, "").endswith("."), f"{struct.__name__}.{field.name}"


def test_every_key_stands_on_the_page_once():
    """The page lists each key by its full name."""
    page = reference.configuration()
    for key in ("weights.min_size", "log.evidence.max_age", "sensors.gpu", "state_dir", "metrics.listen"):
        assert page.count(f"`{key}` |") == 1


def test_pages_are_written_where_they_are_stale(tmp_path, monkeypatch, capsys):
    """A fresh page is not touched, a stale one is written and named."""
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main() == 0
    assert {path.name for path in tmp_path.iterdir()} == set(reference.PAGES)
    capsys.readouterr()
    assert reference.main() == 0
    assert capsys.readouterr().out == ""
