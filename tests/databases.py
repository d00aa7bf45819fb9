"""Starts a PostgreSQL of a test's own."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "nobody"
"""The user of PostgreSQL's server, which does not run as root."""


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """Run PostgreSQL on a Unix socket in its own folder, and yield its address.

    Args:
        folder: where the file with the password is, which the address names.
    """
    programs = max(
        Path("/usr/lib/postgresql").glob("*/bin"),
        default=None,
        key=lambda path: int(path.parent.name),
    )
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    home = Path(
        tempfile.mkdtemp(prefix="loc-pg-", dir="/tmp")
    )  # a socket's path may have 107 bytes
    as_user = (
        ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups"]
        if os.geteuid() == 0
        else []
    )
    if as_user:
        shutil.chown(home, USER)

    def run(*command: object) -> None:
        done = subprocess.run(
            [*as_user, *map(str, command)], cwd=home, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    password, passfile = home / "password", folder / "pgpass"
    password.write_text("of-the-test")
    password.chmod(0o644)
    passfile.write_text("*:*:*:superset:of-the-test\n")
    passfile.chmod(stat.S_IRUSR | stat.S_IWUSR)
    run(
        programs / "initdb",
        "-D",
        home / "data",
        "-U",
        "superset",
        "-A",
        "scram-sha-256",
        f"--pwfile={password}",
    )
    start = f"-k {home} -c listen_addresses= -c fsync=off"
    run(programs / "pg_ctl", "-D", home / "data", "-o", start, "-l", home / "log", "-w", "start")
    try:
        yield f"postgresql://superset@/postgres?host={home}&passfile={passfile}"
    finally:
        run(programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)
