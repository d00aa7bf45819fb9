"""The whole platform starts, publishes data and stops, with each available supervisor."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from descriptions import number_of_tests
from dummies import SUPERVISORS, until
from running import PROBES

from proto_loc.settings import ROOT

SERVICES = tuple(PROBES)


class Platform:
    """This clone, with its own data and run folders."""

    def __init__(self, home: Path, prefix: str, supervisor: str) -> None:
        self.home, self.prefix = home, prefix
        chosen = {"LOC_DATA": f"{home}/data", "LOC_RUN": f"{home}/run", "LOC_PORT_PREFIX": prefix}
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith("LOC_")
        }
        self.env |= chosen | {"LOC_COMPOSE": supervisor}

    def loc(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [ROOT / "loc", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=280,
            cwd=self.home,
        )

    def states(self) -> dict[str, dict]:
        states = json.loads(self.loc("status", "--json").stdout)["services"]
        return {state["name"]: state for state in states}

    def urls(self) -> dict[str, str]:
        return json.loads(self.loc("urls", "--json").stdout)

    def ours(self) -> list[str]:
        """Return every process of this platform."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and str(self.home) in " ".join(
                    process.environ().values()
                ):
                    found.append(f"{process.pid}: {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found

    def history(self) -> list[dict]:
        folder = self.home / "data/warehouse/prod/versions"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("*/manifest.json"))]


@pytest.fixture(params=SUPERVISORS)
def platform(request: pytest.FixtureRequest, port_prefix: str) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="loc-") as home:
        made = Platform(
            Path(home), port_prefix, {"process-compose": "path"}.get(request.param, request.param)
        )
        try:
            yield made
        finally:
            made.loc("down")


def started_by(parent: psutil.Process) -> psutil.Process:
    """Return the process that ``loc exec`` started."""
    return next(p for p in parent.children() if "launch.py" not in " ".join(p.cmdline()))


def not_healed(platform: Platform, chosen: Callable) -> list[str]:
    """Kill a process of each service at once; return the services that did not get ready again.

    Args:
        chosen: gets the process of ``loc exec``, and returns the process to kill.
    """
    before = platform.states()
    for process in [chosen(psutil.Process(before[service]["pid"])) for service in SERVICES]:
        process.kill()
    waiting = list(SERVICES)

    def ready() -> bool:
        states = platform.states()
        waiting[:] = [
            service
            for service in SERVICES
            if states[service]["restarts"] == before[service]["restarts"]
            or states[service]["verdict"] != "ready"
        ]
        return not waiting

    until(ready, 120)
    return waiting


@pytest.mark.timeout(600)
def test_up_fills_an_empty_platform_each_process_heals_and_down_leaves_nothing(platform: Platform):
    up = platform.loc("up", "-d")
    assert up.returncode == 0, up.stdout + up.stderr
    assert {name: state["verdict"] for name, state in platform.states().items()} == {
        **dict.fromkeys(SERVICES, "ready"),
        **dict.fromkeys(("setup", "first-load", "superset-provision"), "done"),
    }
    empty, first = platform.history()
    assert (empty["who"], first["who"], first["checks"]) == (
        "set-up",
        "loc first-load",
        {"pass": number_of_tests(platform.home / "data/warehouse/prod/current")},
    )
    assert (
        first["tables"]["marts.fct_taxi_trips"] + first["tables"]["marts.rejected_trips"] == 300_000
    )
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=30) as browser:
        for title, url in platform.urls().items():
            page = browser.get(url)
            assert page.status_code == 200, title
            assert "token" not in str(page.url) or title == "JupyterLab", (
                "its page takes it out by itself"
            )
            assert title.split()[0].lower() in page.text.lower(), title
            if title == "Home":
                assert f"All {len(SERVICES)} services are ready" in page.text
    state = json.loads(platform.loc("status", "--json").stdout)
    assert [row for row in state["problems"] if row["part"] != "machine"] == []
    assert [(run["who"], run["status"], run["version"]) for run in state["runs"]] == [
        ("loc first-load", "SUCCESS", 2)
    ]

    assert "is up already" in platform.loc("up", "-d").stdout
    assert not_healed(platform, started_by) == []
    assert not_healed(platform, lambda parent: parent) == [], "the processes of loc exec"
    done = platform.loc("refresh", "--force")
    assert "Dagster runs it" in done.stderr and "Published version 3 of prod" in done.stdout, (
        done.stderr
    )

    assert platform.loc("down").stdout == "Everything has ended.\n"
    assert until(lambda: not platform.ours(), 20), platform.ours()
    assert "Nothing is up" in platform.loc("status").stdout
    again = platform.loc("up", "-d")
    assert again.returncode == 0, again.stderr
    assert len(platform.history()) == 3, "what is there is not loaded again"
    assert platform.loc("down").returncode == 0
    assert until(lambda: not platform.ours(), 20), platform.ours()
