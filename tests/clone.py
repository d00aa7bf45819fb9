"""Makes clones of this repository without content, or with the content of a shop."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from samples import copy_superset

from proto_loc.fork import removal
from proto_loc.settings import ROOT
from proto_loc.setup import environments, node

SHOP = Path(__file__).parent / "platform/shop"
"""Files of a shop for a clone: its content, and ``files``, which go into the landing folder."""


@dataclass
class Clone:
    """A clone with its data folder; its methods run ``loc`` in it."""

    folder: Path
    variables: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a person who works in the clone."""
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_", "PYTEST_", "OPENAI_"))
        }
        return outside | {"PYTHONPATH": str(self.folder)} | self.variables

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start ``loc`` with these arguments; its output goes to a file in the run folder."""
        with Path(self.variables["LOC_RUN"], f"{arguments[-1]}.log").open("w") as log:
            return subprocess.Popen(
                [self.folder / "loc", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def run(
        self, *command: str | Path, check: bool = True, stdin: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess:
        """Run a program in the clone.

        Raises:
            AssertionError: the program failed, and ``check`` is set.
        """
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def loc(self, *arguments: str | Path, **options):
        return self.run(self.folder / "loc", *arguments, **options)

    def python(self, *arguments: str | Path, **options):
        return self.run(self.folder / ".venvs/platform/bin/python", "-P", *arguments, **options)

    def published(self, sql: str) -> list[list]:
        """Return rows of the published file."""
        program = (
            "import json, sys; from proto_loc import warehouse\n"
            "with warehouse.read('prod') as con:\n"
            "    print(json.dumps(con.execute(sys.argv[1]).fetchall(), default=str))"
        )
        return json.loads(self.python("-c", program, sql).stdout)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        return self.run("git", *identity, *arguments).stdout

    def commit(self, subject: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)


def make_clone(home: Path, prefix: str) -> Clone:
    """Copy the current repository, commit it, and delete all of its content."""
    clone = copy_repository(home, prefix)
    removal.remove(removal.plan(clone.folder), root=clone.folder)
    removal.finish(root=clone.folder)
    clone.commit("the demonstration's content leaves")
    return clone


def copy_repository(home: Path, prefix: str) -> Clone:
    """Copy the current repository, and commit it as what the platform came with."""
    folder = home / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    lend_tools(folder)
    variables = {
        "LOC_DATA": str(home / "platform/data"),
        "LOC_RUN": str(home / "platform/run"),
        "LOC_PORT_PREFIX": prefix,
    }
    clone = Clone(folder, variables)
    clone.git("init", "--quiet", "--initial-branch", "main")
    ignore_tools(folder)
    clone.commit("platform with its demonstration")
    clone.git("tag", "upstream")
    return clone


def add_shop(clone: Clone) -> None:
    """Copy the shop's content over the clone, and its files into the landing folder."""
    shutil.copytree(
        SHOP,
        clone.folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("files", "__pycache__"),
    )
    shutil.copytree(SHOP / "files", Path(clone.variables["LOC_DATA"]) / "landing/shop")


def lend_superset(clone: Clone, factory: pytest.TempPathFactory) -> None:
    """Give the clone a Superset with migrated metadata, which all suites share."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clone.variables.items():
            patch.setenv(name, value)
        copy_superset(factory)


def ignore_tools(folder: Path) -> None:
    """Keep the lent tools out of a repository's commits; `.gitignore` means folders, not links."""
    lent = (".tools", "proto_loc/cube/server/node_modules")
    (folder / ".git/info/exclude").write_text("\n".join(lent))


def lend_tools(folder: Path) -> None:
    """Link the clone to this repository's environments; they import the clone's ``proto_loc``."""
    environments.sync("platform", "superset", "notebooks")
    node.install()
    (folder / ".tools").symlink_to(ROOT / ".tools")
    modules = "proto_loc/cube/server/node_modules"
    (folder / modules).symlink_to(ROOT / modules)
    for environment in (path for path in (ROOT / ".venvs").iterdir() if path.is_dir()):
        copy = folder / ".venvs" / environment.name
        (site,) = environment.glob("lib/python3.*/site-packages")
        inside = copy / site.relative_to(environment)
        inside.mkdir(parents=True)
        for path in [*environment.iterdir(), *site.iterdir()]:
            target = copy / path.relative_to(environment)
            if path.name == "loc-clone.pth":
                target.write_text(f"import sys; sys.path.append({str(folder)!a})\n")
            elif path.name in ("pyvenv.cfg", ".stamp"):
                target.write_text(path.read_text().replace(str(ROOT), str(folder)))
            elif not target.exists():
                target.symlink_to(path)
