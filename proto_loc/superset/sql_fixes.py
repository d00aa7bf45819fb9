"""How Superset reads and rewrites SQL, where it, or the parser that it uses for that, is wrong."""

from functools import cache

from sqlglot import exp
from sqlglot.dialects import duckdb


class DuckDB(duckdb.DuckDB):
    """sqlglot's DuckDB, with ``USING SAMPLE`` before ``ORDER BY`` and ``LIMIT``, where DuckDB
    wants it.
    """

    class Generator(duckdb.DuckDB.Generator):
        AFTER_HAVING_MODIFIER_TRANSFORMS = {  # noqa: RUF012 - as in its base
            **duckdb.DuckDB.Generator.AFTER_HAVING_MODIFIER_TRANSFORMS,
            "sample": lambda self, expression: self.sql(expression, "sample"),
        }

        def after_limit_modifiers(self, expression: exp.Expression) -> list[str]:
            return super().after_limit_modifiers(expression)[:-1]


def keep_limits() -> None:
    """Let SQL Lab keep a LIMIT that a person has written, where it is lower than the one of the
    page.

    Superset 6.1 notes it in a database session that the query's own never sees
    (apache/superset#40070), and what that one has not flushed is lost when it reads the query
    again.
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


def bind_tasks() -> None:
    """Let Celery finish what it makes of the function that runs SQL Lab's queries, while there is
    one thread.

    It does so at the first call: of several at the same time, some found it half done, and failed
    with ``'NoneType' object has no attribute 'push'``.
    """
    from superset import sql_lab  # noqa: F401 - its tasks
    from superset.extensions import celery_app

    celery_app.finalize()


def find_engines_once() -> None:
    """Let Superset look for its kinds of databases once in a process; it does so several times in
    each request.

    Each time it reads a folder of eighty modules and the metadata of every package that is
    installed.
    """
    from superset import db_engine_specs

    db_engine_specs.load_engine_specs = cache(db_engine_specs.load_engine_specs)


def tell_of_datasets() -> None:
    """Let who makes a dataset of a query read why that may not run, or fails; else it is `Fatal
    error`, status 500.
    """
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
