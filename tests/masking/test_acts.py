"""No word can be written before or around an act that hides it from the rules."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from replguard.events.event import Event
from replguard.masking.acts import literal
from replguard.masking.commands import PLAIN
from replguard.masking.mask import masked
from replguard.rules.cases import read_cases
from replguard.rules.engine import Engine
from replguard.rules.fixtures import fixture_path, only
from replguard.rules.index import Index
from replguard.rules.load import load

RULES = Path(__file__).resolve().parents[2] / "rules"
SHIPPED = load(shipped=RULES)
SALTS = (
    "wandb login", "vault unseal", "mysql -p", "sshpass -p", "redis-cli AUTH", "openssl passwd", "curl -u a:",
    "echo A_TOKEN", "htpasswd -nb", "twine upload -p", "zip -P", "bearer", "-----BEGIN", "a://x:y@",
    "http://u:p",
)  # fmt: skip
"""Between the words of any program: none of them keeps it from what it does with the others."""
OPERANDS = (
    "--password",
    "-- --token",
    "-- --api-key",
    "PASSWORD =",
    "password=",
    "TOKEN :",
    "db.password:",
    "A_SECRET=",
    "set my-token",
)
"""Between the words of a program that takes them for names of files, units or processes, or says that it knows none."""
AROUND = (
    "sudo {}", "sudo A_TOKEN= {}", "env A_TOKEN=x {}", "timeout -k 5 9 {}", "nohup nice -n 5 {}", "xargs -n 1 {}",
)  # fmt: skip
_PEM = "-----BEGIN RSA PRI" + "VATE KEY-----"
LINES = (
    "PASSWORD=x {}", "PASSWORD= {}", 'PASSWORD="x$({})"', "PASSWORD=x`{}`", "export TOKEN='x'; {}", "API_KEY=a|{}",
    "true --token x; {}", "true --password x;{}", "echo x|chpasswd; {}", "echo $({})|chpasswd", "PASSWORD=\n{}",
    "sudo -S true <<< 'a'; {}", "sudo -S true <<< $({})", "echo bearer; {}", "wandb login; {}", "wandb login&&{}",
    "mysql -p$({})", "true http://u:x;{}; true @h", "curl -u x:$({})", "echo x --password\n{}",
    "if true --token a; then {}; fi", 'true --token "a$({})"', r'echo \"PASSWORD=x;{}', f"{_PEM}\n{{}}",
    f"true '{_PEM}'; {{}}", """echo "password "; {}; '"'""", """echo 'identified by "';{};'"'""",
)  # fmt: skip
"""What a shell does before, and still does the rest."""


def _written(event: Event) -> tuple[str, ...] | None:
    line = event.process.command_line if event.process is not None else None
    if not line:
        return None
    shell = line.split(" -c ", 1)
    return (shell[0], "-c", shell[1]) if shell[0] in ("sh", "bash") and len(shell) > 1 else tuple(line.split())


def _tricks(args: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    line = args[-1] if args[1:2] == ("-c",) else shlex.join(args)
    yield from ((*around.replace("{}", "").split(), *args) for around in AROUND)
    yield from (("sh", "-c", around.replace("{}", line)) for around in LINES)
    if args[1:2] == ("-c",):
        return
    salts = (
        () if args[0] == "ssh" else (*SALTS, *OPERANDS) if args[0] in PLAIN else SALTS
    )  # ssh would run what they say
    for at in range(1, len(args) + 1):
        for salt in salts:
            yield (*args[:at], *salt.split(), *args[at:])
            yield ("sh", "-c", " ".join((*args[:at], *salt.split(), *args[at:])))
            yield ("sudo", *args[:at], *salt.split(), *args[at:])


def _acts() -> list[tuple[str, str]]:
    return [
        (rule.name, case.name)
        for rule in SHIPPED.rules
        for case in read_cases(fixture_path(rule, RULES))
        if case.kind == "fires" and len(case.events) == 1 and _written(case.events[0])
    ]


def _fires(engine: Engine, event: Event, args: tuple[str, ...]) -> bool:
    process = msgspec.structs.replace(event.process, command_line=" ".join(args))
    return bool(engine.feed(msgspec.structs.replace(event, process=process)))


@pytest.mark.parametrize(("name", "case"), _acts())
def test_what_the_rules_see_of_an_act_is_not_hidden(name: str, case: str) -> None:
    """A rule that matches the words as they were given matches what the mask leaves of them too."""
    rule = SHIPPED.find(name)
    alone = only(rule, SHIPPED)
    index = Index(alone.rules)
    event = next(
        one for one in read_cases(fixture_path(rule, RULES)) if one.name == case and one.kind == "fires"
    ).events[0]
    given = _written(event)
    assert given is not None
    hidden, seen = [], 0
    for args in _tricks(given):
        if _fires(Engine(alone, index), event, args):
            seen += 1
            if not _fires(Engine(alone, index), event, masked(args)):
                hidden.append((args, masked(args)))
    assert seen
    assert hidden == []


@pytest.mark.parametrize(
    "line",
    [
        "systemctl stop wandb login replguard",
        "systemctl stop vault unseal replguard",
        "systemctl stop -- --password auditd",
        "systemctl stop a://x:replguard@",
        "cp wandb login /models/llama/w.safetensors /dst",
        "rm -rf wandb login /var/log/replguard",
        "rm -rf glc_aaaaaaaaaaaaaaaa/../../../var/log/audit",
        "tee wandb login /etc/replguard/x",
        "scp w.gguf password:x",
        "sh -c 'PASSWORD=\"$(systemctl stop replguard)\"'",
        "sh -c 'echo x > /root/.ssh/authorized_keys |chpasswd'",
        "sh -c 'systemctl stop bearer auditbeat'",
        "sh -c 'TOKEN= systemctl stop auditd'",
        "sudo TOKEN= systemctl stop auditd",
        "x --password /var/log/audit/audit.log",
        "curl set my-token http://127.0.0.1:8001/",
        "docker set my-token rm -f vllm-70b",
        "x --token model-00001.safetensors",
    ],
)
def test_what_is_done_stays(line: str) -> None:
    """The very same arguments come back."""
    args = tuple(shlex.split(line))
    assert masked(args) is args


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("hunter2", 7), ("x$(rm y)", 1), ("x`rm y`", 1), ("x>/etc/y", 0), ("a>~/y", 1), ("/etc/x", 0), ("replguard", 0),
        ("a/../b", 0), ("w.gguf", 0), ("x;rm y", 1), ("x; y", 4), ("a b", 3),
    ],
)  # fmt: skip
def test_how_much_may_be_hidden(value: str, shown: int) -> None:
    """Up to what a shell would carry out; nothing of a path or of what is ours."""
    assert literal(value) == shown


def test_words_behind_a_value_are_a_command_where_blanks_part_them() -> None:
    """As a remote shell would."""
    assert literal("x systemctl stop auditd", outer=True) == 1
    assert literal("x and more words", outer=True) == len("x and more words")
