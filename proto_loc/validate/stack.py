"""Steps on the stack: it is up, each process is its own, and runs the golden versions."""

import contextlib
import html
import io
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from proto_loc import credentials, services, warehouse
from proto_loc.compose import stack
from proto_loc.compose.client import Client
from proto_loc.doctor import CHECKS, look, versions
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.home.processes import problem_of
from proto_loc.services import ports
from proto_loc.settings import ROOT, settings
from proto_loc.setup.environments import golden
from proto_loc.validate.proof import Proof, fail, skip

APART = ("ports", "listeners", "secrets", "versions", "running", "warehouse", "sources")
"""Checks of doctor that belong to other steps."""


def machine(proof: Proof) -> Iterator[Finding]:
    """Run doctor's checks of the machine and the clone."""
    for name, finding in look(name for name in CHECKS if name not in APART):
        proof.say(name)
        yield finding


def up(proof: Proof) -> Iterator[Finding]:
    """Start the stack if nothing is up, and wait until it is ready."""
    with Client() as client:
        is_up = client.alive()
    if is_up:
        yield ok("The stack is up")
        return
    yield from (finding for _, finding in look(["ports"]) if finding.status != "ok")
    proof.say("starting the services")
    proof.started = True
    proof.before = warehouse.store.current_id("prod")
    with contextlib.redirect_stdout(io.StringIO()):  # its links have secrets
        stack.up((), detach=True, timeout=proof.timeout)
    yield ok("The stack was started")


def processes(proof: Proof) -> Iterator[Finding]:
    """Check that each process is ready, and that it is this clone's own that listens."""
    with Client() as client:
        states = client.processes()
    if not states:
        yield fail("No stack of this clone is up.", "Its supervisor has ended.", "./loc up -d")
    for state in states:
        if state.verdict == "off":
            yield skip(f"{state.name} is off", "", f"./loc restart {state.name} starts it")
            continue
        if state.verdict not in ("ready", "done"):
            reason = state.why or f"It is {state.status}, its probe says {state.health}."
            yield fail(
                f"{state.name} is not ready.", reason, f"./loc logs {state.name}, ./loc status"
            )
            continue
        if problem := problem_of(state):
            yield fail(
                f"{state.name} does not serve what it should.", problem, f"./loc logs {state.name}"
            )
            continue
        service = services.SERVICES.get(state.name)
        port = settings().port(service.port) if service and service.port else 0
        if port and (neighbour := _neighbour(state.name, port)):
            yield neighbour
            continue
        proof.ready.add(state.name)
    yield ok(f"{len(proof.ready)} processes are ready or done, each on its own port")


def _neighbour(name: str, port: int) -> Finding | None:
    """The finding if another process than the service's own listens on its port."""
    for listener in ports.listeners((port,)):
        if listener.mark != services.mark(name):
            return fail(
                f"Not {name}, but another process answers on port {port}.",
                f"It is {ports.taken_by(port)}.",
                f"End that, then ./loc restart {name}",
            )
    return None


def versions_running(proof: Proof) -> Iterator[Finding]:
    """Compare what is installed and what the services themselves report with golden.toml."""
    yield from (finding for _, finding in look(["versions", "running"]))
    pinned = golden()
    packages = {
        name: version
        for environment in pinned["environments"].values()
        for name, version in environment["packages"].items()
    }
    same = []
    for name, expected, report in (
        ("dagster-web", packages["dagster"], _dagster),
        ("superset", packages["apache-superset"], _superset),
        ("cube", pinned["npm"]["@cubejs-backend/server-core"], _cube),
        ("cube", pinned["tools"]["node"], _node),
        ("jupyter", "", _jupyter),
    ):
        if name not in proof.ready:
            continue
        what, version = _reported(report)
        expected = expected or _locked("notebooks", "jupyter-server")
        if not (version == expected or version.startswith(f"{expected}.")):
            yield fail(
                f"{name} runs {what} {version or 'of unknown version'}, not {expected}.",
                "golden.toml and the locks name the versions.",
                f"./loc setup, then ./loc restart {name}",
            )
        else:
            same.append(f"{what} {version}")
    python = pinned["tools"]["python"]
    for name, process in versions.running().items():
        with suppress(psutil.Error, OSError):
            program = process.exe()
            if "python" in program and not _output(program).startswith(f"Python {python}."):
                yield fail(
                    f"{name} runs with {program}.",
                    f"That is {_output(program)}; golden.toml asks for Python {python}.",
                    f"./loc setup, then ./loc restart {name}",
                )
    duckdb = pinned["core"]["duckdb"]
    if proof.prod.duckdb.removeprefix("v") != duckdb:
        yield fail(
            f"Version {proof.prod.id} of prod was written by DuckDB {proof.prod.duckdb}.",
            f"golden.toml names {duckdb}.",
            "./loc refresh --force",
        )
    if same:
        yield ok(f"What runs is golden: {', '.join(same)}, Python {python}, DuckDB {duckdb}")


def _reported(report: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    try:
        return report()
    except (httpx.HTTPError, OSError, ValueError, KeyError, LocError) as error:
        return f"something that does not answer ({error})", ""


def _get(service: str, path: str, **options) -> httpx.Response:
    address = f"http://127.0.0.1:{settings().port(service)}{path}"
    return httpx.get(address, trust_env=False, timeout=30, **options).raise_for_status()


def _dagster() -> tuple[str, str]:
    headers = {"authorization": f"Bearer {credentials.secret('dagster')}"}
    return "Dagster", _get("dagster", "/server_info", headers=headers).json()["dagster_version"]


def _superset() -> tuple[str, str]:
    page = html.unescape(_get("superset", "/login/").text)
    version = re.search(r'"version_string": *"([^"]+)"', page)
    return "Superset", version[1] if version else ""


def _jupyter() -> tuple[str, str]:
    return "Jupyter Server", _get("jupyter", "/api").json()["version"]


def _cube() -> tuple[str, str]:
    return "Cube", _get("cube", "/livez").json()["cube"]


def _node() -> tuple[str, str]:
    for process in _family("cube"):
        with suppress(psutil.Error):
            if Path(process.exe()).name == "node":
                return "Node", _output(process.exe()).removeprefix("v")
    return "Node", ""


def _family(name: str) -> list[psutil.Process]:
    parent = versions.running().get(name)
    return [parent, *parent.children(recursive=True)] if parent else []


def _locked(environment: str, package: str) -> str:
    return next(iter(versions.pins(ROOT / f"locks/{environment}.txt")[package]))


def _output(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    return done.stdout.strip()
