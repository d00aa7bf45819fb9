"""What Dagster loads: the assets of every source, the dbt project, the jobs.

A source needs no line here: :func:`proto_loc.sources.find_sources` finds those of ``pipelines/``.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # its version is pinned

from proto_loc.dagster import discover_asset, jobs, source_assets  # noqa: E402

defs = dg.Definitions(
    assets=[*source_assets.make_assets(), *jobs.ASSETS, discover_asset.report],
    asset_checks=jobs.checks,
    jobs=[jobs.refresh, discover_asset.job],
    schedules=[jobs.daily],
    sensors=[jobs.landing, discover_asset.after_publish],
    # A step's own process costs it five seconds, and the pools allow one writer of a database at a
    # time anyway.
    executor=dg.in_process_executor,
)
