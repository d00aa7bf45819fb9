"""Makes an asset of each table of a source; the ledger reports its loads."""

import importlib
from importlib.util import find_spec

import dagster as dg

from proto_loc import warehouse
from proto_loc.sources import Source, find_sources
from proto_loc.warehouse.lake import Load


def make_assets() -> list:
    """The assets of all sources: those of a source's ``assets`` module, or else one per table."""
    assets = []
    for name, source in find_sources().items():
        module = f"pipelines.{name}.assets"
        own = find_spec(module)
        assets += importlib.import_module(module).ASSETS if own else make_specs(source)
    return assets


def make_specs(source: Source) -> list[dg.AssetSpec]:
    """One asset per table; its partitions are those that were loaded."""
    partitioned = {table.name for table in getattr(source, "tables", ()) if table.partition}
    return [
        dg.AssetSpec(
            key=[source.name, table],
            group_name="raw",
            kinds={"parquet", "duckdb"},
            description=f"Rows of {source.name}, table {table}, as loaded.",
            partitions_def=dg.DynamicPartitionsDefinition(name=f"{source.name}.{table}")
            if table in partitioned
            else None,
        )
        for table in source.columns()
    ]


def has_dynamic_partitions(source: str, table: str) -> bool:
    """Whether Dagster learns the partitions of the table from its loads."""
    declared = getattr(find_sources().get(source), "tables", ())
    return any(one.name == table and one.partition for one in declared)


def has_one_partition(source: str, table: str) -> bool:
    """Whether a load replaces the whole table."""
    declared = getattr(find_sources().get(source), "tables", ())
    return any(one.name == table and not one.partition for one in declared)


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
