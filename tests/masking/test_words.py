"""An option's value is hidden in the next word, in arguments and in a line for a shell, in quotes or not."""

import shlex

import pytest
from support.credentials import AWS_SECRET, HEXADECIMAL, PLAIN

from replguard.masking import words
from replguard.masking.mask import masked


def _shown(line: str) -> str:
    return " ".join(masked(tuple(shlex.split(line))))


@pytest.mark.parametrize(
    "option",
    "--password --passwd --pass --token --api-key --api_key --apiKey --secret --client-secret --hf-token --auth-token"
    " -password --storepass --requirepass --db_password --account-key".split(),
)
def test_an_option_and_its_value(option: str) -> None:
    """Apart and joined; a value of several words is one argument."""
    assert masked(("x", option, PLAIN, "y")) == ("x", option, "***", "y")
    assert masked(("x", option, f"{PLAIN} and more", "y")) == ("x", option, "***", "y")
    assert masked(("x", f"{option}={PLAIN}", "y")) == ("x", f"{option}=***", "y")
    assert words.line(f"x {option} '{PLAIN} b' y; z") == f"x {option} '***' y; z"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("mysql -u root -p{} db", "mysql -u root -p*** db"),
        ("sudo -u x mysqldump -p{} db", "sudo -u x mysqldump -p*** db"),
        ("docker exec c mysql -p{} db", "docker exec c mysql -p*** db"),
        ("docker login -u me -p {} registry", "docker login -u me -p *** registry"),
        ("curl -sSu me:{} http://h", "curl -sSu me:*** http://h"),
        ("redis-cli -h x -a {} PING", "redis-cli -h x -a *** PING"),
        ("openssl rsa -passin pass:{} -in k", "openssl rsa -passin pass:*** -in k"),
        ("smbclient -U me%{} //h/s", "smbclient -U me%*** //h/s"),
        ("net use Z: '\\\\h\\s' {} /user:me", "net use Z: \\\\h\\s *** /user:me"),
        ("net use '\\\\h\\s' {} /user:me", "net use \\\\h\\s *** /user:me"),
        ("sqlplus me/{}@db", "sqlplus me/***@db"),
        ("mc alias set n http://h AK {}", "mc alias set n http://h AK ***"),
        ("vault login -method=token {}", "vault login -method=token ***"),
        ("redis-cli CONFIG SET requirepass {}", "redis-cli CONFIG SET requirepass ***"),
        ("npm config set //r/:_authToken {}", "npm config set //r/:_authToken ***"),
        ("x --creds me:{}", "x --creds me:***"),
        ("curl -E c.pem:{} http://h", "curl -E c.pem:*** http://h"),
        ("curl --cert c.pem:{} http://h", "curl --cert c.pem:*** http://h"),
        ("redis-cli AUTH {}", "redis-cli AUTH ***"),
        ("redis-cli AUTH me {}", "redis-cli AUTH *** ***"),
        ("twine upload -u me -p {} dist", "twine upload -u me -p *** dist"),
        ("doctl auth init -t {}", "doctl auth init -t ***"),
        ("influx -t {} query", "influx -t *** query"),
        ("zip -qP {} a.zip b", "zip -qP *** a.zip b"),
        ("zip -rP {} a.zip b", "zip -rP *** a.zip b"),
        ("unzip -qqP {} a.zip", "unzip -qqP *** a.zip"),
        ("openssl passwd -6 {}", "openssl passwd -6 ***"),
        ("openssl passwd -salt ab {}", "openssl passwd -salt *** ***"),
        ("mysqladmin -u root password {}", "mysqladmin -u root password ***"),
        ("htpasswd -bBC 10 f me {}", "htpasswd -bBC 10 f me ***"),
        ("htpasswd -c -b f me {}", "htpasswd -c -b f me ***"),
        ("htpasswd -nbB me {}", "htpasswd -nbB me ***"),
        ("echo OPENAI_API_KEY {}", "echo OPENAI_API_KEY ***"),
        ("x PASSWORD = {} y", "x PASSWORD = *** y"),
        ("x password= {} y", "x password= *** y"),
        ("timeout -k 5 9 nice -n 5 mysql -p{} db", "timeout -k 5 9 nice -n 5 mysql -p*** db"),
        ("kubectl exec -n a pod -- mysql -p{} db", "kubectl exec -n a pod -- mysql -p*** db"),
    ],
)
def test_programs(given: str, shown: str) -> None:
    """Behind sudo and inside containers too; user and host stay."""
    assert _shown(given.format(PLAIN)) == shown
    assert _shown(f"sh -c {shlex.quote(given.format(PLAIN))}").count(PLAIN) == 0
    assert _shown(f"""ssh h {shlex.quote("bash -c " + shlex.quote(given.format(PLAIN)))}""").count(PLAIN) == 0


