"""Service ``setup``: prepares what the other services need, and exits."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("python", "-m", "proto_loc.cli", "prepare"),
    prepare=("proto_loc.backup.workspace:prepare", "proto_loc.refresh.prepare:prepare"),
)
