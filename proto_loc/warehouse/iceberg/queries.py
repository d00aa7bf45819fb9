"""Runs SQL that a person or a language model wrote on one version that Trino keeps."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from proto_loc.errors import LocError
from proto_loc.sql import TIME_ZONE
from proto_loc.trino import client, places
from proto_loc.warehouse import guard
from proto_loc.warehouse.errors import WarehouseError
from proto_loc.warehouse.iceberg import catalogues, row_rules
from proto_loc.warehouse.query_process import GRACE, MAX_ANSWER, Ended

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


def run(
    identity: str,
    version_id: int,
    sql: str,
    parameters: Sequence = (),
    *,
    timeout: float,
    limit: int,
    rules: Mapping[str, Sequence[str]] | None = None,
    started: Callable[[str], None] = lambda query_id: None,
) -> guard.Result:
    """Check a statement, run it on a version and fetch its rows within ``timeout`` seconds.

    Args:
        identity: a reader of :data:`proto_loc.trino.identities.READERS`.
        parameters: values of its question marks.
        limit: maximum number of rows; the result says whether there were more.
        rules: conditions that rows have to meet, by the table's name in lower case.
        started: called with Trino's id of the query, by which :func:`stop` stops it.

    Raises:
        guard.Refused: it is not allowed; nothing was run.
        guard.TooLong: it ran longer than ``timeout``.
        Ended: it took more memory than Trino gives it.
        Stopped: somebody has stopped it.
        WarehouseError: Trino does not answer.
        LocError: Trino rejected it (no such column, a failed cast, ...), or it answers too much.
    """
    catalogue = catalogues.of_version(version_id)
    text = row_rules.put(sql, rules or {})
    end = time.monotonic() + timeout + GRACE
    known: list[str] = []

    def note(stats: dict[str, Any]) -> None:
        if not known and stats.get("queryId"):
            known.append(stats["queryId"])
            started(known[0])
        if time.monotonic() > end:
            raise guard.too_long(timeout)

    connection = client.connect(
        identity,
        catalog=catalogue,
        schema=SCHEMA,
        session_properties={"query_max_run_time": f"{timeout:.3f}s"},
        legacy_prepared_statements=False,  # otherwise a query finds out whether they are needed
        request_timeout=timeout + GRACE,
        timezone=TIME_ZONE,
    )
    connection._http_session.hooks["response"].append(_Bytes())
    cursor = connection.cursor(stats_callback=note)
    try:
        with _explained(timeout):
            cursor.execute(text, list(parameters) or None)
            rows: list[tuple] = []
            while len(rows) <= limit and (page := cursor.fetchmany(PAGE)):
                rows += map(tuple, page)
            columns = cursor.description or []
        return guard.Result(
            tuple(column[0] for column in columns),
            tuple(column[1] for column in columns),
            rows[:limit],
            len(rows) > limit,
        )
    finally:
        _close(cursor, connection)


def stop(identity: str, query_id: str) -> bool:
    """Stop a query of the same identity; return whether Trino knew it.

    Raises:
        WarehouseError: Trino does not answer.
    """
    known = client.arguments(identity)
    session, auth = known["http_session"], known["auth"]
    with _explained(0):
        answer = auth.set_http_session(session).delete(
            f"{places.trino_url()}/v1/query/{query_id}",
            headers={"X-Trino-User": identity},
            timeout=10,
        )
    return answer.ok


class _Bytes:
    """Counts the bytes of the answers to one statement."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, response: Any, *_: object, **__: object) -> None:
        """Count an answer.

        Raises:
            LocError: there are too many.
        """
        self.size += len(response.content)
        if self.size > MAX_ANSWER:
            raise LocError(
                "The result is too large.",
                f"It has over {MAX_ANSWER >> 20} MB.",
                "Read fewer columns or rows, or aggregate.",
            )


@contextmanager
def _explained(timeout: float) -> Iterator[None]:
    """Turn errors of Trino and its client into those for a person."""
    from trino import exceptions

    try:
        yield
    except exceptions.TrinoQueryError as error:
        raise _failed(error, timeout) from error
    except (exceptions.Error, OSError) as error:
        raise WarehouseError(
            "Trino does not answer.",
            f"{(str(error).strip().splitlines() or [type(error).__name__])[0][:200]}.",
            f"See whether it runs with `loc status`; its log is {places.log('trino')}.",
        ) from error


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
    return LocError("The query failed.", f"{message}.", "Correct it and try again.")


def _close(cursor: Any, connection: Any) -> None:
    """Cancel what still runs, and close the connection."""
    with suppress(Exception):  # the server may be gone
        cursor.cancel()
    with suppress(Exception):
        connection.close()
