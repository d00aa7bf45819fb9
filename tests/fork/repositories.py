"""Small repositories with the shape of this one, for tests of what a fork does with git."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

DEMONSTRATION = """\
paths = ["pipelines/*/", "dbt/models/", "dbt/seeds/", "notebooks/*.ipynb"]

[stays]
"superset/roles.yaml" = "{}\\n"
"""
PROJECT = """\
name: proto_loc
profile: proto_loc
models:
  proto_loc:
    +materialized: table
"""
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org")


@dataclass
class Fork:
    """A repository in a folder."""

    root: Path

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    def git(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *IDENTITY, *arguments], cwd=self.root, capture_output=True, text=True
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def commit(self, subject: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)


def make_upstream(root: Path) -> Fork:
    """Make a repository with a platform and a demonstration, in one commit."""
    upstream = Fork(root)
    upstream.git("init", "--quiet", "--initial-branch", "main")
    upstream.write("demonstration.toml", DEMONSTRATION)
    upstream.write("fork.toml", 'name = "proto_loc"\nupstream = ""\ndemonstration = true\n')
    upstream.write("proto_loc/core.py", "VERSION = 1\n")
    upstream.write("README.md", "# proto_loc\n\nThe platform.\n")
    upstream.write("LICENSE", "MIT License\n")
    upstream.write("proto_loc/LICENSE", "MIT License\n\nCopyright (c) 2026 somebody\n\nDo.\n")
    upstream.write(".pc_env", "PC_LOG_FILE=.run/log\n")
    upstream.write(".github/workflows/ci.yml", "name: CI\n")
    upstream.write("dbt/dbt_project.yml", PROJECT)
    upstream.write("superset/roles.yaml", "Somewhere: {places: [Somewhere]}\n")
    upstream.write("pipelines/__init__.py", '"""Sources."""\n')
    upstream.write("pipelines/demo/__init__.py", "SOURCE = 1\n")
    upstream.write("dbt/models/demo.sql", "select 1 as one\n")
    upstream.write("dbt/seeds/demo.csv", "a\n1\n")
    upstream.write("notebooks/demo.ipynb", "{}")
    upstream.commit("the platform with its demonstration")
    return upstream
