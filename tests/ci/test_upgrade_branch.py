"""Tests of the step of upgrade.yml that pushes its branch and opens a pull request.

The step runs in a temporary repository, with a program in place of GitHub's ``gh`` that records its
arguments.
"""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from proto_loc.settings import ROOT

(JOB,) = yaml.safe_load((ROOT / ".github/workflows/upgrade.yml").read_text())["jobs"].values()
STEP = JOB["steps"][-1]["run"]
GH = '#!/bin/sh\necho "$*" >>"$LOG"\ncase "$*" in "pr list"*) printf "%s" "$NUMBER" ;; esac\n'


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.log = folder, folder / "work", folder / "log"
        (folder / "bin").mkdir()
        (folder / "bin/gh").write_text(GH)
        (folder / "bin/gh").chmod(0o755)
        subprocess.run(["git", "init", "--quiet", "--bare", folder / "origin"], check=True)
        self.clone("work")
        for name in ("golden.toml", "locks/uv.txt", "flake.lock", "docs/versions.md"):
            (self.work / name).parent.mkdir(exist_ok=True)
            (self.work / name).write_text("old\n")
        self.git("work", "add", ".")
        self.git("work", "commit", "--quiet", "--message", "start")
        self.git("work", "push", "--quiet", "origin", "HEAD:main")

    def clone(self, name: str) -> None:
        subprocess.run(
            ["git", "clone", "--quiet", self.folder / "origin", self.folder / name], check=True
        )

    def git(self, name: str, *arguments: str) -> str:
        identity = ["-c", "user.name=a person", "-c", "user.email=person@localhost"]
        return subprocess.check_output(
            ["git", *identity, *arguments], cwd=self.folder / name, text=True
        ).strip()

    def propose(self, version: str, number: str = "") -> subprocess.CompletedProcess:
        """Run the step of a weekly run that found a newer version."""
        self.git("work", "switch", "--quiet", "--detach", "origin/main")
        for name in ("golden.toml", "flake.lock", "docs/versions.md"):
            (self.work / name).write_text(f"{version}\n")
        (self.folder / "said").write_text("uv 1 -> 2\n")
        env = os.environ | {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "LOG": str(self.log),
            "NUMBER": number,
            "BASE": "main",
            "RUNNER_TEMP": str(self.folder),
        }
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEP]
        done = subprocess.run(bash, cwd=self.work, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    def proposed(self, name: str = "golden.toml") -> str:
        return self.git("origin", "show", f"upgrade/golden:{name}")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_branch_is_made_and_renewed_with_the_page_of_versions(repository):
    repository.propose("new")
    repository.propose("newer")
    names = ("golden.toml", "flake.lock", "docs/versions.md")
    assert [repository.proposed(name) for name in names] == ["newer"] * 3
    assert repository.git("origin", "rev-list", "--count", "main..upgrade/golden") == "1"


def test_commits_of_a_person_on_the_branch_stay(repository):
    """Bug: the step created the branch again with force, and lost a person's commits on it."""
    repository.propose("new")
    repository.clone("person")
    repository.git("person", "switch", "--quiet", "upgrade/golden")
    (repository.folder / "person/golden.toml").write_text("mended\n")
    repository.git("person", "commit", "--quiet", "--all", "--amend", "--no-edit")
    repository.git("person", "push", "--quiet", "--force")
    assert repository.propose("newer").stdout.startswith("::notice::")
    assert repository.proposed() == "mended"


def test_nothing_is_pushed_over_what_came_in_between():
    assert "--force-with-lease=" in STEP and "--force " not in STEP.replace("--force-create ", "")


def test_our_pull_request_is_renewed_by_its_number(repository):
    repository.propose("new", "7")
    asked = repository.log.read_text()
    assert "pr edit 7 " in asked and "pr create" not in asked


def test_a_pull_request_of_a_fork_is_not_ours(repository):
    """`gh pr list --head` compares only the branch's name, and a fork may have the same branch
    name.
    """
    repository.propose("new")
    asked = repository.log.read_text()
    assert (
        "--json number,isCrossRepository --jq map(select(.isCrossRepository == false))[0].number //"
        " empty" in asked
    )
    assert "pr create --base main --head upgrade/golden" in asked
