"""What the services read before the first load: empty versions of ``raw`` and ``prod``."""

from proto_loc import warehouse
from proto_loc.sources import declared_columns
from proto_loc.warehouse import lake


def prepare() -> None:
    """Publish an empty first version of each database that has none."""
    warehouse.ensure("prod")
    lake.settle(declared_columns())
