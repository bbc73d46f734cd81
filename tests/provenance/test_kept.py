"""What is kept on disk is named by attributes: each is there, and as it is said to be."""

from operator import attrgetter

import msgspec
import pytest
from support.story import Host

from replguard.provenance.kept import OUTLIVING, PARTS


@pytest.mark.parametrize("name", sorted(PARTS))
def test_each_part_has_what_is_kept_of_it(name: str) -> None:
    """A name that is no attribute any more would be kept of nothing; and its kind is the same."""
    where, kind = PARTS[name]
    part = attrgetter(where)(Host().provenance)
    for field in msgspec.structs.fields(kind):
        there = getattr(part, field.name)
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        assert isinstance(there, type(default)), f"{where}.{field.name}"


def test_what_outlives_a_reboot_is_kept() -> None:
    """Each of it is the name of a part."""
    assert set(PARTS) > OUTLIVING
