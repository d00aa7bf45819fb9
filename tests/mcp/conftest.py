"""Fixtures: a published platform with Cube, and the client of the MCP SDK."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from running import Running
from samples import copy_sample

from proto_loc.settings import ROOT, settings
from proto_loc.setup import environments, node

CLIENT = [ROOT / ".venvs/notebooks/bin/python", Path(__file__).parent / "sdk_client.py"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, module_port_prefix: str) -> Iterator[Path]:
    """The home folder of a platform with a published sample of 20,000 trips, and Cube running."""
    home = tmp_path_factory.mktemp("platform")
    environments.sync("notebooks")
    node.install()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        patch.setenv("LOC_PORT_PREFIX", module_port_prefix)
        copy_sample(home, tmp_path_factory)
        with Running("cube"):
            yield home


def wait(url: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until the address answers."""
    end = time.monotonic() + 90
    while True:
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.1)


@pytest.fixture(scope="module")
def http(platform: Path) -> Iterator[str]:
    """Starts ``loc mcp --http``, and returns its address."""
    log = platform / "mcp.log"
    with log.open("w") as out:
        process = subprocess.Popen([ROOT / "loc", "mcp", "--http"], stdout=out, stderr=out)
    url = f"http://127.0.0.1:{settings().port('mcp')}"
    try:
        wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def mcp(platform: Path) -> Callable:
    """Calls tools with the SDK's client over stdio, in one session.

    It returns the tools and each result.
    """

    def call(*calls: tuple, where: tuple = ("stdio",), **variables: str) -> dict:
        done = subprocess.run(
            [*CLIENT, *where],
            input=json.dumps(calls),
            env=os.environ | variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call
