"""Makes assets of the tables of sources, and asset checks of their loads."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from proto_loc import warehouse
from proto_loc.dagster.policies import progress, said_plainly, who, writes
from proto_loc.sources import PartitionedSource, Source, Table, declared_tables, find_sources
from proto_loc.sources.state import table_states
from proto_loc.warehouse.lake import Load

LEDGER = dg.AssetKey(["raw", "loads"])


class Partitions(dg.Config):
    """How partitions are loaded."""

    replace: bool = False
    """Whether a file may replace rows of another file that was loaded."""


def make_assets() -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """One asset per table; Dagster can load its partitions if the source supports that."""
    return [
        _loadable(source, table)
        if table.first and isinstance(source, PartitionedSource)
        else dg.AssetSpec(**_described(source, table))
        for source in find_sources().values()
        for table in source.tables
    ]


def _described(source: Source, table: Table) -> dict:
    stale = table.fresh_within
    return {
        "key": [source.name, table.name],
        "partitions_def": partitions_of(source.name, table),
        "group_name": "raw",
        "kinds": {"parquet", "duckdb"},
        "description": table.description or f"Rows of {source.name}.{table.name}, as loaded.",
        "freshness_policy": dg.FreshnessPolicy.time_window(fail_window=stale) if stale else None,
    }


def partitions_of(source: str, table: Table) -> dg.PartitionsDefinition | None:
    """The partitions of a table: all since its first one, or only those that were loaded.

    None if a load replaces the whole table.
    """
    if not table.partition:
        return None
    if not table.first:
        return dg.DynamicPartitionsDefinition(name=f"{source}.{table.name}")
    if table.partition.startswith("month:"):
        return dg.MonthlyPartitionsDefinition(start_date=table.first, fmt="%Y-%m", end_offset=1)
    return dg.DailyPartitionsDefinition(start_date=table.first, end_offset=1)


def _loadable(source: PartitionedSource, table: Table) -> dg.AssetsDefinition:
    @dg.asset(
        **_described(source, table),
        backfill_policy=dg.BackfillPolicy.single_run(),
        **writes("raw"),
    )
    def load(context: dg.AssetExecutionContext, config: Partitions) -> None:
        with said_plainly(context):
            outcomes = source.load_partitions(
                table.name,
                context.partition_keys,
                replace=config.replace,
                who=who(context),
                report=progress(context, "load"),
            )
        for outcome in outcomes:
            if outcome.leaving:
                context.log.warning(
                    f"{outcome.input}: not loaded, {outcome.skipped}; or with the configuration"
                    " replace"
                )
            note = {"not loaded again": outcome.skipped} if outcome.skipped else {}
            context.add_asset_metadata(
                describe_load(outcome.load) | note, partition_key=outcome.load.partition
            )

    return load


def make_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of every table: ``row_count``, and ``freshness`` if the table declares it."""
    declared = declared_tables()
    if not declared:
        return []
    specs = [
        dg.AssetCheckSpec(name, asset=[source, table.name], additional_deps=[LEDGER])
        for (source, _), table in declared.items()
        for name in ("row_count", *(["freshness"] if table.fresh_within else []))
    ]

    @dg.multi_asset_check(name="sources", specs=specs, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        asked = context.selected_asset_check_keys
        for state in table_states(datetime.now(UTC).replace(tzinfo=None)):
            key = dg.AssetKey([state.source, state.table.name])
            for name, fault in (("row_count", state.small), ("freshness", state.stale)):
                if dg.AssetCheckKey(key, name) in asked:
                    yield dg.AssetCheckResult(
                        passed=not fault,
                        check_name=name,
                        asset_key=key,
                        severity=dg.AssetCheckSeverity.WARN,
                        description=fault or None,
                        metadata={"partitions": len(state.loads), "rows": state.rows},
                    )

    return [check]


def describe_load(load: Load) -> dict[str, dg.MetadataValue | str | int]:
    """The metadata of a load; ``raw version`` is the current version of ``raw``."""
    return {
        "dagster/row_count": load.rows,
        "origin": load.origin,
        "input": load.input,
        "load id": load.load_id,
        "file": dg.MetadataValue.text(load.file),
        "raw version": warehouse.current("raw").id,
    }
