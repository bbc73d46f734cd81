"""Hooks: which a kernel or a profile lacks, what stands in for them, and how that is said."""

import importlib
import pkgutil
import platform

import pytest

from replguard.kernel import bpf, hooks
from replguard.kernel.hooks import Hook

NEW = Hook("read", "tp_btf/read", (6, 12), "opens stand in", "how much was read")
OLD = Hook("page", "tp_btf/page", (4, 0), "nothing stands in", "the same", until=(5, 18))
LOOP = Hook("exec", "tp_btf/exec", (5, 17), "a variant stands in", "deep paths")
FLAT = Hook("exec_bounded", "tp_btf/exec", (5, 11), "the portable tier stands in", "short lives", better="exec")
ALL = (NEW, OLD, LOOP, FLAT)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.8.0-45-generic", (6, 8)), ("5.14.0-427.el9.x86_64", (5, 14)), ("6.12", (6, 12)), ("odd", (0, 0))],
)
def test_releases_are_read(release: str, version: tuple[int, int]) -> None:
    """Whatever a distribution adds; what is no version is older than all."""
    assert hooks.parse(release) == version
    if version != (0, 0):
        assert hooks.spell(version) == ".".join(map(str, version))


@pytest.mark.parametrize(
    ("profile", "left"),
    [("5.15", {"read", "exec"}), ("6.1", {"read", "page"}), ("6.12", {"page"})],
)
def test_a_profile_leaves_out_what_its_kernel_lacks(profile: str, left: set[str]) -> None:
    """Each with a reason, or none where it is not needed there."""
    found = hooks.refused(ALL, profile)
    assert set(found) == left
    assert all((name == "page") == (reason == "") for name, reason in found.items())
    assert all(profile in reason for reason in found.values() if reason)


def test_without_a_profile_everything_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution's old kernel may have a new hook: only what it does not need is left out."""
    monkeypatch.setattr(platform, "release", lambda: "5.14.0-427.el9.x86_64")
    assert hooks.refused(ALL, "auto") == {}
    monkeypatch.setattr(platform, "release", lambda: "6.18.1")
    assert hooks.refused(ALL, "auto") == {"page": ""}


def test_what_stands_in_for_another_is_spared_while_that_is_there() -> None:
    """Both would tell everything twice."""
    assert hooks.spared(ALL, {}) == {"exec_bounded": ""}
    assert hooks.spared(ALL, {"exec": "refused"}) == {}


def test_what_is_lost_is_a_sentence_for_each_hook_that_is_missed() -> None:
    """None for one that is spared."""
    assert hooks.lost(ALL, {"read": "no such place", "exec_bounded": ""}) == [
        "without tp_btf/read (no such place) opens stand in; how much was read."
    ]


def test_every_decoder_says_where_its_programs_stand() -> None:
    """Each program of each object has its hook, and each name is one that is there."""
    names = [info.name for info in pkgutil.iter_modules(bpf.__path__)]
    assert "process" in names
    for name in names:
        module = importlib.import_module(f"replguard.kernel.bpf.{name}")
        image = bpf.image(module.OBJECT)
        programs = {hook.program for hook in module.HOOKS}
        for hook in module.HOOKS:
            assert hook.program.encode() in image, hook
            assert hook.point.encode() in image, hook
            assert hook.better is None or hook.better in programs
            assert not hook.instead.endswith(".")
            assert not hook.lost.endswith(".")
