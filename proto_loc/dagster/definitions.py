"""Dagster's definitions: assets of sources and of dbt, jobs, schedules and sensors.

A source needs no line here: :func:`proto_loc.sources.find_sources` finds those of ``pipelines/``.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # its version is pinned

from proto_loc import logs  # noqa: E402
from proto_loc.dagster import backup_asset, discover_asset, jobs, slots, source_assets  # noqa: E402

# A run is a process of its own, which imports this module.
logs.install()
slots.sleep_while_waiting()


defs = dg.Definitions(
    assets=[
        *source_assets.make_assets(),
        *jobs.ASSETS,
        discover_asset.report,
        *backup_asset.ASSETS,
    ],
    asset_checks=jobs.checks,
    jobs=[jobs.refresh, discover_asset.job, *backup_asset.JOBS],
    schedules=[*jobs.schedules, *backup_asset.SCHEDULES],
    sensors=[jobs.landing, discover_asset.after_publish],
    # A process per step would cost five seconds each, and the pools allow only one writer anyway.
    executor=dg.in_process_executor,
)