def test_a_setting_and_its_value() -> None:
    """A name without dashes has its value next only where something is set: elsewhere it may be a file's."""
    args = ("aws", "configure", "set", "aws_secret_access_key", AWS_SECRET)
    assert masked(args) == (*args[:-1], "***")
    copy = ("scp", "my_token", "evil:/x")
    assert masked(copy) is copy
    assert masked(("wandb", "login", HEXADECIMAL)) == ("wandb", "login", "***")


def test_a_pipe_ends_a_program() -> None:
    """Options behind it are those of the next."""
    assert words.line(f"mysql -p{PLAIN} d | tar -pxf - && redis-cli -a '{PLAIN}' x") == (
        "mysql -p*** d | tar -pxf - && redis-cli -a '***' x"
    )


@pytest.mark.parametrize(
    "line",
    [
        "x --password-file /etc/x", "gpg --passphrase-fd 3", "docker run -p 8080:80 x", "x --port 22",
        "x --token-limit 4096", "x --max-tokens 100", "x --eos-token </s>", "x --api-key-env NAME", "cp -p a b",
        "vllm serve --tokenizer /models/x --max-num-batched-tokens 8192", "x --key-frames 3", "chown 1000:1000 /x",
        "docker run -u 1000:1000 img", "docker run -u app:app img", "ssh user@host", "scp -P 22 a b:/c", "mkdir -p x",
        "ssh -p 22 h", "cat /models/secret-model/w.safetensors", "ffmpeg -pass 1 -i x", "mongod --auth --bind_ip x",
        "psql --no-password db", "tar -a -cf x y", "git commit --author me", "grep -r password /etc/x",
        "x --private-key /etc/ssl/key.pem", "x --token /var/run/secrets/token", "kubectl get secret x",
        "aws s3api put-object --bucket b --key model-00001-of-00004.safetensors", "python -m http.server -p 80",
        "docker run --name mysql -p3306:3306 img", "curl -u me http://h", "mysql -p db", "x --secret",
        "echo MAX_TOKENS 8192", "unset OPENAI_API_KEY HF_TOKEN", "docker run -e HF_TOKEN img", "x mysql -pe db",
        "zip -r a.zip -- -P x", "gpg --export-secret-keys me", "ssh -o PasswordAuthentication=no h",
    ],
)  # fmt: skip
def test_what_is_no_credential_stays(line: str) -> None:
    """The very same arguments come back."""
    args = tuple(line.split())
    assert masked(args) is args


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "token", "AWS4-HMAC-SHA256"])
def test_the_scheme_of_a_header_is_shown(scheme: str) -> None:
    """In one argument, in words of their own, and in a line for a shell; what it is a scheme of is not."""
    assert masked(("curl", "-H", f"Authorization: {scheme} {PLAIN}")) == ("curl", "-H", f"Authorization: {scheme} ***")
    assert masked(("x", "Authorization:", scheme, PLAIN)) == ("x", "Authorization:", scheme, "***")
    line = f"curl -H 'Authorization: {scheme} {PLAIN}' http://h"
    assert masked(("sh", "-c", line)) == ("sh", "-c", f"curl -H 'Authorization: {scheme} ***' http://h")
