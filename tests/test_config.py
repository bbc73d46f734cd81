"""The configuration: every key has its default, every fault its line, and drop-in files win key by key."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard import config
from replguard.config import Bytes, Config, Seconds
from replguard.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    return [f"{Path(p.path).name}:{p.line}: {p.text}" for p in caught.value.problems]


def test_every_key_is_optional(tmp_path, monkeypatch):
    """No file, an empty file and a file of comments all give the defaults."""
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "absent.yaml")
    assert config.load(None) == Config()
    assert config.load(write(tmp_path / "empty.yaml", "")) == Config()
    assert config.load(write(tmp_path / "comments.yaml", "# weights:\n---\n")) == Config()


def test_the_defaults_are_the_documented_ones():
    """The values that the documents and the rules rely on."""
    made = Config()
    assert made.weights.min_size == 32 * 2**20
    assert made.weights.scan_rate == 200 * 2**20
    assert made.egress.limit == 50 * 2**20
    assert made.alerts.fold == 600
    assert made.log.raw.max_size == 2 * 2**30
    assert made.log.evidence.max_size == 2**30
    assert made.log.evidence.max_age == 400 * 86400
    assert made.metrics.listen == "127.0.0.1:10947"
    assert made.sinks == {"jsonl": {"path": "/var/log/replguard/alerts.jsonl"}}


def test_a_whole_configuration_is_read(tmp_path):
    """Every section at once, sizes and spans in their units, and the word off, which YAML takes for false."""
    made = config.load(
        write(
            tmp_path / "c.yaml",
            """
state_dir: /s
weights: {paths: [/models], discover: no, min_size: 1GiB, scaffolds: [/agent], scan_rate: 10MB/s, scan_network: true}
watch: {paths: [/home]}
agents: {endpoints: [builtin, 10.0.0.0/8, api.example.org]}
egress: {limit: 1k, ignore: [192.0.2.1/24]}
manifest: /m.yaml
rules: {paths: [/r], disable: [some-rule], levels: {other: low}}
mode: observe
sensors: {process: portable, gpu: off}
log: {dir: /l, raw: {max_size: 1GiB}, evidence: {max_age: 2w}}
alerts: {min_level: high, fold: 90, max_per_hour: 5, snapshot: medium}
sinks: {webhook: {url: "http://127.0.0.1/x"}, console: {}}
metrics: {listen: ""}
""",
        )
    )
    assert made.weights == config.Weights(
        ("/models",), False, Bytes(2**30), ("/agent",), (), Bytes(10_000_000), scan_network=True
    )
    assert made.egress.limit == 1000
    assert made.sensors == config.Sensors(process="portable", gpu="off")
    assert made.log.evidence == config.Evidence(max_age=Seconds(14 * 86400))
    assert made.alerts == config.Alerts("high", Seconds(90), "medium", 5)
    assert made.sinks == {"webhook": {"url": "http://127.0.0.1/x"}, "console": {}}
    assert (made.mode, made.metrics.listen) == ("observe", "")


def test_all_faults_are_told_at_once_each_at_its_line(tmp_path):
    """One reading is enough to mend the file."""
    path = write(
        tmp_path / "c.yaml",
        """state_dir: 5
weights:
  paths: [/a, 3]
  min_sze: 3
  min_size: 3 parsecs
watch:
egress: {limit: 99999999999999TB, ignore: [10.0.0.0/99]}
metrics: {listen: foo}
alerts: {max_per_hour: 0, fold: .inf, min_level: hgh}
sinks: {jsonl: 3}
rules: {levels: {x: bad}}
mode: enforec
sensrs: {}
""",
    )
    assert faults(path) == [
        "c.yaml:1: 'state_dir': Expected text, got int",
        "c.yaml:3: 'paths': Expected text, got int",
        "c.yaml:4: unknown key 'min_sze', did you mean 'min_size'?",
        "c.yaml:5: 'min_size': '3 parsecs' is not a size; write for example 32MiB or 2GiB",
        "c.yaml:6: 'watch': Expected keys and values, got nothing",
        "c.yaml:7: 'limit': '99999999999999TB' is more than any disk holds",
        "c.yaml:8: 'listen': 'foo' is not address:port, for example 127.0.0.1:10947",
        "c.yaml:9: 'fold': 'inf' is not a time span; write for example 30s, 10m, 2h or 400d",
        "c.yaml:9: 'max_per_hour': Expected int >= 1",
        "c.yaml:9: 'min_level': 'hgh' is none of informational, low, medium, high, critical",
        "c.yaml:10: 'jsonl': Expected keys and values, got int",
        "c.yaml:11: 'x': 'bad' is none of informational, low, medium, high, critical",
        "c.yaml:12: 'mode': 'enforec' is none of enforce, observe",
        "c.yaml:13: unknown key 'sensrs', did you mean 'sensors'?",
    ]


def test_a_network_that_is_none_is_told(tmp_path):
    """It would never match, and nobody would notice."""
    (fault,) = faults(write(tmp_path / "c.yaml", "agents: {endpoints: [10.0.0.0/99]}\n"))
    assert fault == "c.yaml:1: '10.0.0.0/99' does not appear to be an IPv4 or IPv6 network"


def test_drop_ins_win_key_by_key(tmp_path):
    """A later file changes what it names and nothing else; lists are replaced; hidden and other files are not read."""
    path = write(tmp_path / "c.yaml", "weights: {paths: [/a, /b], discover: false}\nsinks: {console: {}}\n")
    write(tmp_path / "conf.d/10-x.yaml", "weights: {paths: [/c]}\n")
    write(tmp_path / "conf.d/20-y.yaml", "sinks: {webhook: {url: u}}\nweights: {paths: [/d]}\n")
    write(tmp_path / "conf.d/.#z.yaml", "{")
    write(tmp_path / "conf.d/readme.md", "{")
    made = config.load(path)
    assert made.weights == config.Weights(paths=("/d",), discover=False)
    assert made.sinks == {"console": {}, "webhook": {"url": "u"}}


def test_faults_of_all_files_are_told_together(tmp_path):
    """The main file and its drop-ins are judged in one run."""
    path = write(tmp_path / "c.yaml", "mdoe: observe\n")
    write(tmp_path / "conf.d/10-x.yaml", "\nweights: {min_size: x}\n")
    write(tmp_path / "conf.d/20-y.yaml", "a: [\n")
    assert {fault.split(": ")[0] for fault in faults(path)} == {"c.yaml:1", "10-x.yaml:2", "20-y.yaml:2"}


def test_a_file_that_cannot_be_read_is_an_error_not_a_default(tmp_path, monkeypatch):
    """A configuration that is absent where it was asked for, or that cannot be reached, is told."""
    assert faults(tmp_path / "none.yaml") == ["none.yaml:0: cannot be read: No such file or directory"]
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    monkeypatch.setattr(config, "DEFAULT_PATH", loop)
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_default_file_out_of_reach_is_an_error(tmp_path, monkeypatch):
    """What it says is unknown; the defaults might be the opposite."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    monkeypatch.setattr(config, "DEFAULT_PATH", closed / "replguard.yaml")
    try:
        with pytest.raises(ConfigError, match="Permission denied"):
            config.load(None)
    finally:
        closed.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_drop_in_folder_that_cannot_be_listed_is_an_error(tmp_path):
    """What it holds is unknown, not nothing."""
    path = write(tmp_path / "c.yaml", "mode: observe\n")
    folder = tmp_path / "conf.d"
    folder.mkdir(mode=0)
    try:
        assert faults(path) == ["conf.d:0: cannot be read: Permission denied"]
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (7, 7),
        ("32MiB", 2**25),
        ("32 mib", 2**25),
        ("1.5GiB", 3 * 2**29),
        ("2k", 2000),
        ("200MiB/s", 200 * 2**20),
    ],
)
def test_sizes(text, size):
    """Powers of ten and of two, with or without blanks, per second for rates."""
    assert Bytes.parse(text) == size


