"""The service is installed, upgraded and removed in a real system, whose first process is systemd."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support import systemd

ROOT = Path(__file__).resolve().parents[2]
UNIT = "replguard.service"
JUDGES = "replguard-analyser.service"
FILE = f"/etc/systemd/system/{UNIT}"
PYTHON = "/opt/here/bin/python"
PLACED = """
for place in python site checkout; do mkdir -p /opt/$place; done
mount --bind "$1" /opt/python
mount --bind "$2" /opt/site
mount --bind "$3" /opt/checkout
/opt/python/bin/"$4" -I -m venv --without-pip --symlinks /opt/here
printf '/opt/site\n/opt/checkout\n' > "$(echo /opt/here/lib/python*/site-packages)/here.pth"
echo /opt/python/lib > /etc/ld.so.conf.d/00-here.conf
ldconfig
"""
"""The interpreter, what is installed in it and the checkout, where any user finds them: not below /root."""
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(systemd.unavailable() is not None, reason=systemd.unavailable() or ""),
]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[systemd.Manager]:
    """Give a system in which nothing of ours is installed."""
    with systemd.manager(tmp_path, user=False) as manager:
        places = (sys.base_prefix, Path(msgspec.__file__).parents[1], ROOT)
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        ended = manager.enter("sh", "-ec", PLACED, "-", *map(str, places), name)
        assert ended.returncode == 0, ended.stderr
        yield manager


def verb(system: systemd.Manager, *words: str, code: int = 0) -> list[str]:
    """Run a verb of this checkout there, and return the lines that it says."""
    ended = system.enter(PYTHON, "-I", "-m", "replguard", *words)
    assert ended.returncode == code, f"{ended.stdout}{ended.stderr}\n{system.said()}"
    return (ended.stdout + ended.stderr).splitlines()


def does(system: systemd.Manager, script: str) -> str:
    """Run a shell script there, and return what it says."""
    ended = system.enter("sh", "-ec", script)
    assert ended.returncode == 0, f"{ended.stderr}\n{system.ctl('status', UNIT, check=False)}"
    return ended.stdout


def test_a_service_comes_and_goes(system: systemd.Manager) -> None:
    """Installed it runs, restricted, by its own user; again changes nothing; removed it leaves the evidence."""
    first = verb(system, "install")
    assert {line[0] for line in first} == {"+"}
    assert first[-1] == "+ enabled and started the service"
    assert system.show(UNIT, "SubState") == "running"
    assert system.show(UNIT, "StatusText").startswith("watching, ")
    system.until(lambda: system.show(JUDGES, "StatusText") == "judging")
    judges = dict(
        line.split(":\t", 1)
        for line in does(system, f"cat /proc/{system.show(JUDGES, 'MainPID')}/status").splitlines()
        if ":\t" in line
    )
    assert int(judges["Uid"].split()[0]) > 0
    assert {int(judges[key], 16) for key in ("CapEff", "CapPrm", "CapBnd")} == {0}
    paths = "/etc/replguard/* /etc/replguard /var/l*/replguard /var/lib/replguard/* /var/log/replguard/raw*"
    modes = does(system, f"stat -c '%a %U:%G %n' {paths}")
    assert "600 root:root /etc/replguard/replguard.yaml\n" in modes
    assert "750 root:replguard /etc/replguard/manifest.d\n" in modes
    assert "710 root:replguard /var/lib/replguard\n" in modes
    assert "700 replguard:replguard /var/lib/replguard/analyser\n" in modes
    assert "750 replguard:replguard /var/log/replguard\n" in modes
    assert "640 replguard:replguard /var/log/replguard/raw-000001.jsonl\n" in modes
    pid = system.pid(UNIT)
    assert {line[0] for line in verb(system, "install")} == {"="}
    assert system.pid(UNIT) == pid

    last = verb(system, "uninstall")
    assert last[0] == "+ stopped and disabled the service"
    assert system.show(UNIT, "LoadState") == "not-found"
    assert "= /var/log/replguard: kept (--purge removes it)" in last
    assert {line[0] for line in verb(system, "uninstall")} == {"="}
    verb(system, "uninstall", "--purge")
    left = does(
        system, "ls -d /etc/*/replguard* /etc/systemd/system/replguard* /etc/replguard /var/l*/replguard || true"
    )
    assert left == ""


def test_what_the_page_shows_can_be_done(system: systemd.Manager) -> None:
    """Every command from top to bottom but those of pip; and the lines of `install` are those that it says.

    What the archive's part of the page shows is done by `make package-test`, which has an archive.
    """
    page = re.sub(r"(?ms)^\(archive\)=.*?(?=^## Upgrade)", "", (ROOT / "docs/installing.md").read_text())
    program = f"exec {PYTHON} -I -m replguard"
    does(system, f"mkdir -p /opt/replguard/bin && cd /opt/replguard/bin && echo '{program} \"$@\"' > replguard")
    does(
        system, "chmod +x /opt/replguard/bin/replguard; mkdir -p /usr/local/sbin; cp -r /opt/replguard/bin /run/theirs"
    )
    paths = "export DESTDIR=/run/package PATH=/usr/local/sbin:/run/theirs:$PATH"
    blocks = "".join(re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    commands = re.findall(r"^[#$] (?!cd |python3 |.*bin/pip )(.*)$", blocks, re.MULTILINE)
    said = [does(system, f"{paths}; {command}") for command in commands]
    (shown,) = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown in said
    assert any("+ stopped and disabled the service" in each for each in said)


def test_a_unit_that_was_changed_is_kept(system: systemd.Manager) -> None:
    """The new one lies beside it; brought up to date is one that nobody changed, and the service started anew."""
    verb(system, "install")
    does(system, f"echo '# ours' >> {FILE}")
    assert f"= {FILE}: was changed here; what would be put there is {FILE}.new" in verb(system, "install")
    assert "# ours" in does(system, f"cat {FILE}")
    does(system, f"mv {FILE}.new {FILE}; sed -i s/^Nice=5/Nice=6/ {FILE}; head -n -1 {FILE} > /run/older")
    seal = "from replguard.install import shipped; print(shipped.seal(open('/run/older').read()), end='')"
    does(system, f'{PYTHON} -c "{seal}" > /run/sealed && mv /run/sealed {FILE}')
    pid = system.pid(UNIT)
    told = verb(system, "install")
    assert f"+ {FILE}: brought up to date" in told
    assert told[-1] == "+ started the service anew"
    assert system.pid(UNIT) not in (0, pid)


def test_a_service_that_does_not_start_is_told(system: systemd.Manager) -> None:
    """With what systemd says of it, and exit code 1; what was written stays."""
    does(system, "mkdir -p /etc/replguard && echo 'unknown: 1' > /etc/replguard/replguard.yaml")
    told = verb(system, "install", code=1)
    assert "= /etc/replguard/replguard.yaml: is yours" in told
    assert any(line.startswith("! `systemctl enable --now replguard.service` failed: ") for line in told)
