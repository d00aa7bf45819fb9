"""Fixes for faults of Superset, and of its SQL parser, in SQL Lab and datasets."""

from collections.abc import Iterable
from functools import cache

from sqlglot import exp
from sqlglot.dialects import duckdb


class DuckDB(duckdb.DuckDB):
    """sqlglot's DuckDB dialect, with ``USING SAMPLE`` before ``ORDER BY``, as DuckDB needs it."""

    class Generator(duckdb.DuckDB.Generator):
        AFTER_HAVING_MODIFIER_TRANSFORMS = {  # noqa: RUF012 - as in its base
            **duckdb.DuckDB.Generator.AFTER_HAVING_MODIFIER_TRANSFORMS,
            "sample": lambda self, expression: self.sql(expression, "sample"),
        }

        def after_limit_modifiers(self, expression: exp.Expression) -> list[str]:
            return super().after_limit_modifiers(expression)[:-1]


def keep_limits() -> None:
    """Make SQL Lab keep a LIMIT in a person's SQL that is lower than the page's.

    Superset 6.1 records it in another database session than the query's (apache/superset#40070),
    and the change is lost if that session reads the query again before it is flushed.
    """
    from superset import sql_lab
    from superset.extensions import db
    from superset.sqllab.limiting_factor import LimitingFactor

    limit = sql_lab.apply_limit

    def apply_limit(query, statement) -> None:
        written = statement.get_limit_value()
        if written is not None and query.limit and written <= query.limit:
            query.limit, query.limiting_factor = written, LimitingFactor.QUERY
        else:
            query.limiting_factor = LimitingFactor.DROPDOWN
        limit(query, statement)
        db.session.flush()

    sql_lab.apply_limit = apply_limit


def keep_last_rows() -> None:
    """Make downloads from SQL Lab keep the last row of a LIMIT in a person's SQL.

    A page shows one row less than the LIMIT that Superset puts, and a download leaves that row out,
    also where the LIMIT is the person's and no row is too many.
    """
    from superset.commands.sql_lab import export, streaming_export_command
    from superset.sql.parse import SQLScript
    from superset.sqllab.limiting_factor import LimitingFactor

    def keeping(validate):
        def validated(self) -> None:
            validate(self)
            query = self._query
            if not query.executed_sql:
                return  # it failed before it ran
            script = SQLScript(query.executed_sql, query.database.db_engine_spec.engine)
            limit = script.statements[-1].get_limit_value()
            if limit is not None and query.limit is not None and limit <= query.limit:
                query.limiting_factor = LimitingFactor.NOT_LIMITED

        return validated

    for command in (
        export.SqlResultExportCommand,
        streaming_export_command.StreamingSqlResultExportCommand,
    ):
        command.validate = keeping(command.validate)


def bind_tasks() -> None:
    """Finalize Celery's task of SQL Lab while there is only one thread.

    Otherwise Celery does so at the first call; of several calls at the same time, some failed with
    ``'NoneType' object has no attribute 'push'``.
    """
    from superset import sql_lab  # noqa: F401 - registers the tasks
    from superset.extensions import celery_app

    celery_app.finalize()


def find_engines_once(first: Iterable[type]) -> None:
    """Make Superset look for its database engines once per process.

    It does so several times per request, and each time reads a folder of eighty modules and the
    metadata of every installed package.

    Args:
        first: descriptions of databases that come before Superset's own.
    """
    from superset import db_engine_specs

    find = db_engine_specs.load_engine_specs
    db_engine_specs.load_engine_specs = cache(lambda: [*first, *find()])


def tell_of_datasets() -> None:
    """Show why a dataset cannot be created from a query, instead of `Fatal error`, status 500."""
    from superset.commands.dataset.create import CreateDatasetCommand
    from superset.commands.dataset.exceptions import DatasetCreateFailedError
    from superset.exceptions import SupersetGenericDBErrorException, SupersetSecurityException

    run = CreateDatasetCommand.run

    def told(self):
        try:
            return run(self)
        except (SupersetGenericDBErrorException, SupersetSecurityException) as error:
            raise DatasetCreateFailedError(str(error)) from error

    CreateDatasetCommand.run = told
