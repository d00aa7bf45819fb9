"""The id that joins a run of Dagster or of ``loc``, its invocations of dbt, and its versions.

A run of Dagster has Dagster's id, and a command has one of its own. It is in the manifest of each
version that the run publishes, in dbt's artifacts, and in each record of a structured log.
"""

import os
import uuid

VARIABLE = "LOC_RUN_ID"
"""Variable with the id, for the processes that a run starts."""


def new() -> str:
    """Make an id of the form of Dagster's."""
    return str(uuid.uuid4())


def join(run_id: str) -> None:
    """Give this process and its children the id of a run."""
    os.environ[VARIABLE] = run_id


def current() -> str:
    """The id of the run that this process belongs to; empty outside of a run."""
    return os.environ.get(VARIABLE, "")
