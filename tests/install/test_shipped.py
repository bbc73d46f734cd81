"""What is installed is what is shipped, made for the interpreter, and a change of it is seen."""

import re

import msgspec
import pytest

from replguard import config
from replguard.install import shipped


def test_the_unit_runs_the_interpreter_of_the_installation():
    """As systemd reads it, whatever the path holds; all else is as shipped."""
    unit = shipped.unit('/srv/a "b" 100%/$x/bin/python')
    line = r'ExecStart="/srv/a \"b\" 100%%/$$x/bin/python" -I -m replguard run --only collector'
    assert line in unit.splitlines()
    assert unit.count("ExecStart=") == 1
    assert "Type=notify\n" in unit
    assert '"/p" -I -m replguard run --only analyser' in shipped.unit("/p", shipped.OTHERS[0])


def test_folders_are_those_of_the_units():
    """systemd-tmpfiles, the units and an installation without either agree."""
    folders = shipped.folders()
    watches, judges = shipped.unit("python"), shipped.unit("python", shipped.OTHERS[0])
    for unit, key, path in (
        (watches, "State", "var/lib/replguard"),
        (watches, "Configuration", "etc/replguard"),
        (judges, "State", "var/lib/replguard/analyser"),
        (judges, "Logs", "var/log/replguard"),
    ):
        mode, user, group = folders[path]
        assert f"{key}Directory={path.partition('replguard')[1]}{path.partition('replguard')[2]}\n" in unit
        assert f"{key}DirectoryMode={mode:04o}\n" in unit
        assert (user, group) == ("root" if unit is watches else "replguard", "replguard")


def test_the_first_configuration_says_nothing(tmp_path):
    """Each key is there to be read, and none set; with the marks taken away it is one that is right."""
    text, path = shipped.configuration(), tmp_path / "replguard.yaml"
    path.write_text(text)
    assert config.load(path) == config.Config()
    path.write_text(re.sub(r"(?m)^#(?! \S)", "", text))
    assert config.load(path) != config.Config()
    assert set(msgspec.yaml.decode(path.read_bytes())) >= {"weights", "sinks", "metrics", "mode"}


@pytest.mark.parametrize("text", ["", "a\n", "a: 1\nb: 2\n"])
def test_a_change_breaks_the_seal(text):
    """One that was never sealed, changed, cut or lengthened is not as it was written."""
    sealed = shipped.seal(text + "x\n")
    assert shipped.sealed(sealed)
    for changed in (text, sealed + "\n", sealed[1:], sealed[:-2], sealed.replace("x", "y", 1), "more\n" + sealed):
        assert not shipped.sealed(changed)
