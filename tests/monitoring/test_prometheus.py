"""Prometheus, Alertmanager and Grafana: the files in monitoring/ are right, and an alert arrives.

It takes a minute on a busy machine: three programs and the home page start, and Prometheus looks
every second.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from receivers import Webhook, free_port
from running import Running

from proto_loc import credentials, warehouse
from proto_loc.monitoring import openmetrics
from proto_loc.settings import ROOT
from proto_loc.warehouse import store

FILES = ROOT / "monitoring"
RULES = yaml.safe_load((FILES / "alerts.yml").read_text())
ALERTS = {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}
NAME = re.compile(r"loc_[a-z_]+[a-z]")


def program(name: str) -> str:
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is missing: apt-get install prometheus prometheus-alertmanager")
    return path


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_rule_fires_and_stays_quiet_when_it_should():
    run(program("promtool"), "check", "rules", FILES / "alerts.yml")
    tests = Path(__file__).with_name("alerts_test.yml")
    run(program("promtool"), "test", "rules", tests)
    tested = {
        alert["alertname"]
        for case in yaml.safe_load(tests.read_text())["tests"]
        for alert in case["alert_rule_test"]
        if alert.get("exp_alerts")
    }
    assert tested == ALERTS


def test_the_dashboard_is_valid_and_asks_for_metrics_that_exist(data, tmp_path):
    """Grafana itself is in no package registry; Prometheus checks each query."""
    board = json.loads((FILES / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 20 and len({panel["id"] for panel in board["panels"]}) == len(
        board["panels"]
    )
    rules = [{"record": f"q{at}", "expr": query} for at, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    run(program("promtool"), "check", "rules", file)
    text = openmetrics.text()
    own = {f"loc_{server}_query_seconds" for server in ("superset", "cube")}
    known = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) | own
    alerts = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    for query in queries + alerts:
        for name in NAME.findall(re.sub(r'"[^"]*"', "", query).replace("loc_process_state=", "")):
            family = re.sub(r"_(bucket|count|sum|total)$", "", name)
            assert family in known or name in known, f"{name} in {query}"


@contextmanager
def started(*command: str | Path, folder: Path) -> Iterator[None]:
    with (folder / f"{Path(command[0]).name}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_an_alert_is_fired_for_real_and_resolved(data, port_prefix, tmp_path, monkeypatch):
    """The files of the repository, with other ports and shorter pauses."""
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    alerts, metrics = free_port(), free_port()
    with warehouse.write("prod", who="test"):
        pass
    manifest = store.load("prod", 1).folder / "manifest.json"
    whole = manifest.read_text()
    manifest.chmod(0o644)
    manifest.write_text("{")
    with Webhook() as webhook, Running("home") as home:
        config = yaml.safe_load((FILES / "prometheus.yml").read_text())
        config["global"] = dict.fromkeys(config["global"], "1s") | {"scrape_timeout": "1s"}
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{alerts}"
        ]
        (job,) = config["scrape_configs"]
        job["authorization"]["credentials_file"] = str(credentials.path("metrics"))
        job["static_configs"] = [{"targets": [f"127.0.0.1:{home.port}"]}]
        job |= {"scrape_interval": "3s", "scrape_timeout": "3s"}
        shutil.copy(FILES / "alerts.yml", tmp_path)
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        routes = yaml.safe_load((FILES / "alertmanager.yml").read_text())
        routes["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        routes["receivers"][0]["webhook_configs"][0]["url"] = webhook.url
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(routes))
        run(program("promtool"), "check", "config", tmp_path / "prometheus.yml")
        with (
            started(
                program("prometheus-alertmanager"),
                "--config.file=alertmanager.yml",
                f"--web.listen-address=127.0.0.1:{alerts}",
                "--cluster.listen-address=",
                f"--storage.path={tmp_path}/alerts",
                folder=tmp_path,
            ),
            started(
                program("prometheus"),
                "--config.file=prometheus.yml",
                f"--web.listen-address=127.0.0.1:{metrics}",
                f"--storage.tsdb.path={tmp_path}/metrics",
                folder=tmp_path,
            ),
        ):
            fired = wait_for(webhook, "firing")
            assert fired["labels"]["database"] == "prod"
            assert fired["annotations"]["summary"] == "A version of prod is damaged"
            manifest.write_text(whole)
            wait_for(webhook, "resolved")


def wait_for(webhook: Webhook, status: str) -> dict:
    """The alert on the damaged version, once the webhook has got it with this status."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for _, content in list(webhook.requests):
            for alert in content["alerts"]:
                if (alert["labels"]["alertname"], alert["status"]) == ("LocVersionDamaged", status):
                    return alert
        time.sleep(0.2)
    raise AssertionError(f"no alert is {status}: {webhook.requests}")
