"""Runs ``parts.test.js``, the unit tests of Cube's server."""

import os
import subprocess

import pytest

from proto_loc import warehouse
from proto_loc.settings import ROOT
from proto_loc.setup import node

pytestmark = pytest.mark.xdist_group("cube")


def test_the_results_and_connections_of_a_version_are_bounded(small):
    node.install()
    done = subprocess.run(
        [node.program(), "--test", ROOT / "tests/cube/parts.test.js"],
        env=os.environ
        | {"NODE_PATH": str(node.MODULES), "FILE": str(warehouse.current("prod").path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " fail 0\n" in done.stdout and " pass 0\n" not in done.stdout, done.stdout
