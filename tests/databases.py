"""Starts a database server of a test's own."""

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "nobody"
"""The user of a server, which does not run as root."""
PASSWORD = "of-the-test"


def _as_user() -> list[str]:
    """The words before a command that run it as that user."""
    if os.geteuid():
        return []
    return ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups"]


@contextmanager
def postgresql_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run PostgreSQL on a Unix socket in its own folder, and yield its address.

    Args:
        folder: where the file with the password is, which the address names.
        port: listen on this port of 127.0.0.1 too, which the address names then, without a file.
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
    as_user = _as_user()
    if as_user:
        shutil.chown(home, USER)

    def run(*command: object) -> None:
        done = subprocess.run(
            [*as_user, *map(str, command)], cwd=home, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    password, passfile = home / "password", folder / "pgpass"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    passfile.write_text(f"*:*:*:superset:{PASSWORD}\n")
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
    listens = f"-c listen_addresses=127.0.0.1 -p {port}" if port else "-c listen_addresses="
    start = f"-k {home} {listens} -c fsync=off"
    run(programs / "pg_ctl", "-D", home / "data", "-o", start, "-l", home / "log", "-w", "start")
    try:
        if port:
            yield f"postgresql://superset@127.0.0.1:{port}/postgres"
        else:
            yield f"postgresql://superset@/postgres?host={home}&passfile={passfile}"
    finally:
        run(programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


@contextmanager
def mariadb_server() -> Iterator[str]:
    """Run MariaDB on a Unix socket in its own folder, and yield its address."""
    program, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if not (program and install and shutil.which("my_print_defaults")):
        packages = "mariadb-server-core mariadb-client-core"
        pytest.skip(f"MariaDB is not installed (Debian: apt-get install {packages})")
    home = Path(tempfile.mkdtemp(prefix="loc-my-", dir="/tmp"))
    if as_user := _as_user():
        shutil.chown(home, USER)
    data, socket = f"--datadir={home}/data", home / "socket"
    options = ["--no-defaults", data, "--innodb-flush-log-at-trx-commit=0"]
    made = [*as_user, install, *options[:2], "--auth-root-authentication-method=normal"]
    environment = os.environ | {"TMPDIR": str(home)}
    done = subprocess.run(made, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    command = [*as_user, program, *options, f"--socket={socket}", "--skip-networking"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            end = time.monotonic() + 60
            while not socket.exists():
                assert server.poll() is None and time.monotonic() < end
                time.sleep(0.1)
            yield f"mysql://root@localhost/test?unix_socket={socket}"
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(home)
