"""Runs SQL that a person or a language model wrote on one version, with limits.

Trino limits the memory of a query, and ends one that runs too long; so does this process, which
cancels it. The answer is read in pieces, so that no large one fills this process.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proto_loc.errors import LocError
from proto_loc.trino import client
from proto_loc.warehouse import guard
from proto_loc.warehouse.iceberg import rows, statements
from proto_loc.warehouse.iceberg.connection import explained
from proto_loc.warehouse.query_process import MAX_ANSWER

if TYPE_CHECKING:
    from trino.dbapi import Connection, Cursor

GRACE = 5.0
"""Seconds after which Trino itself ends a statement that was not cancelled in time."""
_MEMORY = ("EXCEEDED_LOCAL_MEMORY_LIMIT", "EXCEEDED_GLOBAL_MEMORY_LIMIT", "CLUSTER_OUT_OF_MEMORY")
_LATE = ("EXCEEDED_TIME_LIMIT", "USER_CANCELED", "ADMINISTRATIVELY_KILLED")


class TrinoReader:
    """Implements :class:`proto_loc.warehouse.engine.Reader` on the catalogue of a version."""

    def __init__(self, identity: str, catalog: str, *, schema: str = "") -> None:
        self._identity, self._catalog, self._schema = identity, catalog, schema
        self._connection: Connection | None = None

    def start(self) -> None:
        """Do nothing: a connection is made by the first statement."""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def run(
        self,
        sql: str,
        params: Sequence | None = None,
        *,
        timeout: float = 30.0,
        limit: int = 10_000,
    ) -> guard.Result:
        """Check a statement, run it and fetch its rows, within ``timeout`` seconds.

        Raises:
            guard.Refused: see :func:`proto_loc.warehouse.iceberg.statements.check`.
            guard.TooLong: it ran longer than ``timeout``.
            WarehouseError: Trino does not answer.
            LocError: Trino rejected it, it ran out of memory, or its result is too large.
        """
        text = statements.read(sql).sql
        cursor = self._cursor(timeout)
        from trino.exceptions import TrinoQueryError  # _cursor() has made it importable

        expired = threading.Event()

        def cut() -> None:
            expired.set()
            with suppress(Exception):
                cursor.cancel()

        timer = threading.Timer(timeout, cut)
        timer.daemon = True
        timer.start()
        try:
            with explained(raw=True):
                cursor.execute(text, list(params) if params else None)
                fetched = cursor.fetchmany(limit + 1)
                columns = cursor.description
            if expired.is_set():
                raise guard.too_long(timeout)
            names, types = (tuple(column[at] for column in columns) for at in (0, 1))
            kept = [rows.plain_row(row) for row in fetched[:limit]]
            return guard.Result(names, types, kept, len(fetched) > limit)
        except TrinoQueryError as error:
            if expired.is_set() or error.error_name in _LATE:
                raise guard.too_long(timeout) from error
            raise _failed(error) from error
        except LocError:
            if expired.is_set():  # the connection's own error of a cancelled statement
                raise guard.too_long(timeout) from None
            raise
        finally:
            timer.cancel()
            with suppress(Exception):  # it cancels what still runs, also if this is interrupted
                cursor.close()

    def _cursor(self, timeout: float) -> "Cursor":
        if self._connection is None:
            self._connection = client.connect(
                self._identity,
                catalog=self._catalog,
                schema=self._schema or None,
                request_timeout=60,
            )
            _limit_answers(self._connection._http_session)
        self._connection._http_session.loc_bytes = 0
        self._connection._client_session.properties = {
            "query_max_run_time": f"{timeout + GRACE:g}s"
        }
        return self._connection.cursor()


def _limit_answers(session: Any) -> None:
    """Let a session of ``requests`` read :data:`MAX_ANSWER` bytes for one statement, no more."""
    from requests.adapters import HTTPAdapter

    class Limited(HTTPAdapter):
        def send(self, request, **options):
            answer = super().send(request, **options | {"stream": True})
            pieces = []
            for piece in answer.iter_content(1 << 16):
                session.loc_bytes += len(piece)
                if session.loc_bytes > MAX_ANSWER:
                    answer.close()
                    raise LocError(
                        "The result is too large.",
                        f"It has over {MAX_ANSWER >> 20} MB.",
                        "Read fewer columns or rows, or aggregate.",
                    )
                pieces.append(piece)
            answer._content, answer._content_consumed = b"".join(pieces), True
            return answer

    session.mount("https://", Limited())


def _failed(error: Any) -> LocError:
    if error.error_name in _MEMORY:
        return LocError(
            "The query ran out of memory.",
            f"{error.error_name}: {error.message}",
            "Read fewer columns or rows, aggregate more, or raise LOC_TRINO_MEMORY.",
        )
    message = str(error.message).rstrip(".")
    return LocError(
        "The query failed.", f"{error.error_name}: {message}.", "Correct it and try again."
    )
