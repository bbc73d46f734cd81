"""Who may read the page: the web configuration that all of Prometheus' exporters share, in its own words.

It is read again when it, or a file that it names, changes. While it is wrong nobody is answered: a page that was to be
protected is never served without.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from replguard import yamlfile
from replguard.config import Seconds, dec_hook
from replguard.errors import ConfigError, Problem
from replguard.yamlfile import Document

_HASH = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 15)
"""Of 14 a guess takes a second of a core."""
_HEADERS: dict[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_ASKING = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
Asking = Literal["", "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
Version = Literal["TLS12", "TLS13"]
Curve = Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]
Cipher = Literal[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
]


class Tls(msgspec.Struct, frozen=True):
    """``tls_server_config``. Names of files are relative to the folder of the file that names them."""

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: Asking = ""
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[Cipher, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[Curve, ...] = ()


class Http(msgspec.Struct, frozen=True):
    """``http_server_config``. HTTP/2 is never spoken, whatever ``http2`` says: those who ask do without."""

    http2: bool = True
    headers: dict[str, str | int] = {}


class Pace(msgspec.Struct, frozen=True):
    """``rate_limit``: so many requests at once, and one more each ``interval``."""

    interval: Seconds = Seconds(0)
    burst: int = 1


class Settings(msgspec.Struct, frozen=True):
    """The whole file."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: dict[str, str] = {}
    rate_limit: Pace = Pace()


@dataclass(frozen=True, slots=True)
class Guarded:
    """What holds for the page. ``names``: of those one has to be among a client's alternative names."""

    tls: ssl.SSLContext | None = None
    names: frozenset[str] = frozenset()
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)


def read(path: Path) -> Guarded:
    """Return what a file says. Raises ConfigError with every fault of it and of the files that it names."""
    settings, document = _settings(path)
    problems = list(_faults(settings, document))
    tls = settings.tls_server_config
    context = None
    if tls is not None and not problems:
        try:
            context = _context(tls, path.parent)
        except ValueError as error:
            problems.append(document.problem(("tls_server_config",), str(error)))
    if problems:
        raise ConfigError(problems)
    return Guarded(
        tls=context,
        names=frozenset(tls.client_allowed_sans if tls is not None else ()),
        users={str(name): known.encode() for name, known in settings.basic_auth_users.items()},
        headers={name: str(value) for name, value in settings.http_server_config.headers.items()},
        pace=settings.rate_limit,
    )


def validate(path: str) -> list[Problem]:
    """Return every fault of the file that ``metrics.web_config`` names; none where it names none."""
    try:
        if path:
            read(Path(path))
    except ConfigError as error:
        return error.problems
    return []


def exposed(listen: str, path: str) -> str | None:
    """Return what everybody who reaches the page could read there, None where that is nobody else or nothing."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        alone = not host or ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = host == "localhost"
    if alone and listen[:1] != ":":
        return None
    if not path:
        return (
            f"metrics.listen: {listen} can be reached from other hosts, and whoever reaches it reads the page:"
            " name TLS and passwords in metrics.web_config, or have a firewall keep others out"
        )
    try:
        guarded = read(Path(path))
    except ConfigError:
        return None  # which is told, and then nobody is answered
    if guarded.tls is None:
        return f"metrics.web_config: {path} names no certificate, so passwords go to {listen} for all to read"
    return None


class Watched:
    """The file as it is now. ``trouble`` says what is wrong with it; then ``now`` is None and nobody is answered."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._own: object = ()
        self._named: list[Path] = []
        self._stamp: object = ()
        self.now: Guarded | None = None if path else Guarded()
        self.trouble: str | None = None

    def look(self) -> None:
        """Read again what changed; costs some system calls where nothing did."""
        if self._path is None:
            return
        own = _state(self._path)
        if own != self._own:
            self._own, self._named = own, _named(self._path)
        stamp = [own, *map(_state, self._named)]
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.now, self.trouble = read(self._path), None
        except ConfigError as error:
            self.now, self.trouble = None, "; ".join(map(str, error.problems))


def _named(path: Path) -> list[Path]:
    """Return the files that a file names, none where it cannot be read."""
    try:
        tls = _settings(path)[0].tls_server_config
    except ConfigError:
        return []
    names = () if tls is None else (tls.cert_file, tls.key_file, tls.client_ca_file)
    return [path.parent / name for name in names if name]


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode


def _settings(path: Path) -> tuple[Settings, Document]:
    """Return what stands in the file, each value by itself as it should be. Raises ConfigError."""
    documents = [document for document in yamlfile.read(path) if document.value is not None]
    if len(documents) != 1:
        text = "says nothing, so that anybody could read the page; take it out of metrics.web_config if that is meant"
        raise ConfigError([Problem(str(path), 0, text if not documents else "is more than one document")])
    problems: list[Problem] = []
    settings = yamlfile.convert(documents[0], Settings, problems, dec_hook=dec_hook)
    if settings is None:
        raise ConfigError(problems)
    return settings, documents[0]


