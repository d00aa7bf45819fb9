"""Reads the state of the services from their supervisor."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from proto_loc import services
from proto_loc.compose.client import Client, State
from proto_loc.home.machine import memory
from proto_loc.home.schema import Problem, Service
from proto_loc.settings import settings
from proto_loc.standins.process_compose import model

TAIL = 4096
"""Bytes at the end of a log that are searched for its last line."""


def processes(report: Callable[[Problem], None]) -> list[Service]:
    """Every process with its problems; an empty list if no stack of this clone is up.

    Raises:
        LocError: the supervisor or the file of processes cannot be read.
    """
    with Client() as client:
        states = client.processes()
    if not states:
        what = "No stack of this clone is up."
        report(Problem("services", "fail", what, "Its supervisor does not answer.", "./loc up -d"))
    described = model.load(model.file()).processes
    used = memory(state.pid for state in states if state.pid)
    rows = []
    for state in states:
        declared = services.SERVICES.get(state.name)
        entry = described.get(state.name)  # none after a change of the file: the process is older
        problem = problem_of(state)
        rows.append(
            Service(
                **asdict(replace(state, age=round(state.age, 1))),
                verdict=state.verdict,
                problem=problem,
                description=entry.description if entry else "",
                port=settings().port(declared.port) if declared and declared.port else 0,
                pages=list(declared.links) if declared else [],
                memory=used.get(state.pid, 0),
            )
        )
        if state.verdict == "failed":
            report(_failed(state, entry.log_location if entry else ""))
        if problem:
            what = f"{state.name} does not serve what it should."
            report(Problem("services", "fail", what, problem, f"./loc logs {state.name}"))
    return rows


def problem_of(state: State) -> str:
    """What a running service does not serve as it should; empty if all is well."""
    if state.name == "cube" and state.pid:
        from proto_loc.cube.client import model_error

        return model_error()
    return ""


def is_well(state: State | Service) -> bool:
    """Whether a process is ready or done, or is off on purpose."""
    return state.verdict in ("ready", "done", "off")


def _failed(state: State, log: str) -> Problem:
    name, again = state.name, f"./loc restart {state.name}"
    if state.why:
        return Problem("services", "fail", f"{name} runs, but cannot work.", state.why, again)
    if state.status == "Skipped":
        what = f"{name} was not started."
        return Problem("services", "fail", what, "What it waits for has failed.", "./loc up -d")
    what = f"{name} failed with exit code {state.exit_code}."
    return Problem("services", "fail", what, _last_line(Path(log)), f"./loc logs {name}, {again}")


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"Its log ends: {_message(lines[-1])[-300:]}" if lines else ""


def _message(line: str) -> str:
    """The message of a structured record; any other line as it is."""
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(line)["message"])
    return line
