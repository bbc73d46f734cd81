"""What people write and clients say: configuration, rules, manifests, questions, requests, and where alerts go to."""

import socket
import struct
from typing import Any

import msgspec
from fuzz.target import SCRATCH, Target, refusing, written
from support import cases

from replguard import config, sinks, yamlfile
from replguard.cli import status
from replguard.control import messages as control
from replguard.errors import ConfigError
from replguard.events import wire
from replguard.masking.mask import mask
from replguard.metrics import basic, page, web
from replguard.provenance import manifest
from replguard.rules import load as rules
from replguard.sinks import alertmanager, console, journald
from replguard.sinks.secret import Secret
from replguard.sinks.template import Template


def _said(kind: Any) -> Any:
    def questions(data: bytes) -> None:
        """What comes over the control socket is a message, or refused."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            control.receive(ours, kind, largest=2**14, seconds=1.0)

    return refusing(questions, control.Refused, OSError)


class _End(socket.socket):
    """An end of a pair that has an address, as of TCP."""

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 1


def requested(data: bytes) -> None:
    """A client of the metrics page may say anything."""
    pair, theirs = socket.socketpair()
    with _End(fileno=pair.detach()) as ours, theirs:
        theirs.sendall(data[: 2**15])
        theirs.shutdown(socket.SHUT_WR)
        _SERVER.finish_request(ours, ("127.0.0.1", 1))


def documents(data: bytes) -> None:
    """YAML is documents, or a fault with its line."""
    yamlfile.parse(data, "x.yaml")


def configured(data: bytes) -> None:
    """A configuration loads, or says what is wrong with it; so does each sink of it."""
    found = config.load(written("replguard.yaml", data))
    for name in {"alertmanager", "webhook"} & found.sinks.keys():
        for sink in sinks._make(name, found.sinks[name])[0]:
            sink.close()


def allowed(data: bytes) -> None:
    """A manifest is read as far as it can be, with its faults."""
    manifest.load(written("manifest.yaml", data))


def ruled(data: bytes) -> None:
    """A rule is read, not evaluable, or a fault."""
    rules.load([written("rule.yml", data)], shipped=SCRATCH / "none")


def guarded(data: bytes) -> None:
    """What guards the page is understood whole, or refused; so is who asks."""
    web.read(written("web.yml", data))


def passed(data: bytes) -> None:
    """An Authorization header names somebody, or nobody; a secret is one line of plain characters."""
    basic._parsed(data.decode("latin-1"))
    Secret(str(written("secret", data))).read()


def hidden(data: bytes) -> None:
    """Masking takes any text."""
    mask(data.decode(errors="surrogateescape"))


def sent(data: bytes) -> None:
    """An alert of any words goes through every sink's form."""
    alert = wire.alert(data)
    journald.record(alert), console.line(alert), console.shown(alert)
    msgspec.json.encode(alertmanager.payload(alert, {"a": "b"}))
    for template in _TEMPLATES:
        template.fill(alert)


def scraped(data: bytes) -> None:
    """Whoever took our port says what `status` reads."""
    status.values(data.decode())


def _server() -> Any:
    made = page._Server(("127.0.0.1", 0), lambda: b"x 1\n", web.Watched(""))
    made.socket.close()
    return made


_SERVER = _server()
_TEMPLATES = (
    Template({"a": "${message}", "b": "x ${process.command_line} ${replguard.evidence}"}, "application/json"),
    Template("${message} ${file.path}", "application/x-www-form-urlencoded", "markdown", limit=64),
)
_ALERTS = tuple(wire.encode(one) for one in cases.records() if hasattr(one, "rule") and hasattr(one, "message"))
_QUESTION = msgspec.json.encode(control.Maintenance(seconds=60.0, reason="x"))
_ANSWER = msgspec.json.encode(control.Answer(ok=True, text="x", told=msgspec.Raw(b'{"a":1}')))
_RULE = b"""title: A
id: 6c2a2d0e-5a57-4f0b-9a1b-0d2b6ce8a001
name: a
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: [/a, /b], CommandLine|re: 'a+(b|c)*', Hash|cidr: 10.0.0.0/8}
  condition: selection and not 1 of other*
level: low
"""
_CORRELATION = b"""title: B
name: b
correlation: {type: temporal_ordered, rules: [a, c], group-by: [User], timespan: 5m}
replguard: {join: [lineage], optional: [c], levels: {a: low}}
level: high
"""
_CONFIG = b"weights: {paths: [/m], min_size: 5MiB}\nlog: {mask: ['a+']}\n"
_SINKS = b"sinks: {webhook: {url: 'http://h:1/', template: {a: '${message}'}}, alertmanager: {urls: ['http://h/']}}\n"
TARGETS = {
    "control": Target(_said(control.Question), (struct.pack("!I", len(_QUESTION)) + _QUESTION, b"\xff\xff\xff\xff{}")),
    "answers": Target(_said(control.Answer), (struct.pack("!I", len(_ANSWER)) + _ANSWER,)),
    "requests": Target(
        requested,
        (
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n",
            b"HEAD / HTTP/9.9\r\n\r\n",
            b"G\r\n",
        ),
    ),
    "metrics": Target(
        refusing(scraped, ValueError),
        (
            b'# HELP a b\n# TYPE a counter\na_total{x="y",z="\\n"} 1.0 123\nb 2\nc{} NaN\n',
            b'a{x="y", ="z"} 1\n',
            b'replguard_events_total{sensor="file",outcome="x"} 1\n',
        ),
    ),
    "yaml": Target(
        refusing(documents, ConfigError),
        (b"a: {b: [1, 2, &x {c: *x}]}\n--- !t 'x'\n", b"a: |\n  x\nb: 1e9\n", b"[" * 500),
    ),
    "configuration": Target(
        refusing(configured, ConfigError),
        (_CONFIG, _SINKS, b"metrics: {listen: x}\n", b"agents: {endpoints: ['a:\xc2\xb2', '[::1]:1']}\n"),
    ),
    "manifest": Target(allowed, (b"deployments: [{name: a, unit: a.service, weights: [/m], ports: [1]}]\njobs: []\n",)),
    "rules": Target(ruled, (_RULE, _CORRELATION, _RULE + b"---\n" + _CORRELATION)),
    "web configuration": Target(
        refusing(guarded, ConfigError),
        (b"tls_server_config: {cert_file: a, key_file: b, min_version: TLS12}\nbasic_auth_users: {a: b}\n",),
    ),
    "credentials": Target(refusing(passed, OSError), (b"Basic YTpi", b"abc\n", b"\xff")),
    "masking": Target(hidden, (b"curl -H 'Authorization: Bearer abcdef' https://u:p@h/?token=1 --password=x",)),
    "alerts": Target(refusing(sent, ValueError), _ALERTS),
}
