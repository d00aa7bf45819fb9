"""Runs SQL that a person or a language model wrote on one version that Trino keeps, with limits.

Trino limits the memory and the time of a statement. This process counts the bytes of the answer, so
that no large one fills it, and gives up if Trino does not end a statement in time.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proto_loc.errors import LocError
from proto_loc.trino import client, places
from proto_loc.warehouse import guard
from proto_loc.warehouse.iceberg import rows, statements
from proto_loc.warehouse.iceberg.connection import explained
from proto_loc.warehouse.query_process import GRACE, MAX_ANSWER, Ended

if TYPE_CHECKING:
    from trino.dbapi import Connection

SCHEMA = "marts"
"""The schema of names without one."""
PAGE = 1_000
"""Rows that are taken at a time."""
_LATE = {"EXCEEDED_TIME_LIMIT"}
_STOPPED = {"USER_CANCELED", "ADMINISTRATIVELY_KILLED"}
_MEMORY = {
    "CLUSTER_OUT_OF_MEMORY",
    "EXCEEDED_GLOBAL_MEMORY_LIMIT",
    "EXCEEDED_LOCAL_MEMORY_LIMIT",
    "GENERIC_INSUFFICIENT_RESOURCES",
}


class Stopped(LocError):
    """Somebody has stopped the statement."""


class TrinoReader:
    """Implements :class:`proto_loc.warehouse.engine.Reader` on the catalogue of a version.

    Args:
        identity: a reader of :data:`proto_loc.trino.identities.READERS`.
        catalog, schema: those of names without them.
    """

    def __init__(self, identity: str, catalog: str, *, schema: str = "") -> None:
        self._identity, self._catalog, self._schema = identity, catalog, schema
        self._answers = _Answers()
        self._connection: Connection | None = None

    def start(self) -> None:
        """Do nothing: a connection is made by the first statement."""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the server may be gone
                connection.close()

    def run(
        self,
        sql: str,
        params: Sequence | None = None,
        *,
        timeout: float = 30.0,
        limit: int = 10_000,
        started: Callable[[str], None] = lambda query_id: None,
    ) -> guard.Result:
        """Check a statement, run it and fetch its rows, within ``timeout`` seconds.

        Args:
            params: values of its question marks.
            limit: maximum number of rows; the result says whether there were more.
            started: called with Trino's id of the query, by which :func:`stop` stops it.

        Raises:
            guard.Refused: it is not allowed, see :mod:`proto_loc.warehouse.iceberg.statements`.
            guard.TooLong: it ran longer than ``timeout``.
            Ended: it took more memory than Trino gives it.
            Stopped: somebody has stopped it.
            WarehouseError: Trino does not answer.
            LocError: Trino rejected it (no such column, a failed cast), or answers too much.
        """
        text = statements.read(sql).sql
        end = time.monotonic() + timeout + GRACE
        known: list[str] = []

        def note(stats: dict[str, Any]) -> None:
            if not known and stats.get("queryId"):
                known.append(stats["queryId"])
                started(known[0])
            if time.monotonic() > end:
                raise guard.too_long(timeout)

        connection = self._connected(timeout)
        from trino.exceptions import TrinoQueryError  # _connected() has made it importable

        cursor = connection.cursor(stats_callback=note)
        try:
            with explained(raw=True):
                cursor.execute(text, list(params) if params else None)
                fetched: list[tuple] = []
                while len(fetched) <= limit and (page := cursor.fetchmany(PAGE)):
                    fetched += map(rows.plain_row, page)
            names, types = (tuple(column[at] for column in cursor.description) for at in (0, 1))
            return guard.Result(names, types, fetched[:limit], len(fetched) > limit)
        except TrinoQueryError as error:
            raise _failed(error, timeout) from error
        finally:
            with suppress(Exception):  # it cancels what still runs, also if this is interrupted
                cursor.cancel()

    def _connected(self, timeout: float) -> "Connection":
        if self._connection is None:
            self._connection = client.connect(
                self._identity,
                catalog=self._catalog,
                schema=self._schema or None,
                legacy_prepared_statements=False,  # else a query finds out if they are needed
            )
            self._connection._http_session.hooks["response"].append(self._answers)
        self._answers.size = 0
        self._connection.request_timeout = timeout + GRACE
        self._connection._client_session.properties = {"query_max_run_time": f"{timeout:.3f}s"}
        return self._connection


def stop(identity: str, query_id: str) -> bool:
    """Stop a query of the same identity; return whether Trino knew it.

    Raises:
        WarehouseError: Trino does not answer.
    """
    known = client.arguments(identity)
    session, auth = known["http_session"], known["auth"]
    with explained():
        answer = auth.set_http_session(session).delete(
            f"{places.trino_url()}/v1/query/{query_id}",
            headers={"X-Trino-User": identity},
            timeout=10,
        )
    return answer.ok


class _Answers:
    """Reads the answers to one statement piece by piece, and counts their bytes."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, response: Any, *_: object, **__: object) -> None:
        """Read an answer, before ``requests`` reads it whole.

        Raises:
            LocError: there are too many bytes.
        """
        pieces = []
        for piece in response.iter_content(1 << 16):
            self.size += len(piece)
            if self.size > MAX_ANSWER:
                response.close()
                raise LocError(
                    "The result is too large.",
                    f"It has over {MAX_ANSWER >> 20} MB.",
                    "Read fewer columns or rows, or aggregate.",
                )
            pieces.append(piece)
        response._content = b"".join(pieces)


def _failed(error: Any, timeout: float) -> LocError:
    message = str(error.message).strip().rstrip(".")
    if error.error_name in _LATE:
        return guard.too_long(timeout)
    if error.error_name in _STOPPED:
        return Stopped("The query was stopped.", "Somebody has stopped it.", "Run it again.")
    if error.error_name in _MEMORY:
        return Ended(
            "The query was ended.",
            f"It took more memory than Trino gives a query: {message}.",
            "Write it differently: smaller values, fewer rows; or raise LOC_TRINO_MEMORY.",
        )
    if error.error_name == "PERMISSION_DENIED":
        return guard.Refused(
            "This is not allowed here.", f"{message}.", "Read tables; SHOW TABLES lists them."
        )
    why = f"{error.error_name}: {message}."
    return LocError("The query failed.", why, "Correct it and try again.")
