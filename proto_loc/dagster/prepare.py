"""Prepares what Dagster's processes need at their start: instance files and dbt's manifest."""

from contextlib import suppress

from proto_loc.dagster import instance
from proto_loc.dbt import failures, parse


def prepare() -> None:
    """Write the instance's configuration, and parse the dbt project."""
    instance.prepare()
    with suppress(failures.BuildFailed):  # the code location reports it
        parse.manifest()
