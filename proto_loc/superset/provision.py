"""Provisions Superset's metadata: schema, roles, admin account, bundle and history.

It runs before the web server starts, and may also run while the server is up. It skips the steps
that are already done.
"""

import argparse
import os
import sqlite3
import sys
import time
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError, disk_is_full, exit_on_error
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.superset import role_rules

LOCK = "provision.lock"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "superset", help="of the bundle and the rules"
    )
    parser.add_argument("--wait", action="store_true", help="begin again once a full disk has room")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    os.umask(0o077)
    home = private_folder(settings().data / "superset")
    with files.locked(home / LOCK):  # a second process waits, and then has nothing to do
        try:
            _provision(options.folder, overwrite=options.overwrite)
        except Exception as error:
            # SQLite's errors on a full disk are vague; a database server looks after its own disk.
            here = settings().superset_sqlite is not None
            if not disk_is_full(error) and not (here and files.room(home) < files.FULL):
                raise
            if not options.wait:
                raise _no_space(home) from error
            print(f"{_no_space(home).what} It begins again once there is some.", flush=True)
            files.wait_for_room(home) if here else time.sleep(10)
            # A new process, since Superset's modules may be half initialised.
            os.execv(sys.executable, [sys.executable, "-m", __spec__.name, *arguments])
    print(f"Superset is provisioned, in {time.monotonic() - began:.1f} s.", flush=True)
    return 0


def _provision(folder: Path, *, overwrite: bool) -> None:
    rules = role_rules.read_rules(folder)  # a fault in them stops everything else
    _quick_sqlite()
    _reach(settings().superset_metadata)
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        from superset.extensions import db

        from proto_loc.superset import accounts, history, import_bundle, keys, schema

        schema.upgrade()
        keys.rotate()
        accounts.roles()
        accounts.admin()
        datasets = import_bundle.bring(folder / "bundle", overwrite=overwrite)
        accounts.grants(rules, datasets)
        db.session.commit()
        history.prune()


def _no_space(home: Path) -> LocError:
    is_here = settings().superset_sqlite is not None
    return LocError(
        "Superset cannot be provisioned: no space left on the disk of"
        f" {home if is_here else 'the database with its metadata'}.",
        "What was not written yet is written the next time.",
        "Free some space (`loc db prune --now` removes old versions of the data), then"
        " `loc restart superset-provision superset`.",
    )


def _reach(address: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        create_engine(address).connect().close()
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise LocError(
            "Superset's metadata cannot be reached.",
            f"{str(getattr(error, 'orig', error)).strip()}.",
            "Start that database, or correct LOC_SUPERSET_METADATA.",
        ) from error


def _quick_sqlite() -> None:
    """Turn on SQLite's write-ahead log, so that the web server can read during writes."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _(connection, _record) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")


if __name__ == "__main__":
    with exit_on_error():
        sys.exit(main(sys.argv[1:]))