@pytest.mark.parametrize(
    ("text", "span"), [(0, 0), (1.5, 1.5), ("250ms", 0.25), ("10m", 600), ("2 h", 7200), ("1w", 604800)]
)
def test_spans(text, span):
    """Seconds where nothing is said."""
    assert Seconds.parse(text) == span


@pytest.mark.parametrize("value", ["", "-1", -1, True, None, [], "1e3", "5 PiB", "١x", float("nan"), "9" * 400, 2**63])
def test_what_is_no_size(value):
    """Refused with a sentence, never taken for something near."""
    with pytest.raises(ValueError, match=r"is not a size|more than any disk"):
        Bytes.parse(value)


@pytest.mark.parametrize("value", ["", "-1s", -1, True, None, "10 min", float("inf"), "9" * 400, "1001w0"])
def test_what_is_no_span(value):
    """Refused with a sentence, never taken for something near."""
    with pytest.raises(ValueError, match=r"is not a time span|longer than a thousand years"):
        Seconds.parse(value)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()))
def test_any_value_is_a_quantity_or_a_sentence(value):
    """No value of YAML makes the scalar types raise anything but ValueError."""
    for kind in (Bytes, Seconds):
        try:
            made = kind.parse(value)
        except ValueError:
            continue
        assert made >= 0


@pytest.mark.parametrize(
    ("listen", "right"),
    [("", True), ("[::1]:0", True), ("::1:80", False), (":80", False), ("h:99999", False), ("h", False)],
)
def test_the_address_of_the_metrics_page(listen, right):
    """An address and a port, or nothing."""
    if right:
        assert config.Metrics(listen).listen == listen
    else:
        with pytest.raises(ValueError, match="is not address:port"):
            config.Metrics(listen)


def test_the_shipped_examples_are_right():
    """The examples are configurations, not drawings of one."""
    root = Path(__file__).resolve().parents[1]
    here = config.load(root / "docs/examples/here.yaml")
    assert here.state_dir == "./var/state"
    assert config.load(root / "docs/examples/replguard.yaml").weights.paths == ("/models",)


@pytest.mark.parametrize("given", ['"5.15"', "5.15", "6.8", "auto"])
def test_the_kernel_whose_hooks_may_be_used_is_named_with_or_without_quotes(tmp_path, given):
    """What YAML reads as a number means the version; what is no known version is told with those that are."""
    path = tmp_path / "replguard.yaml"
    path.write_text(f"sensors: {{hooks: {given}}}\n")
    assert config.load(path).sensors.hooks == given.strip('"')
    path.write_text("sensors: {hooks: 4.19}\n")
    with pytest.raises(ConfigError, match=r"none of auto, 5\.15"):
        config.load(path)


def test_an_expression_to_mask_is_checked_at_its_line(tmp_path):
    """A token of the house that could never be found, or would be everywhere, is told with file and line."""
    path = tmp_path / "c.yaml"
    path.write_text("log:\n  mask:\n    - corp_[a-z0-9]{32}\n")
    assert config.load(path).log.mask == ("corp_[a-z0-9]{32}",)
    path.write_text("log:\n  mask:\n    - corp_[a-z0-9]{32}\n    - 'a('\n    - 'a*'\n    - 5\n")
    told = faults(path)
    assert [fault.split(": ")[0] for fault in told] == ["c.yaml:4", "c.yaml:5", "c.yaml:6"]
    assert "no expression that RE2 knows" in told[0]
    assert "write what a token has at least" in told[1]
