"""The backups of ``[backup]`` in ``fork.toml`` as an asset, with a job and a schedule of their own.

They run as Dagster's runs, since Dagster remembers each tick over a restart, lists a failed one
with its reason beside all other runs, and lets a person start one. The work is done by ``loc
backup`` in its own process: so a backup needs no memory of the code server, and is the same as one
that a person makes.
"""

import json
import subprocess
import sys

import dagster as dg

from proto_loc import fork_file
from proto_loc.dagster.policies import said_plainly, who
from proto_loc.errors import LocError
from proto_loc.settings import ROOT


@dg.asset(
    key=["platform", "backup"],
    group_name="platform",
    pool="backup",
    description="An archive of what git does not have: `loc backup`, as fork.toml declares it.",
)
def archive(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    with said_plainly(context):
        record = _backup(who(context))
    for sentence in record["missing"]:
        context.log.warning(sentence)
    return dg.MaterializeResult(
        metadata={
            "file": dg.MetadataValue.path(record["file"]),
            "bytes": record["bytes"],
            "files": record["files"],
            "bytes restored": record["content"],
            "incremental": record["incremental"],
            "id": record["id"],
            "removed": dg.MetadataValue.json(record["removed"]),
            "not in it": dg.MetadataValue.json(record["missing"]),
            "seconds": record["seconds"],
        }
    )


def _backup(name: str) -> dict:
    command = [sys.executable, "-P", "-m", "proto_loc.cli", "backup", "--json", "--who", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        parts = dict(line.partition(": ")[::2] for line in done.stderr.splitlines() if ": " in line)
        raise LocError(
            parts.get("error", "loc backup failed."), parts.get("why", ""), parts.get("fix", "")
        )
    return json.loads(done.stdout)


DECLARED = fork_file.read().backup
ASSETS = [archive] if DECLARED else []
JOBS = (
    [
        dg.define_asset_job(
            "backup",
            selection=dg.AssetSelection.assets(archive),
            description="Back up what git does not have, as fork.toml declares it.",
        )
    ]
    if DECLARED
    else []
)
SCHEDULES = (
    [
        dg.ScheduleDefinition(
            name="backups",  # no schedule of [schedules] can have this name
            job=JOBS[0],
            cron_schedule=DECLARED.clock.cron,
            execution_timezone=DECLARED.clock.time_zone,
            default_status=dg.DefaultScheduleStatus.RUNNING
            if DECLARED.clock.on
            else dg.DefaultScheduleStatus.STOPPED,
            description=f"Back up. Declared in fork.toml, line {DECLARED.clock.line}.",
        )
    ]
    if DECLARED
    else []
)
