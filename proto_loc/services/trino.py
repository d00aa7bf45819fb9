"""Services ``trino`` and ``trino-worker``: the two nodes of Trino."""

from proto_loc.services.service import Service

COORDINATOR = Service(
    ("python", "-m", "proto_loc.trino.servers", "trino"),
    engine="trino",
    secret="trino-nodes",
    port="trino",
    ready="trino.ready",
    prepare=("proto_loc.trino.certificate:ensure", "proto_loc.trino.identities:ensure"),
)

WORKER = Service(
    ("python", "-m", "proto_loc.trino.servers", "trino-worker"),
    engine="trino",
    secret="trino-nodes",
    port="trino-worker",
    ready="trino-worker.ready",
)
