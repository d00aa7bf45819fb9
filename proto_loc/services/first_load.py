"""Service ``first-load``: loads the sample where ``prod`` is empty, and ends."""

from proto_loc.services.service import Service

SERVICE = Service(("python", "-m", "proto_loc.cli", "first-load"))
