"""Rotates Superset's secret key, which encrypts secrets in the metadata."""

import os
from pathlib import Path

from sqlalchemy_utils import EncryptedType
from superset.extensions import db
from superset.models.core import Database
from superset.utils.encrypt import SecretsMigrator

from proto_loc.errors import LocError


class _Migrator(SecretsMigrator):
    """Superset's migrator; that of 6.1 does not find the tables with encrypted columns."""

    def discover_encrypted_fields(self) -> dict[str, dict[str, EncryptedType]]:
        fields = {
            name: {
                column.name: column.type
                for column in table.columns
                if isinstance(column.type, EncryptedType)
            }
            for name, table in Database.metadata.tables.items()
        }
        return {name: columns for name, columns in fields.items() if columns}


def rotate() -> None:
    """Encrypt the secrets with the new key, if the previous one is in ``*.previous`` beside it.

    Raises:
        LocError: a secret was encrypted with neither key.
    """
    key = Path(os.environ["LOC_SECRET_FILE"])
    previous = key.with_name(f"{key.name}.previous")
    try:
        if previous.exists():
            _Migrator(previous_secret_key=previous.read_text().strip()).run()
        db.session.query(Database).all()
    except Exception as error:
        if not isinstance(error, ValueError) and not isinstance(error.__cause__, ValueError):
            raise
        raise LocError(
            "Superset's metadata holds secrets of another key.",
            "They cannot be read with that of"
            f" {key}{' or ' + previous.name if previous.exists() else ''}.",
            f"Put the key that was there before into {previous}, and provision again.",
        ) from error
    if previous.exists():
        previous.unlink()
        print(
            "Superset's secrets are encrypted with the new key; the previous one is removed.",
            flush=True,
        )
