"""Publishes empty versions of ``raw`` and ``prod`` for services before the first load."""

from proto_loc import warehouse
from proto_loc.sources import declared_columns
from proto_loc.warehouse import engine, lake


def prepare() -> None:
    """Publish an empty first version of each database that has none, once the engine is up.

    Raises:
        LocError: the engine is not up in time.
    """
    engine.of("prod").wait()
    warehouse.ensure("prod")
    lake.settle(declared_columns())