def _faults(settings: Settings, document: Document) -> Iterator[Problem]:
    if settings.tls_server_config is None and not settings.basic_auth_users:
        yield document.problem((), "names neither a certificate nor a user, so that anybody could read the page")
    for name, known in settings.basic_auth_users.items():
        if fault := _user(str(name), known):
            yield document.problem(("basic_auth_users", name), fault)
    for name, value in settings.http_server_config.headers.items():
        if fault := _header(str(name), str(value)):
            yield document.problem(("http_server_config", "headers", name), fault)
    if settings.rate_limit.interval and settings.rate_limit.burst < 1:
        yield document.problem(("rate_limit",), "'burst' has to be at least 1, or nobody is ever answered")
    if settings.tls_server_config is not None:
        for key, text in _unusable(settings.tls_server_config):
            yield document.problem(("tls_server_config", key), text)


def _user(name: str, known: str) -> str | None:
    found = _HASH.fullmatch(known)
    if ":" in name or not name:
        return "a user's name is not empty and has no colon"
    if found is None:
        return f"'{name}' has no bcrypt hash; make one with: htpasswd -nBC 10 ''"
    if int(found[1]) not in _COSTS:
        return f"a cost of {int(found[1])}: write one from {_COSTS.start} to {_COSTS.stop - 1}, such as 10"
    return None


def _header(name: str, value: str) -> str | None:
    if name not in _HEADERS:
        return f"'{name}' cannot be set (known: {', '.join(_HEADERS)})"
    if _HEADERS[name] and value not in _HEADERS[name]:
        return f"'{name}' is one of {', '.join(_HEADERS[name])}"
    return None if value.isascii() and value.isprintable() else f"'{name}' holds what no header can"


def _unusable(tls: Tls) -> Iterator[tuple[str, str]]:
    """Yield what does not go together, by its key."""
    for key in ("cert_file", "key_file"):
        if not getattr(tls, key):
            yield key, f"'{key}' is missing"
    asks = _ASKING[tls.client_auth_type] != ssl.CERT_NONE
    if asks and not tls.client_ca_file:
        yield "client_auth_type", "needs 'client_ca_file', by which the certificates of clients are known"
    if not asks and (tls.client_ca_file or tls.client_allowed_sans):
        yield "client_auth_type", "asks for no certificate, so nobody's would be looked at: RequireAndVerifyClientCert"
    if tls.min_version > tls.max_version:
        yield "max_version", "is older than 'min_version'"
    if len(tls.curve_preferences) > 1 and not hasattr(ssl.SSLContext, "set_groups"):
        yield "curve_preferences", "only one can be chosen with this version of Python"


def _context(tls: Tls, folder: Path) -> ssl.SSLContext:
    """Return what the connections are made by. Raises ValueError with a sentence that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    older = [_openssl(name) for name in tls.cipher_suites if "_WITH_" in name]  # those of 1.3 are not chosen, as in Go
    if older:
        context.set_ciphers(":".join(older))
    if tls.curve_preferences:
        _choose(context, [_CURVES[name] for name in tls.curve_preferences])
    key = folder / tls.key_file
    for name, file in (("cert_file", folder / tls.cert_file), ("key_file", key)):
        _readable(name, file)
    try:
        # An encrypted key would ask at a terminal.
        context.load_cert_chain(folder / tls.cert_file, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / tls.cert_file} and {key} are no certificate and its key: {_why(error)}") from error
    context.verify_mode = _ASKING[tls.client_auth_type]
    if tls.client_ca_file:
        authority = folder / tls.client_ca_file
        _readable("client_ca_file", authority)
        try:
            context.load_verify_locations(authority)
        except (OSError, ValueError) as error:
            raise ValueError(f"'client_ca_file': {authority} holds no certificate: {_why(error)}") from error
    return context


def _choose(context: Any, curves: list[str]) -> None:
    if hasattr(context, "set_groups"):
        context.set_groups(":".join(curves))
    else:
        context.set_ecdh_curve(curves[0])


def _openssl(name: str) -> str:
    """Return OpenSSL's name of a cipher suite, such as ECDHE-RSA-AES128-GCM-SHA256."""
    text = name.removeprefix("TLS_").replace("_WITH_", "-").replace("AES_", "AES").replace("_CBC", "")
    return text.replace("POLY1305_SHA256", "POLY1305").replace("_", "-")


def _readable(name: str, path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise ValueError(f"'{name}': {path} cannot be read: {error.strerror}") from error


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
