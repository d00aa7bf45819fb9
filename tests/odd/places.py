"""A clone in an odd place: its path, user, umask, home directory, locale, time zone and proxy."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from clone import Clone

ODD_PATH = "daten für ärzte"
USER = 1234
"""A user who is not in /etc/passwd, as in many containers."""
DEAD_PROXY = "http://127.0.0.1:9"
PROXIES = {
    name: DEAD_PROXY
    for proxy in ("http_proxy", "https_proxy", "all_proxy")
    for name in (proxy, proxy.upper())
}


@dataclass(frozen=True)
class Place:
    """What is odd about a place; by default, nothing."""

    path: str = "plain"
    """The folder in which the clone is."""
    root: bool = False
    umask: int = 0o022
    home: str = "writable"
    """``writable``, ``read-only``, ``missing`` (a folder that cannot be made) or ``unset``."""
    variables: dict[str, str] = field(default_factory=dict)


ODDITIES = {
    "path": Place(ODD_PATH),
    "root": Place(root=True),
    "umask": Place(umask=0o077),
    "read-only home": Place(home="read-only"),
    "missing home": Place(home="missing"),
    "no HOME": Place(home="unset"),
    "proxy": Place(variables=PROXIES),
    "LANG=C": Place(variables={"LANG": "C"}),
    "LC_ALL=C": Place(variables={"LC_ALL": "C"}),
    "half an hour west": Place(variables={"TZ": "America/St_Johns"}),
    "fourteen hours east": Place(variables={"TZ": "Pacific/Kiritimati"}),
    "daylight saving": Place(variables={"TZ": "Europe/Berlin"}),
    "a rule as TZ": Place(variables={"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}),
}
COMBINED = Place(
    ODD_PATH,
    umask=0o077,
    home="read-only",
    variables={"LANG": "C", "LC_ALL": "POSIX", "TZ": "Asia/Kathmandu"} | PROXIES,
)
"""Everything at once, for a normal user."""


class Person:
    """Someone who works in a clone in an odd place; each command runs as this user.

    All commands are in one user namespace, where the clone's files belong to this user.
    """

    def __init__(self, folder: Path, place: Place, prefix: str) -> None:
        self.folder, self.place, self.holder = folder, place, 0
        programs = [path for path in os.environ["PATH"].split(os.pathsep) if ".venvs" not in path]
        kept = {name: os.environ[name] for name in ("TMPDIR", "UV_CACHE_DIR") if name in os.environ}
        self.home = folder.parent / "home"
        self.environment = kept | {
            "PATH": os.pathsep.join(programs),
            "HOME": str(self.home / "missing" if place.home == "missing" else self.home),
            "LANG": "C.UTF-8",
            "LOC_PORT_PREFIX": prefix,
            "LOC_COMPOSE": "runner",
            **place.variables,
        }
        if place.home == "unset":
            del self.environment["HOME"]

    def run(
        self, *command: str | Path, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess:
        """Run a program in the clone.

        Raises:
            AssertionError: the program failed, and ``check`` is set.
        """
        namespaces = ["--user", "--mount", "--preserve-credentials"]
        enter = ["nsenter", f"--target={self.holder}", *namespaces, f"--wd={self.folder}"]
        done = subprocess.run(
            [*enter, *command],
            env=self.environment | variables,
            umask=self.place.umask,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def loc(self, *arguments: str | Path, **options) -> subprocess.CompletedProcess:
        return self.run(self.folder / "loc", *arguments, **options)


@contextmanager
def enter(clone: Clone, place: Place) -> Iterator[Person]:
    """Let a person into a place, with the modes of files that a clone with this umask has."""
    if not (program := shutil.which("bwrap")):
        pytest.skip("bubblewrap is not installed (apt-get install bubblewrap)")
    own_scripts(clone.folder)
    for path in clone.folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~place.umask)
    person = Person(clone.folder, place, clone.variables["LOC_PORT_PREFIX"])
    home, ready = person.home, clone.folder.parent / "ready"
    home.mkdir()
    user = "0" if place.root else str(USER)
    box = [program, "--die-with-parent", "--unshare-user", "--uid", user, "--gid", user]
    box += ["--dev-bind", "/", "/"]
    if place.home != "writable":
        box += ["--ro-bind", home, home]
    wait = ("sh", "-c", 'echo $$ >"$1"; read line', "sh", ready)
    with subprocess.Popen([*box, *wait], stdin=subprocess.PIPE) as holder:
        end = time.monotonic() + 30
        while not (ready.exists() and ready.read_text().strip()):
            assert holder.poll() is None and time.monotonic() < end, "bubblewrap does not start"
            time.sleep(0.05)
        person.holder = int(ready.read_text())
        try:
            yield person
        finally:
            if (clone.folder / ".run").exists():
                person.loc("down", check=False)
            holder.stdin.close()


def own_scripts(folder: Path) -> None:
    """Give the clone the programs of its environments as uv writes them for its path.

    Packages are links to those of this repository, as `lend_tools` makes them.
    """
    for environment in (path for path in (folder / ".venvs").iterdir() if path.is_dir()):
        lent = (environment / "bin").resolve()
        (environment / "bin").unlink()
        (environment / "bin").mkdir()
        for path in lent.iterdir():
            target, mine = environment / "bin" / path.name, f"#!{lent}/python"
            if path.is_symlink():
                target.symlink_to(path.readlink())
            elif path.is_file() and (text := path.read_bytes()).startswith(mine.encode()):
                target.write_bytes(text.replace(mine.encode(), start(environment).encode(), 1))
                target.chmod(path.stat().st_mode)
            elif path.is_file():
                target.symlink_to(path)


def start(environment: Path) -> str:
    """The first lines of a Python program of an environment; ``#!`` takes no path with a space."""
    python = f"{environment}/bin/python"
    if " " not in python and len(os.fsencode(python)) < 126:
        return f"#!{python}"
    return f"""#!/bin/sh\n'''exec' '{python}' "$0" "$@"\n' '''"""
