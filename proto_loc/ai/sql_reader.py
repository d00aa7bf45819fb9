"""Runs a model's SQL on one published version, with limits on time and rows."""

from proto_loc.ai import values
from proto_loc.warehouse.engine import Reader


class SqlReader:
    """Context manager of the reader of one version, as its engine gives it.

    Args:
        reader: that of a version with the default schema ``marts``: models often leave it out.
        timeout: seconds that one statement may take.
        limit: maximum number of rows that it returns.
    """

    def __init__(self, reader: Reader, timeout: float = 30.0, limit: int = 10_000) -> None:
        self._reader, self.timeout, self.limit = reader, timeout, limit
        self.start, self.close = reader.start, reader.close

    def __enter__(self) -> "SqlReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def raw(self, sql: str, timeout: float | None = None, limit: int | None = None) -> dict:
        """Run a statement; return its table in the form of :mod:`proto_loc.ai.values`.

        Raises:
            LocError: see :meth:`proto_loc.warehouse.engine.Reader.run`.
        """
        rows = self._reader.run(sql, timeout=timeout or self.timeout, limit=limit or self.limit)
        return values.dump(rows.columns, rows.rows, rows.truncated)
