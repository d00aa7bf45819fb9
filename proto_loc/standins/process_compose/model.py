"""Reads process-compose.yaml; supports the keys of that file, and refuses all others."""

import os
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpGet(Model):
    host: Literal["127.0.0.1"] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(int), Field(ge=1, le=65535)]
    path: str = "/"


class Exec(Model):
    command: str


class Probe(Model):
    """A readiness probe; ``failure_threshold`` failures in a row end the process."""

    http_get: HttpGet | None = None
    exec: Exec | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3

    def model_post_init(self, _: Any) -> None:
        if (self.http_get is None) == (self.exec is None):
            raise ValueError("a probe has either http_get or exec")


class Rotation(Model):
    max_size_mb: int = Field(ge=1)
    max_backups: int = Field(ge=1)


class LogConfiguration(Model):
    """The one log format that the runner writes: plain lines, flushed at once."""

    flush_each_line: Literal[True]
    no_metadata: Literal[True]
    no_color: Literal[True]
    disable_json: Literal[True]
    add_timestamp: Literal[True]
    timestamp_format: Literal["2006-01-02T15:04:05.000Z07:00"]
    fields_order: tuple[Literal["time", "caller"], Literal["message"]]
    """``caller`` is a field of zerolog that no line here has, so nothing stands in front."""
    rotation: Rotation


class Availability(Model):
    restart: Literal["no", "on_failure", "always", "exit_on_failure"] = "no"
    backoff_seconds: int = Field(1, ge=1)
    max_restarts: int = Field(0, ge=0)
    """0: without limit."""


class Dependency(Model):
    condition: Literal[
        "process_started", "process_healthy", "process_completed", "process_completed_successfully"
    ]


class Shutdown(Model):
    signal: int = 15
    timeout_seconds: int = 10


class Process(Model):
    command: str
    description: str = ""
    disabled: bool = False
    """The project that :func:`load` returns has only the processes that are not."""
    environment: tuple[str, ...] = ()
    depends_on: dict[str, Dependency] = {}
    availability: Availability = Availability()
    readiness_probe: Probe | None = None
    shutdown: Shutdown = Shutdown()
    log_location: str
    log_configuration: LogConfiguration

    @property
    def once(self) -> bool:
        """Whether the process exits by itself when its work is done, unlike a service."""
        return self.availability.restart in ("no", "exit_on_failure")


class Project(Model):
    version: Literal["0.5"]
    is_strict: Literal[True]
    ordered_shutdown: Literal[True]
    is_tui_disabled: Literal[True]
    log_level: Literal["info", "debug"] = "info"
    environment: tuple[str, ...] = ()
    processes: dict[str, Process]

    def selected(self, names: tuple[str, ...]) -> set[str]:
        """These processes and all of their dependencies; without a name, all processes.

        Raises:
            UsageError: there is no such process.
        """
        waiting, names_seen = list(names or self.processes), set()
        while waiting:
            name = waiting.pop()
            if name not in self.processes:
                raise UsageError(
                    f"There is no process {name!r}.",
                    "",
                    f"Choose from: {', '.join(self.processes)}.",
                )
            if name not in names_seen:
                names_seen.add(name)
                waiting += self.processes[name].depends_on
        return names_seen


def file() -> Path:
    """The path of the project file: ``LOC_COMPOSE_FILE`` or ``process-compose.yaml``."""
    return Path(os.environ.get("LOC_COMPOSE_FILE") or ROOT / "process-compose.yaml").absolute()


def load(path: Path, env: Mapping[str, str] = os.environ) -> Project:
    """Read a project file; replace ``${NAME}`` and ``${NAME:-default}`` by values of ``env``.

    Raises:
        UsageError: it cannot be read, or is invalid; the message names the place.
    """

    def value(match: re.Match) -> str:
        if match[0] == "$$":
            return "$"
        name, colon, default = match[1].partition(":-")
        if not re.fullmatch(r"\w+", name) or ":" in name:
            raise UsageError(
                f"{path} has ${{{match[1]}}}.",
                "Only ${NAME} and ${NAME:-default} are known.",
                "Change it.",
            )
        return (env.get(name) or default) if colon else env.get(name, "")

    try:
        read = yaml.safe_load(re.sub(r"\$\$|\$\{([^}]*)\}", value, path.read_text()))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read.", f"{error.strerror}.", "git checkout process-compose.yaml"
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML.", str(error), "Mend that line.") from error
    try:
        content = {k: v for k, v in (read or {}).items() if not k.startswith("x-")}
        project = Project.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        unknown = first["type"] == "extra_forbidden"
        why = "proto_loc.compose does not know this key" if unknown else first["msg"]
        others = f" And {error.error_count() - 1} more." if error.error_count() > 1 else ""
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{path} cannot be run: {place}.", f"{why}.{others}", "Mend it, or run process-compose."
        ) from None
    project = project.model_copy(
        update={"processes": {k: v for k, v in project.processes.items() if not v.disabled}}
    )
    _check(project, path)
    return project


def _check(project: Project, path: Path) -> None:
    for name, process in project.processes.items():
        for other, dependency in process.depends_on.items():
            if other not in project.processes:
                raise UsageError(
                    f"{path}: {name} depends on {other}.",
                    "There is no such process.",
                    "Mend depends_on.",
                )
            if (
                dependency.condition == "process_healthy"
                and project.processes[other].readiness_probe is None
            ):
                why = f"{other} has no readiness_probe."
                raise UsageError(
                    f"{path}: {name} waits until {other} is healthy.", why, "Give it one."
                )
    try:
        TopologicalSorter(
            {name: process.depends_on for name, process in project.processes.items()}
        ).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise UsageError(
            f"{path} cannot be run.", f"Processes wait for each other: {circle}.", "Break it."
        ) from None
