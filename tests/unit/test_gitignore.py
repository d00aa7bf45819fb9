"""Git ignores all files that the platform writes, and no file of the repository."""

import re
import shutil
import subprocess

import pytest

from proto_loc.settings import ROOT

RUNTIME = (
    "data/warehouse/dev.duckdb",
    ".run/secrets/token",
    ".venvs/platform/bin/python",
    ".tools/uv-1",
    ".env",
    "x.duckdb",
    "x.duckdb.wal",
    "x.wal",
    "dbt/target/manifest.json",
    "dbt/logs/dbt.log",
    "dbt/.user.yml",
    "proto_loc/cube/server/node_modules/a/b.js",
    "proto_loc/__pycache__/a.pyc",
    ".pytest_cache/a",
    ".ruff_cache/a",
    "notebooks/.ipynb_checkpoints/a",
    "logs/dbt.log",
)
OURS = (
    ".env.example",
    "pipelines/taxi/load.py",
    "dbt/seeds/zones.csv",
    "locks/platform.txt",
    ".ci/run",
    "docs/versions.md",
)


@pytest.fixture(scope="module")
def ignored(tmp_path_factory):
    """Asks git whether it ignores a path.

    The repository is a new one, because a release has this file but no .git folder.
    """
    repo = tmp_path_factory.mktemp("repo")
    subprocess.run(["git", "init", "--quiet", repo], check=True)
    shutil.copy(ROOT / ".gitignore", repo)
    return lambda path: (
        subprocess.run(["git", "check-ignore", "--quiet", path], cwd=repo).returncode == 0
    )


@pytest.mark.parametrize("path", RUNTIME)
def test_runtime_state_is_ignored(path, ignored):
    assert ignored(path)


@pytest.mark.parametrize("path", OURS)
def test_our_files_are_not(path, ignored):
    assert not ignored(path)


def test_what_documented_builds_leave_is_ignored(ignored):
    """Bug: a packed platform of 4 GB was left beside the sources, for `git add` to take."""
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    left = re.findall(r"--out-link (\S+)", pages) + re.findall(r"mkdir -p (result\S*)", pages)
    assert {"result-packed", "result-image"} <= set(left)
    assert [path for path in left if not ignored(path)] == []
