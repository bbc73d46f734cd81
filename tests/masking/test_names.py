"""The last word of a name says whether its value is a credential."""

import pytest
from support.credentials import AWS_SECRET, HEXADECIMAL

from replguard.masking import names
from replguard.masking.names import Kind


@pytest.mark.parametrize(
    ("found", "given"),
    [
        (
            Kind.ALWAYS,
            "password PASSWORD2 PGPASSWORD MYSQL_PWDS_PASSWORD dbPassword pass SSHPASS passphrase bindpw otp",
        ),
        (Kind.TOKEN, "token hfToken HF_TOKEN api-key apiKey APIKey api_key secret client-secret AWS_SECRET_ACCESS_KEY"),
        (
            Kind.TOKEN,
            "MYSQL_PWD X-Api-Key Authorization cookie authToken _authToken AccountKey SharedAccessKey authkey",
        ),
        (Kind.OPAQUE, "key WANDB_KEY sig X-Amz-Signature host-key secret_id"),
        (Kind.PAIR, "auth creds dest-creds proxy-auth"),
        (Kind.SOURCE, "passin passout"),
        (None, "tokenizer max-tokens eos-token pad_token bosToken password-file passphrase-fd token-limit api-key-env"),
        (None, "port model key-frames public-key author bypass compass KEY_ID tokens user 1 _"),
    ],
)
def test_names(found: Kind | None, given: str) -> None:
    """In every way of writing; tokens of a language model are text."""
    assert {name: names.kind(name) for name in given.split()} == dict.fromkeys(given.split(), found)


@pytest.mark.parametrize(
    "value", ["/etc/x", "~/.token", "./a/b", "key.pem", "true", "128", "<pad>", "</s>", "/run/secrets/db/token", ""]
)
def test_values_that_are_no_token(value: str) -> None:
    """Paths, switches, numbers and the text tokens of a model."""
    assert names.spared(Kind.TOKEN, value, 0, in_line=False) == len(value)


@pytest.mark.parametrize("value", ["hunter2", AWS_SECRET, f"/{AWS_SECRET}", HEXADECIMAL, "/a=b", "12345678"])
def test_values_that_may_be_a_token(value: str) -> None:
    """Also one that begins as a path does: base64 has slashes."""
    left = names.spared(Kind.TOKEN, value, 0, in_line=False)
    assert left is None or left < len(value)


def test_a_password_is_one_whatever_it_looks_like() -> None:
    """A path too; but one digit says which pass of how many it is."""
    assert names.spared(Kind.ALWAYS, "/etc/x", 0, in_line=False) is None
    assert names.spared(Kind.ALWAYS, "$x", 0, in_line=False) is None
    assert names.spared(Kind.ALWAYS, "$x", 0, in_line=True) == 2
    assert names.spared(Kind.ALWAYS, "1", 0, in_line=False) == 0


def test_what_is_shown_of_a_value() -> None:
    """Scheme and user."""
    assert names.hidden(Kind.TOKEN, "Bearer abc") == "Bearer ***"
    assert names.hidden(Kind.PAIR, "me:abc:d") == "me:***"
    assert names.hidden(Kind.SOURCE, "pass:abc") == "pass:***"
    assert names.hidden(Kind.ALWAYS, "abc def") == "***"


def test_switches_have_no_value() -> None:
    """What follows ``--no-password`` is not it."""
    assert [names.takes_value(name) for name in ("no-password", "with-token", "password", "db-password")] == [
        False, False, True, True,
    ]  # fmt: skip
