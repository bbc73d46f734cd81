"""What is assigned by name inside an argument is hidden up to where it ends, and no further."""

import pytest
from support.credentials import AWS_SECRET, PLAIN

from replguard.masking import fields

LINE = True


@pytest.mark.parametrize(
    ("given", "shown", "in_line"),
    [
        ("PASSWORD={}", "PASSWORD=***", False),
        ("PASSWORD={} and more words", "PASSWORD=***", False),
        ("PASSWORD={} cp /models/a /b", "PASSWORD=*** cp /models/a /b", False),
        ("TOKEN={} vllm serve llama", "TOKEN=*** vllm serve llama", LINE),
        ("export A=1 TOKEN='{} x' B=2; cp a b", "export A=1 TOKEN='***' B=2; cp a b", LINE),
        ('export TOKEN="{}" && cp a b', 'export TOKEN="***" && cp a b', LINE),
        ("--password={} x", "--password=***", False),
        ("--from-literal=password={}", "--from-literal=password=***", False),
        ("-Ddb.password={}", "-Ddb.password=***", False),
        ("Authorization: Bearer {}", "Authorization: Bearer ***", False),
        ("Authorization: token {}", "Authorization: token ***", False),
        ("authorization:{}", "authorization:***", False),
        ("X-Api-Key: {}", "X-Api-Key: ***", False),
        ("Cookie: a={}; b={}", "Cookie: ***", False),
        ("curl -H 'Cookie: a={}; b=\"x\"' http://h", "curl -H 'Cookie: ***' http://h", LINE),
        ('{{"user": "a", "password": "{} \\" x", "n": 1}}', '{{"user": "a", "password": "***", "n": 1}}', False),
        ('{{\\"token\\":\\"{}\\",\\"n\\":1}}', '{{\\"token\\":\\"***\\",\\"n\\":1}}', False),
        ("{{'api_key': '{}'}}", "{{'api_key': '***'}}", False),
        ("password: {}", "password: ***", False),
        ("http://h/?a=1&access_token={}&b=2", "http://h/?a=1&access_token=***&b=2", False),
        ("user=a&password={}", "user=a&password=***", False),
        ("a%3D1%26password%3D{}%26b%3D2", "a%3D1%26password%3D***%26b%3D2", False),
        ("w.gguf?X-Amz-Security-Token={}&x=1", "w.gguf?X-Amz-Security-Token=***&x=1", False),
        ('export TOKEN="{}$(cat f)" x', 'export TOKEN="***$(cat f)" x', LINE),
        ("user[password]={}", "user[password]=***", False),
        ("username=a,password={},vers=3", "username=a,password=***,vers=3", False),
        ("Server=a;Password={};Port=1", "Server=a;Password=***;Port=1", False),
        ("Password={};Server=a", "Password=***;Server=a", False),
        ("//registry/:_authToken={}", "//registry/:_authToken=***", False),
        ("import x; x.api_key = '{}'", "import x; x.api_key = '***'", LINE),
    ],
)
def test_fields(given: str, shown: str, in_line: bool) -> None:
    """Variables, options, headers, cookies, JSON, queries, lists and code."""
    expected = shown.format() if "{{" in shown else shown
    assert fields.hide(given.replace("{}", PLAIN).replace("{{", "{").replace("}}", "}"), in_line=in_line) == expected
    assert fields.hide(expected, in_line=in_line) == expected


@pytest.mark.parametrize(
    "text",
    [
        "TOKEN=$HF_TOKEN cmd",
        'TOKEN="${HF_TOKEN}" cmd',
        "TOKEN=$(cat /run/token) cmd",
        "token = get_token()",
        "PWD=/home/x",
        "PASSWORD=/etc/x",
        "PASSWORD= systemctl stop x",
        "PASSWORD=x/../../etc/y",
        "registry/my-auth:latest",
        "my-token:v1",
        "key=value",
        "max_tokens=128",
        '{"max_tokens": 128, "tokenizer": "x"}',
        "http://token:8000/v1",
        "sort_key=created_at",
        "eos_token: </s>",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    """Variables that are named, calls, tags of images, what models take."""
    assert fields.hide(text, in_line=LINE) is text


def test_a_key_is_hidden_where_it_looks_like_one() -> None:
    """`key` alone says too little."""
    assert (
        fields.hide(f"/x?key={AWS_SECRET[:20].replace('/', 'a').replace('+', 'b')}Aa1&y=1", in_line=False)
        == "/x?key=***&y=1"
    )
