"""Copies databases that are in use: SQLite by its backup API, PostgreSQL by its own programs."""

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from proto_loc.errors import LocError
from proto_loc.settings import settings

WAIT = 60.0
"""Seconds to wait for a process that has a SQLite file locked."""
SQLITE = b"SQLite format 3\0"
ASIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of files that SQLite makes beside a database."""


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one moment, while others write to it; make it one file.

    Raises:
        LocError: it is damaged, or is locked for a minute.
        FileNotFoundError: it is gone.
    """
    end = time.monotonic() + WAIT

    def wait(*_: int) -> None:
        if time.monotonic() > end:
            raise sqlite3.OperationalError(f"it is locked for more than {WAIT:g} s")

    source.stat()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=WAIT)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new, progress=wait)
            new.execute("pragma journal_mode = delete")
            (verdict,) = new.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        source.stat()
        raise _unreadable(source, str(error)) from error
    if verdict != "ok":
        raise _unreadable(source, verdict.splitlines()[-1])


def _unreadable(path: Path, reason: str) -> LocError:
    return LocError(
        f"{path} cannot be backed up.",
        f"SQLite says: {reason.removesuffix('.')}.",
        "If the disk is full, free some space; else see `./loc logs` of the service that has it.",
    )


def dump_postgresql(target: Path) -> None:
    """Write Superset's metadata in PostgreSQL to a file, as they are at one moment.

    Raises:
        LocError: the program is missing or fails.
    """
    _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def restore_postgresql(dump: Path) -> None:
    """Replace Superset's metadata in PostgreSQL by a dump, in one transaction.

    Raises:
        LocError: the program is missing or fails; the metadata are as they were.
    """
    _run(
        "pg_restore",
        *("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction"),
        "--exit-on-error",
        str(dump),
    )


def postgresql_is_empty() -> bool:
    """Whether the database of Superset's metadata has no table.

    Raises:
        LocError: the program is missing, or the database does not answer.
    """
    dump = _run("pg_dump", "--schema-only")
    return "CREATE TABLE" not in dump


def _run(program: str, *options: str) -> str:
    if not shutil.which(program):
        raise LocError(
            f"{program} is not installed.",
            "Superset's metadata are in PostgreSQL (LOC_SUPERSET_METADATA), and its own programs"
            " copy them.",
            "Install PostgreSQL's client of the server's release (Debian: apt-get install"
            " postgresql-client).",
        )
    address, password = _address(settings().superset_metadata)
    environment = os.environ | ({"PGPASSWORD": password} if password else {})
    done = subprocess.run(
        [program, "--no-password", f"--dbname={address}", *options],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise LocError(
            f"{program} failed on Superset's metadata.",
            done.stderr.strip() or f"Its exit code is {done.returncode}.",
            "Mend what it names; LOC_SUPERSET_METADATA is the address.",
        )
    return done.stdout


def _address(text: str) -> tuple[str, str]:
    """Split SQLAlchemy's address into one of libpq without the password, and the password.

    The password does not belong into a command line, which every user of the machine can read.
    """
    parts = urlsplit(text.replace("postgresql+psycopg2://", "postgresql://", 1))
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    place = f"{name}@{host}" if name else host
    return urlunsplit(parts._replace(netloc=place)), unquote(password)
