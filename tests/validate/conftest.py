"""Fixtures: a platform that `loc validate` has started from nothing, and left up."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proto_loc.settings import ROOT


class Validated:
    """A platform with data and run folders of its own; ``report`` is that of the first run."""

    def __init__(self, home: Path, prefix: str) -> None:
        self.home = home
        self.variables = {
            "LOC_DATA": f"{home}/data",
            "LOC_RUN": f"{home}/run",
            "LOC_PORT_PREFIX": prefix,
            "LOC_COMPOSE": "runner",
        }
        self.first = self.loc("validate", "--json", "--leave-up")
        self.report = json.loads(self.first.stdout or "{}")

    def loc(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_", "OPENAI_")) or name == "LOC_CHROMIUM"
        }
        return subprocess.run(
            [ROOT / "loc", *arguments],
            env=outside | self.variables | variables,
            capture_output=True,
            text=True,
            timeout=1100,
            cwd=self.home,
        )

    def validate(self, *names: str, **variables: str) -> tuple[int, dict[str, dict]]:
        """Run some steps on what is published; return the exit code, and the steps by name."""
        options = ("validate", "--json", "--read-only", "--only", ",".join(names))
        done = self.loc(*options, **variables)
        assert done.stdout, done.stderr
        return done.returncode, steps(json.loads(done.stdout))


def steps(report: dict) -> dict[str, dict]:
    return {step["name"]: step for step in report["steps"]}


@pytest.fixture(scope="module")
def validated(module_port_prefix: str) -> Iterator[Validated]:
    with tempfile.TemporaryDirectory(prefix="loc-") as home:  # a socket's path has a short limit
        made = None
        try:
            made = Validated(Path(home), module_port_prefix)
            yield made
        finally:
            if made:
                made.loc("down")
