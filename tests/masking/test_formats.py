"""Tokens that tell their kind by how they look are hidden wherever they stand."""

import pytest
from support import credentials

from replguard.masking import formats
from replguard.masking.mask import mask, masked


@pytest.mark.parametrize("kind", credentials.KNOWN)
def test_a_token_is_hidden_behind_what_tells_its_kind(kind: str) -> None:
    """As a word, in quotes, behind a sign, in a URL and in a line for a shell; its prefix stays."""
    prefix, rest = credentials.KNOWN[kind]
    token = prefix + rest
    for around in (
        "{}",
        "x={}",
        '"{}"',
        "'{}'",
        "https://u:{}@h/x",
        "a,{},b",
        "TOKEN_{}",
        "({})",
        "/x?y={}&z=1",
        "é{}",
    ):
        (shown,) = masked((around.format(token),))
        assert rest not in shown
        assert rest[: len(rest) // 2] not in shown
        if "@" not in around:
            assert f"{prefix}***" in shown
        assert rest not in mask(f"run {around.format(token)} then")
    assert formats.hide(f"a {token} b").startswith(f"a {prefix}***")


@pytest.mark.parametrize("kind", credentials.WHOLE)
def test_a_shape_is_hidden(kind: str) -> None:
    """JWT, bot tokens, webhooks, private keys: their middle is in nothing that is shown."""
    whole = credentials.WHOLE[kind]
    middle = whole[len(whole) // 2 : len(whole) // 2 + 12]
    for args in ((whole,), ("x", f"a={whole}"), ("sh", "-c", f"echo '{whole}' > f")):
        shown = " ".join(masked(args))
        assert middle not in shown
        assert "***" in shown


def test_a_private_key_without_an_end_is_hidden_to_the_end_of_its_argument() -> None:
    """A cut one too; the next argument stays."""
    head = "-----BEGIN EC" + " PRIVATE KEY-----"
    assert masked((f"{head}\nabcdef\nghi", "next")) == (f"{head}***", "next")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://u:{}@db:5432/x", "postgresql://u:***@db:5432/x"),
        ("redis://:{}@h:6379/0", "redis://:***@h:6379/0"),
        ("mongodb+srv://u:{}@h", "mongodb+srv://u:***@h"),
        ("amqp://u:{}/x@h", "amqp://u:***@h"),
        ("jdbc:postgresql://u:{}@h/d", "jdbc:postgresql://u:***@h/d"),
        ("jdbc:oracle:thin:u/{}@h", "jdbc:oracle:thin:u/***@h"),
        ("https://u:{}@x@h/a@b", "https://u:***@h/a@b"),
        ("https://x-access-token:{}@github.com/a/b.git", "https://x-access-token:***@github.com/a/b.git"),
    ],
)
def test_the_password_of_a_url_is_hidden(given: str, shown: str) -> None:
    """Scheme, user, host and path stay, also where the password has signs that it must not have."""
    assert masked(("x", given.format(credentials.PLAIN))) == ("x", shown)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8000/v1",
        "http://host:8000/a@b",
        "a://x:hunter2x@",
        "a://x:hunter2x@h",
        "bearer elastic-agent-service",
        "ssh://git@github.com/x",
        "https://github.com/a/b",
        "sk-learn-something-with-a-long-name",
        "hf_transformer_configuration_long_name",
        "npm_config_user_agent_setting_x",
        "/models/model-00001-of-00004.safetensors",
        "sha256:" + "6a0746a1" * 8,
        "123e4567-e89b-12d3-a456-426614174000",
        "-----BEGIN PUBLIC KEY-----",
    ],
)
def test_what_only_resembles_one_stays(text: str) -> None:
    """URLs with a port, names of packages, hashes."""
    args = ("x", text)
    assert masked(args) is args
    assert mask(text) is text
