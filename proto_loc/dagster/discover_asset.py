"""The report of ``loc discover`` as an asset, with a job of its own and a sensor.

The jobs that load and build do not contain this asset, so it cannot delay or fail a publish. The
sensor starts the job after each publish. The sensor is off by default, because the report sends
figures of the data to the language model, if one is set.
"""

import json
import subprocess
import sys

import dagster as dg

from proto_loc.dagster.dbt_assets import ASSETS as MARTS
from proto_loc.dagster.dbt_assets import MANIFEST
from proto_loc.dagster.policies import said_plainly
from proto_loc.errors import LocError
from proto_loc.metrics.marts import measured
from proto_loc.settings import ROOT

WIDE = [spec.key for unique_id, spec in MARTS.items() if unique_id in measured(MANIFEST)]
PUBLISHED = [*WIDE[-1:], *(spec.key for spec in MARTS.values()), dg.AssetKey(["raw", "loads"])][0]
"""The asset whose materialization shows that a version was published: a mart, if there is one."""
TIMEOUT = 900
"""Seconds after which a report is stopped."""


@dg.asset(
    key=["reports", "discovery"],
    group_name="reports",
    deps=WIDE,
    description=(
        "What is in the published marts and what the publish has changed: `loc discover`, a page"
        " with plots."
    ),
)
def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    with said_plainly(context):
        found = _discover()
    told = "\n".join(f"- {finding}" for finding in found["findings"]) or "Nothing stands out."
    return dg.MaterializeResult(
        metadata={
            "prod version": found["version"],
            "report": dg.MetadataValue.path(found["report"]),
            "findings": dg.MetadataValue.md(told),
            "told by a model": found["told"],
            "figures that do not check out": len(found["wrong_figures"]),
            "seconds": found["seconds"],
        }
    )


def _discover() -> dict:
    command = [sys.executable, "-P", "-m", "proto_loc.cli", "discover", "--json"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise LocError(
            "The report was given up.", f"It took longer than {TIMEOUT} s.", "Run: loc discover"
        ) from None
    if done.returncode:
        said = dict(line.partition(": ")[::2] for line in done.stderr.splitlines() if ": " in line)
        raise LocError(
            said.get("error", "loc discover failed."), said.get("why", ""), said.get("fix", "")
        )
    return json.loads(done.stdout)


job = dg.define_asset_job(
    "discovery",
    selection=dg.AssetSelection.assets(report),
    description="Describe what is published, and what changed.",
)


@dg.asset_sensor(
    asset_key=PUBLISHED,
    job=job,
    name="discovery_after_publish",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description=(
        "Make the report after each publish. Off until switched on: with a model set, figures go"
        " to it."
    ),
)
def after_publish(context: dg.SensorEvaluationContext, event: dg.EventLogEntry):
    return dg.RunRequest(run_key=event.run_id, tags={"who": "discovery sensor"})
