"""The job ``refresh``, its schedule and sensor, and the asset of the loads (the ledger)."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import dagster as dg
from pydantic import Field

from proto_loc import fork_file, sources, warehouse
from proto_loc.dagster.dbt_assets import models
from proto_loc.dagster.policies import progress, said_plainly, who, writes
from proto_loc.dagster.source_assets import LEDGER, describe_load, make_checks, partitions_of
from proto_loc.dbt.fingerprints import project_hash
from proto_loc.errors import plain
from proto_loc.refresh.job import load
from proto_loc.refresh.request import Request
from proto_loc.settings import settings
from proto_loc.warehouse import lake


class Load(dg.Config):
    """What to load: see :class:`proto_loc.refresh.request.Request`."""

    files: list[str] = Field(default_factory=list)
    rows: int | None = None
    seed: int | None = None
    source: str = ""
    replace: bool = False


@dg.asset(
    key=LEDGER,
    group_name="raw",
    kinds={"duckdb"},
    description=fork_file.first_step()
    or (
        "The ledger of the raw catalogue. To materialise it is to load what is new: the files in"
        " `data/landing/` that were never loaded, and the samples of sources if there is nothing at"
        " all."
    ),
    **writes("raw"),
)
def ledger(context: dg.AssetExecutionContext, config: Load) -> dg.MaterializeResult:
    request = Request(
        tuple(config.files), config.rows, config.seed, config.replace, source=config.source
    )
    start = time.perf_counter()
    with said_plainly(context):
        outcomes = load(
            request.loading(who(context)), who=who(context), report=progress(context, "load")
        )
    seconds = time.perf_counter() - start
    for outcome in outcomes:
        if outcome.skipped:
            context.log.warning(plain(f"{outcome.input}: not loaded, {outcome.skipped}"))
    active = lake.loads()
    _catch_up(context, active)
    raw = warehouse.current("raw")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(lake.loads(active=False)),
            "raw version": raw.id,
            "loads that count": len(active),
            "loaded now": sum(1 for outcome in outcomes if outcome.load and not outcome.skipped),
            "seconds": seconds,
            "outcomes": dg.MetadataValue.json([recorded(outcome) for outcome in outcomes]),
        }
    )


def recorded(outcome: sources.Outcome) -> dict:
    """The outcome as JSON, with the ids of its loads."""
    fields = asdict(outcome)
    for name in ("load", "replaced"):
        fields[name] = getattr(outcome, name).load_id if getattr(outcome, name) else None
    return fields


def _catch_up(context: dg.AssetExecutionContext, active: list[lake.Load]) -> None:
    """Report the active loads that Dagster does not know: new loads, and loads of `loc`."""
    for (source, table), declared in sources.declared_tables().items():
        key, partitions = dg.AssetKey([source, table]), partitions_of(source, declared)
        known: dict[str, int] = {}
        records = context.instance.fetch_materializations(key, limit=5_000).records  # newest first
        for record in records:
            about = record.asset_materialization.metadata.get("load id")
            known.setdefault(record.partition_key, about.value if about else -1)
        for counted in active:
            same = (counted.source, counted.table_name) == (source, table)
            partition = counted.partition if partitions else None
            if same and known.get(partition) != counted.load_id:
                if isinstance(partitions, dg.DynamicPartitionsDefinition):
                    context.instance.add_dynamic_partitions(f"{source}.{table}", [partition])
                context.log_event(
                    dg.AssetMaterialization(
                        key, partition=partition, metadata=describe_load(counted)
                    )
                )


checks = make_checks()

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.assets(ledger)
    | dg.AssetSelection.assets(models)
    | dg.AssetSelection.checks(*checks),
    config={"ops": {"dbt": {"config": {"force": False}}}},
    tags={
        "project": project_hash()[:12]
    },  # so that a client can see whether the models have changed since
    description=(
        "Load what is new, build, audit and publish. Where nothing has changed, nothing is"
        " published."
    ),
)

schedules = [
    dg.ScheduleDefinition(
        name=f"{schedule.name}_schedule",
        job=refresh,
        cron_schedule=schedule.cron,
        execution_timezone=schedule.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING
        if schedule.on
        else dg.DefaultScheduleStatus.STOPPED,
        description=f"Refresh. Declared in fork.toml, line {schedule.line}.",
    )
    for schedule in fork_file.read().schedules
]


def _landed(folder: Path) -> Iterator[Path]:
    """What is in a landing folder, and in folders such as ``year=2025`` in it."""
    for path in folder.glob("[!.]*"):
        if "=" in path.name and path.is_dir():
            yield from _landed(path)
        else:
            yield path


@dg.sensor(
    job=refresh,
    name="landing",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Refresh when a file in data/landing/ is new, by content, and has been still for ten"
        " seconds."
    ),
)
def landing(context: dg.SensorEvaluationContext):
    folder = settings().landing
    folders = [folder, *(folder / name for name in sources.find_sources())]
    stats: dict[str, os.stat_result] = {}
    for path in sorted({path for place in folders for path in _landed(place)}):
        with suppress(FileNotFoundError):  # the file is gone, or it is a broken link
            if path not in folders:
                stats[str(path.relative_to(folder))] = path.stat()
    if any(abs(time.time() - stat.st_mtime) < 10 for stat in stats.values()):
        return dg.SkipReason("A file is still being written.")
    cursor = json.dumps({name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()})
    if cursor == (context.cursor or "{}"):
        return dg.SkipReason("The folder is as it was.")
    context.update_cursor(cursor)
    new = [
        path for source in sources.find_sources().values() for path in source.pending()
    ]  # reads whole files, so only after a change
    if not new:
        return dg.SkipReason("Every file has been loaded before.")
    return dg.RunRequest(tags={"who": "landing sensor"})


ASSETS = [ledger, models]
