"""Tests of the step of ci.yml that fetches the archive of the last release.

A program in place of GitHub's ``gh`` answers as the releases of the test say.
"""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from proto_loc.settings import ROOT

JOBS = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
(STEP,) = (step["run"] for step in JOBS["restore"]["steps"] if "GH_TOKEN" in step.get("env", {}))
GH = """#!/bin/sh
case "$1 $2" in
  "release list") [ -z "$BROKEN" ] || exit 1; printf "%s" "$TAG" ;;
  "release view") [ "$3" = "$TAG" ] && printf "%s\\n" $ASSETS ;;
  "release download") echo archive >"$7/release-0.2.0.tar.zst" ;;
esac
"""


@pytest.fixture
def fetch(tmp_path: Path):
    """Run the step; return how it ended, and the files that it fetched."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(GH)
    (tmp_path / "bin/gh").chmod(0o755)

    def run(tag: str, assets: str = "", broken: str = ""):
        variables = {
            "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path),
            "TAG": tag, "ASSETS": assets, "BROKEN": broken,
        }  # fmt: skip
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEP]
        done = subprocess.run(bash, env=os.environ | variables, capture_output=True, text=True)
        return done, [path.name for path in (tmp_path / "archives").iterdir()]

    return run


def test_the_archive_of_the_last_release_is_fetched(fetch):
    done, files = fetch("v0.2.0", "notes.txt release-0.2.0.tar.zst")
    assert done.returncode == 0 and files == ["release-0.2.0.tar.zst"], done.stderr


@pytest.mark.parametrize(
    ("tag", "assets", "reason"),
    [("", "", "There is no release yet"), ("v0.1.0", "x.zip", "v0.1.0 is from before releases")],
)
def test_without_an_archive_the_reason_is_shown(fetch, tag, assets, reason):
    done, files = fetch(tag, assets)
    assert done.returncode == 0 and files == [] and f"::notice::{reason}" in done.stdout


def test_a_server_that_does_not_answer_fails_the_job(fetch):
    """Else nothing would be restored, and nobody would see it."""
    done, _ = fetch("v0.2.0", broken="yes")
    assert done.returncode != 0
