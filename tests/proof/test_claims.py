"""What the page says of claims of device memory, and the stand-in itself."""

import shutil

import pytest
from proof import claims

TOLD = {"bytes": 2**30, "off": 0.0, "seconds": 0.6, "told": ["GPU-stand-in", "gpu_memory"], "day": "2026-11-27"}


def test_the_page_says_that_it_was_no_gpu() -> None:
    """And in how many claims all was as it has to be."""
    rows = {"stand-in/1": TOLD, "stand-in/2": TOLD | {"seconds": 2.5}, "stand-in/3": {"failed": "no C compiler"}}
    text = "\n".join(claims.page(rows))
    assert "no GPU in this machine" in text
    assert "In 1 of 2 claims" in text
    assert "no C compiler" in text
    assert claims.figures(rows) == {"stand-in: told in time": 0.5}


@pytest.mark.root
@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("unshare")), reason="needs a C compiler and unshare")
def test_a_claim_is_told_by_a_running_daemon() -> None:
    """Of the right process, to the byte."""
    row = claims.run("stand-in/1")
    assert "failed" not in row, row
    assert row["bytes"] == claims.CLAIMED
    assert row["told"] == ["GPU-stand-in", "gpu_memory"]
