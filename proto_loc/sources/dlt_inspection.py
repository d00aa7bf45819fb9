"""Looks at databases, REST APIs and dlt sources, and proposes their declaration."""

from collections.abc import Sequence

from proto_loc.errors import LocError
from proto_loc.sources.inspection import Inspection


def inspect_sql(name: str, dsn: str, tables: Sequence[str] = ()) -> Inspection:
    """Look at tables of an SQL database.

    The declaration names the secret ``NAME-dsn``; the caller keeps the DSN there with
    :func:`proto_loc.credentials.keep`.

    Args:
        dsn: SQLAlchemy URL of PostgreSQL, MySQL or SQLite.
        tables: names of its tables; all of the default schema if empty.

    Raises:
        LocError: the database does not answer, or has no such table. No message has the DSN.
    """
    raise LocError("Databases cannot be inspected yet.")


def inspect_api(name: str, url: str) -> Inspection:
    """Look at an endpoint of a REST API.

    If the secret ``NAME-token`` exists, it is sent as a bearer token.

    Raises:
        LocError: the API does not answer, or its answer has no list of records.
    """
    raise LocError("REST APIs cannot be inspected yet.")


def inspect_dlt(name: str, module: str) -> Inspection:
    """Look at a dlt source.

    Args:
        module: ``MODULE:FUNCTION``, or a module with one ``@dlt.source``.

    Raises:
        LocError: there is no such source, or it fails; the message names its file and line.
    """
    raise LocError("dlt sources cannot be inspected yet.")
