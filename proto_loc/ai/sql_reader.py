"""Runs a model's SQL on one published file, in a separate process."""

from pathlib import Path

from proto_loc.ai import values
from proto_loc.warehouse import query_process


class SqlReader:
    """Context manager of a child process with a locked, read-only connection to one file.

    Args:
        path: the published file.
        timeout: seconds that one statement may take.
        limit: maximum number of rows that it returns.
    """

    def __init__(self, path: Path, timeout: float = 30.0, limit: int = 10_000) -> None:
        self.path, self.timeout, self.limit = Path(path), timeout, limit
        self._reader = query_process.Reader(schema="marts")  # models often leave out the schema
        self.start, self.close = self._reader.start, self._reader.close

    def __enter__(self) -> "SqlReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def raw(self, sql: str, timeout: float | None = None, limit: int | None = None) -> dict:
        """Run a statement; return its table in the form of :mod:`proto_loc.ai.values`.

        Raises:
            LocError: see :meth:`proto_loc.warehouse.query_process.Reader.run`.
        """
        rows = self._reader.run(
            self.path, sql, timeout=timeout or self.timeout, limit=limit or self.limit
        )
        return values.dump(rows.columns, rows.rows, rows.truncated)
