"""What Dagster loads: the assets of every source, the dbt project, the jobs.

A source needs no line here: the ``ASSETS`` of ``pipelines/sources/<name>/assets.py`` are found.
"""

import importlib
import pkgutil
import warnings
from importlib.util import find_spec

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # its version is pinned

from pipelines import discover, jobs, sources  # noqa: E402


def _of_sources() -> list:
    names = [f"{sources.__name__}.{found.name}.assets" for found in pkgutil.iter_modules(sources.__path__)]
    return [asset for name in names if find_spec(name) for asset in importlib.import_module(name).ASSETS]


defs = dg.Definitions(
    assets=[*_of_sources(), *jobs.ASSETS, discover.report],
    jobs=[jobs.refresh, discover.job],
    schedules=[jobs.daily],
    sensors=[jobs.landing, discover.after_publish],
    # A step's own process costs it five seconds, and the pools allow one writer of a database at a time anyway.
    executor=dg.in_process_executor,
)
