"""The trips as loaded: an asset a colour, a partition a month."""

import dagster as dg

from pipelines.policies import progress, said_plainly, who, writes
from pipelines.sources.taxi import Colour
from pipelines.sources.taxi import load as taxi
from proto_loc import warehouse
from proto_loc.warehouse.lake import Load


class Months(dg.Config):
    """How months are loaded."""

    replace: bool = False
    """Whether a file may take away rows of another one that was loaded."""


MONTHS = dg.MonthlyPartitionsDefinition(start_date="2009-01", fmt="%Y-%m", end_offset=1)
"""From the first month that TLC published to the current one."""


def described(load: Load) -> dict[str, dg.MetadataValue | str | int]:
    """What is shown of a load; ``raw version`` is the published one that it is in."""
    return {
        "dagster/row_count": load.rows,
        "origin": load.origin,
        "input": load.input,
        "load id": load.load_id,
        "file": dg.MetadataValue.text(load.file),
        "raw version": warehouse.current("raw").id,
    }


def _trips(colour: Colour) -> dg.AssetsDefinition:
    @dg.asset(
        key=["taxi", f"{colour}_trips"],
        partitions_def=MONTHS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="raw",
        kinds={"parquet", "duckdb"},
        description=(
            f"Records of the {colour} taxis' meters, as loaded. A month is loaded from a file in `data/landing/` whose "
            "name says colour and month, else from the **synthetic** sample, which never replaces real records."
        ),
        **writes("raw"),
    )
    def trips(context: dg.AssetExecutionContext, config: Months) -> None:
        with said_plainly():
            outcomes = taxi.load_months(
                colour,
                context.partition_keys,
                replace=config.replace,
                who=who(context),
                report=progress(context, "load"),
            )
        for outcome in outcomes:
            if outcome.leaving:
                context.log.warning(
                    f"{outcome.input}: not loaded, {outcome.skipped}; or with the configuration replace"
                )
            note = {"not loaded again": outcome.skipped} if outcome.skipped else {}
            context.add_asset_metadata(described(outcome.load) | note, partition_key=outcome.load.partition)

    return trips


ASSETS = [_trips(colour) for colour in Colour]
