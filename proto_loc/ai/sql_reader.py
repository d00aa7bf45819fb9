"""Runs SQL that a model wrote on one published file, in a process of its own
(:mod:`proto_loc.warehouse.query_process`).
"""

from pathlib import Path

from proto_loc.ai import values
from proto_loc.warehouse import query_process


class SqlReader:
    """A locked, read-only connection to one published file, held by a child process; use it as a
    context.

    Args:
        path: the file.
        timeout: seconds that one statement may take.
        limit: rows that it gives at most.
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
        """The table of a statement as :mod:`proto_loc.ai.values` has it.

        Raises:
            LocError: as by :meth:`proto_loc.warehouse.query_process.Reader.run`.
        """
        rows = self._reader.run(
            self.path, sql, timeout=timeout or self.timeout, limit=limit or self.limit
        )
        return values.dump(rows.columns, rows.rows, rows.truncated)
