"""Service ``dagster-daemon``: schedules, sensors and the queue of runs."""

from proto_loc.services.service import Service

SERVICE = Service(("python", "-m", "proto_loc.dagster.daemon"), ready="dagster-daemon.ready")
