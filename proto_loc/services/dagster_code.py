"""Service ``dagster-code``: Dagster's code location."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("python", "-m", "proto_loc.dagster.code_server"),
    socket="dagster-code.sock",
    prepare=("proto_loc.dagster.prepare:prepare",),
)
