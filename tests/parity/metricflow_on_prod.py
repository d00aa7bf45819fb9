"""Runs MetricFlow on the published ``prod``: the reference, independent of all interfaces."""

from duckdb import DuckDBPyConnection
from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
from metricflow_semantics.model.dbt_manifest_parser import (
    parse_manifest_from_dbt_generated_manifest,
)
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup
from questions import Between, Equals, Filter, Question, key

from proto_loc import warehouse


class Client:
    """A database client for MetricFlow, on a read-only connection."""

    sql_engine_type = SqlEngine.DUCKDB
    sql_plan_renderer = DuckDbSqlPlanRenderer()

    def __init__(self, con: DuckDBPyConnection) -> None:
        self.con = con

    def dry_run(self, stmt: str, sql_bind_parameter_set=None) -> None:
        """Check that DuckDB can run the statement.

        Raises:
            duckdb.Error: DuckDB cannot run it.
        """
        self.con.execute(f"explain {stmt}")


class MetricFlow:
    """Answers questions with the metric definitions of a published version of ``prod``."""

    def __init__(self, version: warehouse.Version) -> None:
        self.manifest = parse_manifest_from_dbt_generated_manifest(
            (version.folder / "dbt/semantic_manifest.json").read_text()
        )
        self.client = Client(version.open())
        self.engine = MetricFlowEngine(SemanticManifestLookup(self.manifest), self.client)
        self.models = {model.name: model for model in self.manifest.semantic_models}

    def close(self) -> None:
        self.client.con.close()

    def answer(self, question: Question) -> dict:
        """Return the figures by value, with DuckDB's types: whole numbers, Decimal or double."""
        by = []
        if question.dimension:
            by = [self._path(question) + (f"__{question.grain}" if question.grain else "")]
        request = MetricFlowQueryRequest.create(
            metric_names=[question.metric],
            group_by_names=by,
            where_constraints=[self._where(question.model, question.condition)]
            if question.condition
            else None,
        )
        rows = self.client.con.execute(self.engine.explain(request).sql_statement.sql).fetchall()
        return {key(row[0]) if by else "": row[-1] for row in rows if row[-1] is not None}

    def _path(self, question: Question) -> str:
        return f"{self.models[question.model].primary_entity}__{question.dimension}"

    def _where(self, model: str, condition: Filter) -> str:
        path = f"{self.models[model].primary_entity}__{condition.dimension}"
        match condition:
            case Equals():
                return f"{{{{ Dimension('{path}') }}}} = '{condition.value}'"
            case Between():
                day = f"{{{{ TimeDimension('{path}', '{condition.grain}') }}}}"
                return f"{day} >= '{condition.first}' and {day} <= '{condition.last}'"
