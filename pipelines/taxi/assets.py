"""The trips as loaded: an asset a colour, a partition a month."""

import dagster as dg

from pipelines.taxi import load as taxi
from pipelines.taxi.schema import Colour
from proto_loc.dagster.policies import progress, said_plainly, who, writes
from proto_loc.dagster.source_assets import describe_load


class Months(dg.Config):
    """How months are loaded."""

    replace: bool = False
    """Whether a file may take away rows of another one that was loaded."""


MONTHS = dg.MonthlyPartitionsDefinition(start_date="2009-01", fmt="%Y-%m", end_offset=1)
"""From the first month that TLC published to the current one."""


def _trips(colour: Colour) -> dg.AssetsDefinition:
    @dg.asset(
        key=["taxi", f"{colour}_trips"],
        partitions_def=MONTHS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="raw",
        kinds={"parquet", "duckdb"},
        description=(
            f"Records of the {colour} taxis' meters, as loaded. A month is loaded from a file in"
            " `data/landing/` whose name says colour and month, else from the **synthetic**"
            " sample, which never replaces real records."
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
                    f"{outcome.input}: not loaded, {outcome.skipped}; or with the configuration"
                    " replace"
                )
            note = {"not loaded again": outcome.skipped} if outcome.skipped else {}
            context.add_asset_metadata(
                describe_load(outcome.load) | note, partition_key=outcome.load.partition
            )

    return trips


ASSETS = [_trips(colour) for colour in Colour]
