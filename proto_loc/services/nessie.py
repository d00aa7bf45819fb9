"""Service ``nessie``: the catalogue of Iceberg tables, with branches."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("python", "-m", "proto_loc.trino.servers", "nessie"),
    engine="trino",
    port="nessie",
    ready="nessie.ready",
    prepare=("proto_loc.setup.trino:install",),
)
