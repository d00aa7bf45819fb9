"""The state of the platform as JSON, and the schema of that JSON."""

import json
from dataclasses import asdict

from proto_loc.home.processes import is_well
from proto_loc.home.schema import Status
from proto_loc.home.status import collect


def status() -> tuple[str, bool]:
    """The state as JSON, and whether the stack is up, every process is well
    and no channel of notices is dead."""
    state = collect()
    well = (
        bool(state.services)
        and all(is_well(service) and not service.problem for service in state.services)
        and not any(channel.dead for channel in state.channels)
    )
    return json.dumps(asdict(state), indent=2), well


def schema() -> str:
    """The JSON Schema of :func:`status`, with the meaning of each field."""
    from pydantic import TypeAdapter

    return json.dumps(TypeAdapter(Status).json_schema(), indent=2)
