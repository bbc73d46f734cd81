"""NVIDIA's library, by a stand-in."""

import pytest
from support.nvidia import FakeNvml

from replguard.kernel.nvml import Nvml, Use


def test_memory_by_process_and_unknown_is_none() -> None:
    """Both lists count, the larger number for one in both; N/A is None and never a number."""
    library = FakeNvml()
    library.compute = [(10, 2**30), (11, None), (12, 2**64 - 1)]
    library.graphics = [(10, 2**20), (13, 5)]
    nvml = Nvml(library)
    assert nvml.uses() == [
        Use(10, "GPU-0", "NVIDIA H100", 2**30),
        Use(11, "GPU-0", "NVIDIA H100", None),
        Use(12, "GPU-0", "NVIDIA H100", None),
        Use(13, "GPU-0", "NVIDIA H100", 5),
    ]
    nvml.close()
    assert library.open == 0


def test_a_list_that_is_not_kept_is_empty() -> None:
    """A device without graphics still tells what computes."""
    library = FakeNvml()
    library.compute = [(10, 7)]
    assert [use.pid for use in Nvml(library).uses()] == [10]


def test_trouble_of_the_library_is_an_oserror() -> None:
    """No driver, or a device that fell off the bus, in the library's own words."""
    library = FakeNvml()
    nvml = Nvml(library)
    library.broken = True
    with pytest.raises(OSError, match="GPU is lost"):
        nvml.uses()
    with pytest.raises(OSError, match="Driver Not Loaded"):
        Nvml(library)
