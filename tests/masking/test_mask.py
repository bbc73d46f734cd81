"""No credential is left, whatever is around it; nothing else changes, and no argument takes long."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import credentials

from replguard.masking import names
from replguard.masking.mask import mask, masked
from replguard.masking.names import Kind

TESTS = Path(__file__).parent.parent
SECRET = st.text(st.sampled_from(credentials.ALNUM + "+/!%^*@#:,.é"), min_size=8, max_size=40).filter(
    lambda text: (
        text[0].isalnum() and any(char.isdigit() for char in text) and not text.isdigit() and len(set(text)) > 4
    )
)
WORD = st.sampled_from(
    "x -v --model /models/a b=c 'it''s' a|b ; && --port 8000 mysql curl -u sh -c é\udcff \" ' { } http://h/x?y=1".split()
)
PUT = ("--password\0{}", "--password={}", "--api-key\0{}", "DB_PASSWORD={}", "X-Api-Key: {}",
       'curl\0-d\0{{"password": "{}"}}', "sh\0-c\0PGPASSWORD='{}' psql -h x",
       "sh\0-c\0mysql -h x -p'{}' d; cp a b", 'bash\0-lc\0x --token "{}" y')  # fmt: skip
PLACED = ("sshpass\0-p\0{}", "mysql\0-p{}", "redis-cli\0AUTH\0{}", "zip\0-qP\0{}\0a.zip", "wandb\0login\0{}")
RUNNING = st.sampled_from(
    ["", "sudo -u x", "env A=b", "timeout -k 5 9", "nice -n 5", "docker exec -it c", "kubectl exec -n a pod --",
     "ssh -p 22 h", "nohup setsid", "xargs -n 1"]
)  # fmt: skip


@given(st.lists(WORD, max_size=6), st.sampled_from(PUT), SECRET, st.lists(WORD, max_size=6))
def test_no_secret_survives(before: list[str], put: str, secret: str, after: list[str]) -> None:
    """At any place among any words, and what is masked is masked to itself."""
    if secret.startswith("/") or "password" in secret:
        return
    before = [word for word in before if not word.startswith("-")]
    args = (*before, *put.replace("{{", "{").replace("}}", "}").replace("{}", secret).split("\0"), *after)
    shown = masked(args)
    assert not any(secret in word for word in shown)
    assert len(shown) == len(args)
    assert masked(shown) is shown
    line = mask(" ".join(shown))
    assert mask(line) is line


@given(RUNNING, st.sampled_from(PLACED), SECRET, st.lists(WORD, max_size=6))
def test_no_secret_of_a_program_survives(running: str, put: str, secret: str, after: list[str]) -> None:
    """Where its name stands at a command's place."""
    args = (*running.split(), *put.replace("{}", secret).split("\0"), *after)
    assert not any(secret in word for word in masked(args))
    name, _, _ = put.partition("\0")
    assert secret not in mask(f"cd /x && {running} {name} --password '{secret}'")


@given(st.lists(st.text(max_size=60), max_size=8).map(tuple))
def test_any_arguments_are_masked_once(args: tuple[str, ...]) -> None:
    """Whatever they are: as many come back, and a second time changes nothing."""
    shown = masked(args)
    assert len(shown) == len(args)
    assert masked(shown) == shown
    assert mask(mask(" ".join(args))) == mask(" ".join(args))


@given(
    st.lists(
        st.sampled_from([*"=:'\"\\ -;|&,?{}[]$`/@\n", "key", "password", "token", "-p", "mysql", "curl", "-u", "a1"])
    )
)
def test_hostile_text_is_masked_once(parts: list[str]) -> None:
    """Signs and names in any order."""
    text = "".join(parts)
    assert mask(mask(text)) == mask(text)
    (shown,) = masked((text,))
    assert masked((shown,)) == (shown,)


@pytest.mark.parametrize(
    "name",
    "password PGPASSWORD PASSWORD2 dbPassword pass SSHPASS passphrase bindpw otp psk token hfToken HF_TOKEN api-key"
    " APIKey AWS_SECRET_ACCESS_KEY MYSQL_PWD Authorization cookie _authToken AccountKey WANDB_KEY X-Amz-Signature sig"
    " secret_id auth creds credentials userpwd PHPSESSID sessionId hmac licensekey requirepass masterauth".split(),
)
def test_every_name_of_a_credential_is_noticed(name: str) -> None:
    """The one search that lets nearly everything pass lets none of them pass."""
    value = f"u:{credentials.AWS_SECRET}" if names.kind(name) is Kind.PAIR else credentials.HEXADECIMAL
    for text in (f"{name}={value}", f"x?{name}={value}", f'{{"{name}": "{value}"}}', f"{name}: {value}"):
        assert masked((text,)) == (text.replace(value.removeprefix("u:"), "***"),)


@pytest.mark.parametrize(
    "path", [*sorted((TESTS / "rules").rglob("*.yml")), TESTS / "rules" / "ordinary.txt"], ids=lambda path: path.stem
)
def test_what_rules_are_tried_with_stays(path: Path) -> None:
    """The command lines of attacks and of an ordinary day: masking takes nothing from what the shipped rules see."""
    for line in path.read_text().splitlines():
        text = line.strip()
        assert mask(text) is text
        args = tuple(text.split())
        assert masked(args) is args


def test_text_without_a_secret_is_the_same_object() -> None:
    """So that nothing is made anew for nearly every program."""
    args = ("vllm", "serve", "/models/llama", "--tokenizer", "/models/t", "--max-num-batched-tokens", "8192")
    assert masked(args) is args
    line = " ".join(args)
    assert mask(line) is line
    assert masked(()) == ()


HOSTILE = {
    "names": ("key=" * 65536,),
    "arguments": ("token=a",) * 40000,
    "paths": ("x " + "token=/" * 37000,),
    "options": ("mysql", *("-pa",) * 64000),
    "programs": ("mysql",) * 43000,
    "quotes": ('\'"password=\\"' * 20000,),
    "urls": ("key= ://a:" * 26000,),
    "jwt": ("eyJaaaaaaaaa-" * 20000,),
    "pem": ("-----BEGIN RSA PRIVATE KEY" * 10000,),
    "backslashes": ("key=x " + "\\" * 262144,),
    "blanks": ("key" + " " * 262144 + "x",),
    "json": ('"password":"' * 21000,),
    "pipes": ("echo x |" * 32768 + "--stdin",),
    "asked": ("sudo -S " * 32768,),
    "nested": ("curl " + "'\"" * 131072,),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_arguments_take_time_that_grows_with_their_length_alone(kind: str) -> None:
    """A quarter of 256 KiB, the most that is read of anybody, takes about a quarter of the time, and all little."""
    args = HOSTILE[kind]
    part = (args[0][: len(args[0]) // 4],) if len(args) == 1 else args[: len(args) // 4]
    whole, fourth = _seconds(args), _seconds(part)
    assert whole < 12 * fourth + 0.2
    assert whole < 8


def _seconds(args: tuple[str, ...]) -> float:
    took = []
    for _ in range(2):
        began = time.process_time()
        masked(args)
        mask(" ".join(args))
        took.append(time.process_time() - began)
    return min(took)
