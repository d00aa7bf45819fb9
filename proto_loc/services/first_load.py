"""Service ``first-load``: loads the sample if ``prod`` is empty, and exits."""

from proto_loc.services.service import Service

SERVICE = Service(("python", "-m", "proto_loc.cli", "first-load"))
