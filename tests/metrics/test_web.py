import os
import ssl
from pathlib import Path

import pytest
from support import authority

from replguard.errors import ConfigError
from replguard.metrics import web

pytestmark = authority.needed
HASH = "$2b$04$" + "a" * 53
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"
ASKS = f"{TLS}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority and a server's certificate."""
    folder = tmp_path_factory.mktemp("keys")
    authority.certificate(folder, "ca")
    authority.certificate(folder, "server", by="ca")
    (folder / "empty").write_text("")
    return folder


def written(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[str]:
    return [f"{each.line}: {each.text}" for each in web.validate(str(written(folder, text)))]


def test_all_that_there_is(keys: Path) -> None:
    """Every key of the exporters' file that Python can follow is taken, files from beside it."""
    text = f"""
{ASKS}, client_allowed_sans: [prometheus.example.org], min_version: TLS13, max_version: TLS13,
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256],
  prefer_server_cipher_suites: false, curve_preferences: [X25519]}}
http_server_config:
  http2: true
  headers: {{X-Frame-Options: deny, X-XSS-Protection: 0, Strict-Transport-Security: max-age=1}}
basic_auth_users: {{prometheus: "{HASH}", 7: "{HASH}"}}
rate_limit: {{interval: 1s, burst: 5}}
"""
    found = web.read(written(keys, text))
    assert found.tls is not None
    assert found.tls.verify_mode == ssl.CERT_REQUIRED
    assert found.tls.minimum_version == ssl.TLSVersion.TLSv1_3
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in {each["name"] for each in found.tls.get_ciphers()}
    assert found.names == {"prometheus.example.org"}
    assert found.users == {"prometheus": HASH.encode(), "7": HASH.encode()}
    assert found.headers == {
        "X-Frame-Options": "deny",
        "X-XSS-Protection": "0",
        "Strict-Transport-Security": "max-age=1",
    }
    assert (found.pace.interval, found.pace.burst) == (1.0, 5)


@pytest.mark.parametrize("name", web.Cipher.__args__)
def test_each_cipher_is_one_of_openssls(name: str) -> None:
    """The exporters' names are Go's."""
    if "_WITH_" in name:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(web._openssl(name))
    assert name.startswith("TLS_")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "0: says nothing"),
        ("http_server_config: {http2: false}", "1: names neither a certificate nor a user"),
        ("basic_auth_user: {}", "1: unknown key 'basic_auth_user', did you mean 'basic_auth_users'?"),
        ("basic_auth_users:\n  me: secret", "2: 'me' has no bcrypt hash"),
        ("basic_auth_users:\n  me: $2b$20$" + "a" * 53, "2: a cost of 20"),
        ("basic_auth_users:\n  'a:b': " + HASH, "2: a user's name"),
        ("tls_server_config: {}", "1: 'cert_file' is missing"),
        (f"{TLS}, client_auth_type: RequestClientCert}}", "1: 'client_auth_type': 'RequestClientCert' is none of"),
        (f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}", "1: needs 'client_ca_file'"),
        (f"{TLS}, client_ca_file: ca.crt}}", "1: asks for no certificate"),
        (f"{TLS}, min_version: TLS10}}", "1: 'min_version': 'TLS10' is none of TLS12, TLS13"),
        (f"{TLS}, min_version: TLS13, max_version: TLS12}}", "1: is older than"),
        (f"{TLS}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}", "1: 'cipher_suites': 'TLS_RSA_WITH_RC4_128_SHA' is"),
        ("tls_server_config: {cert_file: none.crt, key_file: server.key}", "none.crt cannot be read: No such file"),
        ("tls_server_config: {cert_file: ca.crt, key_file: server.key}", "are no certificate and its key"),
        ("tls_server_config: {cert_file: empty, key_file: server.key}", "are no certificate and its key"),
        (ASKS.replace("ca.crt", "empty") + "}", "holds no certificate"),
        (f"{TLS}}}\nhttp_server_config:\n  headers:\n    X-Mine: []", "4: 'X-Mine': Expected"),
        (f"{TLS}}}\nhttp_server_config:\n  headers:\n    X-Mine: a", "4: 'X-Mine' cannot be set"),
        (f"{TLS}}}\nhttp_server_config:\n  headers:\n    X-Frame-Options: a", "4: 'X-Frame-Options' is one of deny"),
        (f'{TLS}}}\nhttp_server_config:\n  headers:\n    X-XSS-Protection: "a\\nb"', "4: 'X-XSS-Protection' holds"),
        (f"{TLS}}}\nrate_limit: {{interval: 1s, burst: 0}}", "2: 'burst' has to be at least 1"),
        ("a: [", "2: not YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(keys: Path, text: str, told: str) -> None:
    """Unknown keys and values that cannot be followed are errors: nobody is to think himself protected."""
    assert any(told in each for each in faults(keys, text)), faults(keys, text)


def test_no_file_and_none_named(tmp_path: Path) -> None:
    """A file that is not there is a fault; without a name nothing is."""
    assert [each.line for each in web.validate(str(tmp_path / "none.yml"))] == [0]
    assert web.validate("") == []


def test_a_change_is_heeded_and_what_is_broken_lets_nobody_in(keys: Path) -> None:
    """Of the file, and of a certificate that it names; what did not change is not read again."""
    watched = web.Watched(str(written(keys, f"{TLS}}}")))
    assert watched.now is None
    watched.look()
    first = watched.now
    assert first is not None
    watched.look()
    assert watched.now is first
    certificate = keys / "server.crt"
    kept = certificate.read_bytes()
    certificate.write_bytes(b"torn")
    watched.look()
    assert watched.now is None
    assert watched.trouble is not None
    assert "server.crt" in watched.trouble
    certificate.write_bytes(kept)
    os.utime(certificate)
    watched.look()
    assert watched.trouble is None
    assert watched.now is not None
    assert watched.now is not first
    written(keys, "")
    watched.look()
    assert watched.now is None
    assert web.Watched("").now == web.Guarded()


@pytest.mark.parametrize(
    ("listen", "config", "told"),
    [
        ("127.0.0.1:1", "", None),
        ("[::1]:1", "", None),
        ("localhost:1", "", None),
        ("", "", None),
        ("0.0.0.0:1", "", "metrics.listen"),
        ("[::]:1", "", "metrics.listen"),
        ("gpu7:1", "", "metrics.listen"),
        (":1", "", "metrics.listen"),
        ("0.0.0.0:1", f'basic_auth_users: {{me: "{HASH}"}}', "names no certificate"),
        ("0.0.0.0:1", f"{TLS}}}", None),
        ("0.0.0.0:1", "x", None),
    ],
)
def test_a_page_for_everybody_is_told(keys: Path, listen: str, config: str, told: str | None) -> None:
    """Beyond loopback without a certificate, or with passwords that anybody on the way can read."""
    found = web.exposed(listen, str(written(keys, config)) if config else "")
    assert (found is None) == (told is None)
    assert told is None or told in str(found)


def test_an_encrypted_key_asks_nobody(keys: Path) -> None:
    """It is an error, not a question at a terminal."""
    authority._run("ec", "-in", keys / "server.key", "-aes256", "-passout", "pass:x", "-out", keys / "locked.key")
    with pytest.raises(ConfigError, match="are no certificate and its key"):
        web.read(written(keys, "tls_server_config: {cert_file: server.crt, key_file: locked.key}"))
