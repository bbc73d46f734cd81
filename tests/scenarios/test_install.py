"""The service is installed, upgraded and removed in a real system, whose first process is systemd."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import systemd

ROOT = Path(__file__).resolve().parents[2]
UNIT = "replguard.service"
FILE = f"/etc/systemd/system/{UNIT}"
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(systemd.unavailable() is not None, reason=systemd.unavailable() or ""),
]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[systemd.Manager]:
    """Give a system in which nothing of ours is installed."""
    with systemd.manager(tmp_path, user=False) as manager:
        yield manager


def verb(system: systemd.Manager, *words: str, code: int = 0) -> list[str]:
    """Run a verb of this checkout there, and return the lines that it says."""
    ended = system.enter(sys.executable, "-I", "-m", "replguard", *words)
    assert ended.returncode == code, f"{ended.stdout}{ended.stderr}\n{system.said()}"
    return (ended.stdout + ended.stderr).splitlines()


def does(system: systemd.Manager, script: str) -> str:
    """Run a shell script there, and return what it says."""
    ended = system.enter("sh", "-ec", script)
    assert ended.returncode == 0, f"{ended.stderr}\n{system.ctl('status', UNIT, check=False)}"
    return ended.stdout


def test_a_service_comes_and_goes(system: systemd.Manager) -> None:
    """Installed it runs, restricted, by its own group; again changes nothing; removed it leaves the evidence."""
    first = verb(system, "install")
    assert {line[0] for line in first} == {"+"}
    assert first[-1] == "+ enabled and started the service"
    assert system.show(UNIT, "SubState") == "running"
    assert system.show(UNIT, "StatusText").startswith("watching, ")
    modes = does(
        system, "stat -c '%a %U:%G %n' /etc/replguard/* /etc/replguard /var/l*/replguard /var/log/replguard/raw*"
    )
    assert "600 root:root /etc/replguard/replguard.yaml\n" in modes
    assert "750 root:replguard /etc/replguard/manifest.d\n" in modes
    assert "700 root:replguard /var/lib/replguard\n" in modes
    assert "750 root:replguard /var/log/replguard\n" in modes
    assert "640 root:replguard /var/log/replguard/raw-000001.jsonl\n" in modes
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
    program = f"exec {sys.executable} -I -m replguard"
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
    does(system, f'{sys.executable} -c "{seal}" > /run/sealed && mv /run/sealed {FILE}')
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
