"""The page of metrics as docs/alerting.md guards it: Prometheus and curl get in by certificate and password."""

import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import yaml
from support import authority, prometheus
from support.prometheus import EXAMPLES, PROMETHEUS, until

from replguard.drill.stage import Stage, free_ports
from replguard.events.health import Health
from replguard.metrics.page import Page
from replguard.metrics.table import Sheet

CURL = shutil.which("curl")
PASSWORD = "correct horse"
STARTS = 40.0
pytestmark = authority.needed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keys by the names of the shipped example, and that example with a password of the test's."""
    authority.certificate(tmp_path, "prometheus-ca")
    authority.certificate(tmp_path, "server", by="prometheus-ca")
    authority.certificate(tmp_path, "client", by="prometheus-ca", alternative="DNS:prometheus.example.org")
    settings = yaml.safe_load((EXAMPLES / "web.yml").read_text())
    known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    settings["basic_auth_users"] = {"prometheus": known}
    (tmp_path / "web.yml").write_text(yaml.safe_dump(settings))
    return tmp_path


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    """The page."""

    def sheet() -> Sheet:
        made = Sheet()
        made.set("build_info", 1, "0.1.0")
        return made

    said: list[Health] = []
    one = Page("127.0.0.1:0", sheet, said.append, str(folder / "web.yml"))
    one.start()
    yield one
    one.stop()
    assert said == []


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_curl_gets_in_with_both_and_not_with_one(folder: Path, page: Page) -> None:
    """A certificate of the authority and the password; with the certificate alone there is an answer, and no page."""
    client = ["--cert", folder / "client.crt", "--key", folder / "client.key"]
    known = ["--user", f"prometheus:{PASSWORD}"]

    def curl(*words: object) -> tuple[int, str]:
        line = [CURL, "--silent", "--max-time", "20", "--cacert", folder / "prometheus-ca.crt", *words]
        url = f"https://127.0.0.1:{page.port}/metrics"
        done = subprocess.run([*map(str, line), "-w", "%{http_code}", url], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert "replguard_build_info" in curl(*client, *known)[1]
    assert curl(*client)[1].endswith("401")
    assert curl(*known)[0] != 0
    assert curl(*client, *known, "--tls-max", "1.1")[0] != 0


@pytest.mark.timeout(180)
@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed (Debian: package prometheus)")
def test_prometheus_gets_in(folder: Path, page: Page) -> None:
    """By a scrape configuration as its documents have it."""
    (port,) = free_ports(1)
    job = {
        "job_name": "replguard",
        "scheme": "https",
        "tls_config": {
            "ca_file": str(folder / "prometheus-ca.crt"),
            "cert_file": str(folder / "client.crt"),
            "key_file": str(folder / "client.key"),
        },
        "basic_auth": {"username": "prometheus", "password": PASSWORD},
        "static_configs": [{"targets": [f"127.0.0.1:{page.port}"]}],
    }
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    asked = urllib.parse.urlencode({"query": "replguard_build_info"})

    def result() -> list[object]:
        answer = prometheus._get(f"http://127.0.0.1:{port}/api/v1/query?{asked}", raw=True)
        return json.loads(answer)["data"]["result"] if answer else []

    with Stage() as stage:
        words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        line = [str(PROMETHEUS), *words, f"--web.listen-address=127.0.0.1:{port}"]
        stage.start(line, folder=folder, output=folder / "prometheus.log")
        assert until(result, STARTS)
