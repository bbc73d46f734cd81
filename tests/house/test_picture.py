"""The picture in the documentation is what the code draws."""

import importlib.util
import os
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def picture():
    """Return the tool; the clock of this process is as before once it has drawn."""
    spec = importlib.util.spec_from_file_location("picture", ROOT / "tools" / "picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = os.environ.get("TZ")
    yield module
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_the_picture_is_not_stale(picture):
    """After a change of `top`: make reference, and commit the picture."""
    assert picture.PICTURE.read_text("utf-8") == picture.drawn(), "stale: run make reference"


def test_it_asks_nobody_for_anything(picture):
    """A page of the documentation loads nothing from elsewhere."""
    assert "url(http" not in picture.drawn()
    assert "NOT" in picture.drawn()
