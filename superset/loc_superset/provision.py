"""Bring Superset's metadata to the declared state: schema, roles, the admin's account, the database, the bundle.

One process, run before the web server starts; it may run beside it too. What is as declared already costs no work.
"""

import fcntl
import logging
import os
import sqlite3
import sys
import time

from proto_loc.errors import LocError
from proto_loc.settings import ROOT, private_folder, settings

BUNDLE = ROOT / "superset/bundle"
LOCK = "provision.lock"


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    os.umask(0o077)
    home = private_folder(settings().data / "superset")
    with (home / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second one waits: it will find the work done
        _provision(overwrite="--overwrite" in arguments)
    print(f"Superset is provisioned, in {time.monotonic() - began:.1f} s.", flush=True)
    return 0


def _provision(*, overwrite: bool) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _quick_sqlite()
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        from superset.extensions import db

        from loc_superset import accounts, keys, managed, schema

        schema.upgrade()
        keys.rotate()
        accounts.roles()
        accounts.admin()
        datasets = managed.bring(BUNDLE, overwrite=overwrite)
        accounts.grants(ROOT / "superset/row_level_security.yaml", datasets)
        db.session.commit()


def _quick_sqlite() -> None:
    """Write-ahead logging, which stays with the file: the web server reads while this writes, and few waits for it."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _(connection, _record) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LocError as error:
        print(error.said(), file=sys.stderr)
        sys.exit(error.exit_code)
