"""Migrates Superset's metadata, and stores provisioning's notes in it."""

import json
import logging
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import superset
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import upgrade as migrate
from sqlalchemy import Column, MetaData, String, Table, Text
from superset.extensions import db

MIGRATIONS = Path(superset.__file__).parent / "migrations"
_NOTES = Table(
    "loc_notes",
    MetaData(),
    Column("key", String(100), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Table of provisioning's notes, in the database that provisioning changes."""


def head() -> str:
    """The schema revision that this release of Superset needs."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def upgrade() -> None:
    """Migrate the metadata to this release of Superset, if needed."""
    with db.engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision != head():
        print("Superset's metadata is migrated.", flush=True)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        with redirect_stdout(StringIO()):  # migrations print about missing examples
            migrate(str(MIGRATIONS))
    _NOTES.create(db.engine, checkfirst=True)


def notes(prefix: str = "") -> dict[str, object]:
    """All notes whose key has this prefix."""
    rows = db.session.execute(
        _NOTES.select().where(_NOTES.c.key.startswith(prefix, autoescape=True))
    )
    return {key: json.loads(value) for key, value in rows}


def note(key: str, value: object) -> None:
    """Store a JSON value in the session's transaction; None removes the note."""
    db.session.execute(_NOTES.delete().where(_NOTES.c.key == key))
    if value is not None:
        db.session.execute(_NOTES.insert().values(key=key, value=json.dumps(value)))
