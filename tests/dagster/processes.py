"""Starts Dagster's three processes on a copy of the repository that tests may break."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from proto_loc.settings import ROOT

SERVICES = ("code_server", "web", "daemon")


def until(what: str, condition: Callable, seconds: float = 60):
    """Return the first true value of ``condition``; fail with ``what`` after the time limit."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"after {seconds:g} s still not: {what}"
        time.sleep(0.2)
    return value


@dataclass
class Stack:
    """A clone with a data folder, and the processes that a test has started there."""

    home: Path
    prefix: str
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def clone(self) -> Path:
        return self.home / "clone"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.prefix}3000"

    @property
    def token(self) -> str:
        return (self.home / "run/secrets/dagster").read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_", "DAGSTER_"))
        }
        return kept | {
            "LOC_DATA": str(self.data),
            "LOC_RUN": str(self.home / "run"),
            "LOC_PORT_PREFIX": self.prefix,
            "PYTHONPATH": str(self.clone),
        }

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run the clone's Python and wait until it ends."""
        return subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=self.home,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    def loc(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return self.python("-m", "proto_loc.cli", *arguments, **environment)

    def start(self, *services: str) -> None:
        """Start processes, and wait until each is ready, as its probe does."""
        if "daemon" in services:  # `loc exec` does so too: a killed daemon leaves the file
            (self.home / "run/dagster-daemon.ready").unlink(missing_ok=True)
        for service in services:
            log = (self.home / f"{service}.log").open("a")
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-P", "-m", f"proto_loc.dagster.{service}"],
                cwd=self.home,
                env=self.environment | {"LOC_LOG_FORMAT": "json"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        ready = {
            "code_server": lambda: (self.home / "run/dagster-code.sock").exists(),
            "web": self.answers,
            "daemon": lambda: (self.home / "run/dagster-daemon.ready").exists(),
        }
        for service in services:
            until(
                f"{service} is ready or has ended",
                lambda s=service: ready[s]() or self.processes[s].poll(),
                90,
            )
            assert self.processes[service].poll() is None, (
                self.home / f"{service}.log"
            ).read_text()

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).text == "ok\n"
        except httpx.HTTPError:
            return False

    def stop(self, service: str, how: int = signal.SIGTERM) -> None:
        process = self.processes.pop(service)
        process.send_signal(how)
        process.wait(30)

    def ask(self, query: str, **variables) -> dict:
        answer = httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {self.token}"},
            timeout=120,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        assert "errors" not in answer.json(), answer.json()["errors"]
        return answer.json()["data"]

    def runs(self) -> list[dict]:
        """Return the runs, newest first."""
        return self.ask(
            "{ runsOrError { ... on Runs { results { runId status jobName tags { key value } }"
            " } } }"
        )["runsOrError"]["results"]

    def wait_for_run(self, run: str, seconds: float = 90) -> str:
        """Wait until the run ends; return its status."""
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        query = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
        status = lambda: self.ask(query, run=run)["runOrError"]["status"]  # noqa: E731
        until(f"run {run} has ended", lambda: status() in ended, seconds)
        return status()

    def materializations(self, *key: str, limit: int = 100) -> list[dict]:
        """Return an asset's materializations, newest first: ``partition``, ``runId``, metadata by
        label.
        """
        node = self.ask(
            """query($key: AssetKeyInput!, $limit: Int!) {
              assetOrError(assetKey: $key) { ... on Asset {
              assetMaterializations(limit: $limit) { partition runId metadataEntries { label
                ... on IntMetadataEntry { intRepr } ... on FloatMetadataEntry { floatValue }
                ... on TextMetadataEntry { text }
                ... on TableSchemaMetadataEntry { schema { columns { name type description } } } } }
                    } } }""",
            key={"path": list(key)},
            limit=limit,
        )["assetOrError"]
        return [
            {
                "partition": found["partition"],
                "runId": found["runId"],
                **{
                    entry["label"]: (
                        int(entry["intRepr"])
                        if "intRepr" in entry
                        else next(
                            entry[kind]
                            for kind in ("floatValue", "text", "schema")
                            if kind in entry
                        )
                    )
                    for entry in found["metadataEntries"]
                },
            }
            for found in node.get("assetMaterializations", [])
        ]

    def checks(self, *key: str) -> dict[str, str | None]:
        """Return the checks of an asset: the name, and the status of the last execution."""
        node = self.ask(
            """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
              assetChecksOrError { ... on AssetChecks { checks {
                name executionForLatestMaterialization { status } }
              } } } } }""",
            key={"path": list(key)},
        )["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {
            c["name"]: (c["executionForLatestMaterialization"] or {}).get("status") for c in node
        }

    def location_error(self) -> str | None:
        (entry,) = self.ask(
            """{ workspaceOrError { ... on Workspace { locationEntries {
              locationOrLoadError { __typename
              ... on PythonError { message errorChain { error { message } } } } } } } }"""
        )["workspaceOrError"]["locationEntries"]
        shown = entry["locationOrLoadError"] or {"message": "loading"}
        if "message" not in shown:
            return None
        return "\n".join(
            [shown["message"], *(link["error"]["message"] for link in shown.get("errorChain", []))]
        )

    def history(self) -> list[dict]:
        """Return the manifests of the versions of prod, newest first."""
        folders = sorted((self.data / "warehouse/prod/versions").glob("*"), reverse=True)
        return [json.loads((folder / "manifest.json").read_text()) for folder in folders]

    def current(self, database: str) -> int | None:
        link = self.data / "warehouse" / database / "current"
        return int(os.readlink(link).rpartition("/")[2]) if link.is_symlink() else None


def clone(home: Path) -> None:
    for folder in ("pipelines", "proto_loc", "dbt"):
        shutil.copytree(
            ROOT / folder,
            home / "clone" / folder,
            ignore=shutil.ignore_patterns("__pycache__", "node_modules", "target"),
        )
    shutil.copytree(ROOT / "locks", home / "clone/locks")
    shutil.copy(ROOT / "golden.toml", home / "clone")
