"""The stand-in for Cube's native addon gives the same answers as Cube.

It refuses what it does not support, and gives the reason. With ``LOC_CUBE_NATIVE=required`` the
addon must be installed, and the answers are compared with the addon's too.
"""

import base64
import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from servers import Server

from proto_loc.settings import ROOT, settings
from proto_loc.setup import node

pytestmark = pytest.mark.xdist_group("cube")

# The last release that formats answers in JavaScript. It is not a dependency; the tests only
# compare the stand-in with it.
ORACLE = "@cubejs-backend/api-gateway@1.1.9"
INTEGRITY = (
    "vMsNnUwQW2g2PbsHpmz2v84RWCrgP/df6lEjo/O5MqCPN0CNM+KkGWA0OdSowdzT3ttDF57TClEKXaWhu6aODA=="
)


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oracle")
    node.install()
    done = node.npm("pack", "--silent", ORACLE, cwd=folder)
    if done.returncode:
        pytest.skip(f"no npm registry can be reached: {done.stderr.strip()[-200:]}")
    (archive,) = folder.glob("*.tgz")
    assert base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == INTEGRITY
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "package"


def test_generated_answers_are_those_of_cubes_own_javascript_and_of_the_addon_where_it_is(oracle):
    seed = os.environ.get("LOC_SEED") or "20250101"
    done = subprocess.run(
        [node.program(), ROOT / "tests/cube/differential.js", oracle, "4000", seed],
        env=os.environ | {"NODE_PATH": str(node.MODULES)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    compared = json.loads(done.stdout)
    assert min(compared[name] for name in ("default", "compact", "columnar", "multi")) > 1000
    assert compared["refused"] > 50
    assert compared["addon"] or settings().cube_native != "required", (
        "the addon is required, and is not there"
    )


JINJA = "cubes: [{ name: a, sql_table: '{{ table }}' }]\n"


@pytest.mark.skipif(settings().cube_native == "required", reason="the addon can do these")
@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("a.yml", JINJA, "a.yml:1: A Jinja template in the model is not available"),
        ("a.yml.jinja", JINJA, "A Jinja template in the model is not available"),
        ("globals.py", "table = 'x'\n", "globals.py: A model in Python is not available"),
    ],
)
def test_a_model_that_only_the_addon_can_read_is_refused_with_that_reason(
    tmp_path, data, file, text, why
):
    (tmp_path / file).write_text(text)
    with Server(tmp_path, LOC_CUBE_NATIVE="off") as made:
        ready = made.http.get("/readyz")
        assert ready.status_code == 503
        assert (
            why in ready.json()["model"]["error"]
            and "addon is not installed" in ready.json()["model"]["error"]
        )


def test_the_sql_api_is_refused_with_that_reason(small):
    with Server(small, LOC_CUBE_NATIVE="off") as made:
        answer = made.post("/cubejs-api/v1/cubesql", {"query": "select 1"})
        assert "The SQL API is not available: Cube's native addon is not installed" in answer.text
        answer = made.post("/cubejs-api/v1/sql", {"query": "select 1", "format": "sql"})
        assert "The SQL API is not available: Cube's native addon is not installed" in answer.text


def test_which_one_is_used_is_logged(small):
    with Server(small, LOC_CUBE_NATIVE="off") as made:
        assert '"native":"stand-in","why":"LOC_CUBE_NATIVE=off"' in made.log()


@pytest.mark.skipif(node.ADDON.exists(), reason="the addon is there")
def test_without_the_addon_one_that_requires_it_does_not_start(small):
    made = Server(small, LOC_CUBE_NATIVE="required")
    made.start()
    assert made.process.wait(30) == 1
    assert "LOC_CUBE_NATIVE=required, and there is no native addon" in made.log()
