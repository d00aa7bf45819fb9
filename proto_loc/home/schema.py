"""The state of the platform as plain data: what ``loc status --json`` prints.

Times are UTC in ISO 8601, sizes are bytes, durations are seconds. A part that cannot be read is
null, and a problem says why. No value is a secret.
"""

from dataclasses import dataclass, field
from typing import ClassVar

VERSION = 1
"""Increases when a field is removed or changes its meaning; further fields may come without it."""


class Part:
    """A part of the state; pydantic makes its JSON Schema, with the docstrings of its fields."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True, "extra": "forbid"}


@dataclass(frozen=True)
class Problem(Part):
    """Something that is not as it should be, with the next step."""

    part: str
    """The part: services, warehouse, sources, runs, metrics, lineage, machine, fork."""
    severity: str
    """``fail`` (something does not work) or ``warn``."""
    what: str
    why: str
    fix: str
    """The command to run, or what to do."""


@dataclass(frozen=True)
class Service(Part):
    """A process of process-compose.yaml."""

    name: str
    verdict: str
    """``ready``, ``done`` (exited with success), ``failed``, ``waiting`` or ``off``."""
    status: str
    """The supervisor's word, Crashing (it ended many times in a row) or Broken (see ``why``)."""
    health: str
    """Ready, Not Ready, or - without a probe."""
    probed: bool
    once: bool
    """Whether the process exits by itself when its work is done."""
    restarts: int
    exit_code: int
    pid: int
    """0 if the process does not run."""
    age: float
    """Seconds since the start of a running process."""
    why: str
    """Why a running service cannot work, as the service itself says."""
    problem: str
    """What a ready service does not serve as it should; empty if all is well."""
    description: str
    port: int
    """Its port on 127.0.0.1; 0 if it has none."""
    pages: list[str]
    """Titles of its pages; ``loc urls --json`` has their links."""
    memory: int
    """Bytes of memory of all of its processes (on Linux PSS, elsewhere USS)."""


@dataclass(frozen=True)
class Version(Part):
    """A published version of a database that is kept."""

    id: int
    current: bool
    damage: str
    """Why it cannot be served; empty if its manifest and the size of its file are right."""
    published_at: str
    who: str
    based_on: int | None
    git_revision: str | None
    run: str
    """Id of the run that published it: Dagster's, or that of a command; empty if not recorded."""
    dbt_invocations: list[str]
    """dbt's ids of the invocations that built and tested it."""
    tables: dict[str, int]
    """Number of rows by ``schema.table``."""
    bytes: int
    checks: dict[str, int]
    """Number of dbt's checks by their status."""


@dataclass(frozen=True)
class Change(Part):
    """A table whose number of rows differs between two versions."""

    table: str
    before: int | None
    """Rows before; None where there was no such table."""
    after: int | None
    """Rows after; None where the table was removed."""


@dataclass(frozen=True)
class Database(Part):
    """A published database."""

    name: str
    """``raw`` (the catalogue of what is loaded) or ``prod``."""
    current: int | None
    """Id of the version that is served; None before the first publish."""
    versions: list[Version]
    """The versions that are kept, newest first."""
    changes: list[Change] | None
    """The current version against the one that it was made from; None if that one is gone."""


@dataclass(frozen=True)
class Table(Part):
    """A table of a source, with its active loads."""

    source: str
    table: str
    declared: bool
    """Whether a source of pipelines/ declares the table."""
    loads: int
    rows: int
    synthetic: int
    """Rows of a generated sample, which are not real records."""
    newest: str | None
    """Time of the newest load."""
    fresh_within: float | None
    """Seconds within which a load is due; None without a declaration."""
    stale: str
    """Why the table is stale; empty if it is fresh."""
    small: str
    """Which partitions have fewer rows than declared; empty if all have enough."""
    unpublished: int
    """Rows of loads that prod was not built from."""
    audited: bool
    """Whether the models say which rows were accepted; if not, the next three are not known."""
    accepted: int | None
    rejected: int | None
    reasons: dict[str, int]
    """Rejected rows by reason."""


@dataclass(frozen=True)
class Run(Part):
    """A run of Dagster."""

    id: str
    job: str
    status: str
    """Dagster's word: QUEUED, STARTED, SUCCESS, FAILURE, CANCELED, ..."""
    who: str
    """Who asked for it: a command, a schedule, or Dagster's page."""
    started_at: str | None
    ended_at: str | None
    version: int | None
    """The version of prod that it published, or left as it was."""
    failed_checks: list[str]
    """Names of dbt's tests that failed in it, the first ten."""


@dataclass(frozen=True)
class Metric(Part):
    """A metric with its total figure in the current version of prod."""

    name: str
    label: str
    description: str
    mart: str
    """``schema.table``"""
    figure: float | int | str | None
    """As published: money is text; None if nothing was computed."""
    shown: str
    """The figure in the metric's format."""


@dataclass(frozen=True)
class Mart(Part):
    """A mart, and what it is made from."""

    name: str
    """``schema.table``"""
    node: str
    """dbt's unique id."""
    description: str
    rows: int | None
    """None if it is a view, whose rows are not counted."""
    sources: list[str]
    """Raw tables and seeds from which it is made, over any number of models."""
    models: int
    """Number of models between those and the mart."""
    metrics: list[str]


@dataclass(frozen=True)
class Channel(Part):
    """A channel of notices, from fork.toml."""

    name: str
    kind: str
    """``webhook``, ``slack``, ``teams`` or ``smtp``."""
    dead: bool
    """Whether it has taken no notice in several rounds of tries."""
    waiting: int
    """Notices that wait for it."""
    sent: int
    dropped: int
    """Notices that were dropped because too many waited."""
    failing_since: str
    """Time of the first failed round since the last delivery; empty if the last one worked."""
    why: str


@dataclass(frozen=True)
class Incident(Part):
    """An incident of which notices were sent, if there is a channel."""

    key: str
    event: str
    """``refresh``, ``audit``, ``stale`` or ``service``."""
    what: str
    since: str


@dataclass(frozen=True)
class Machine(Part):
    """Disk and memory."""

    disk_free: int
    disk_total: int
    sizes: dict[str, int]
    """Bytes by part of the data folder and the run folder."""
    memory_available: int
    memory_total: int
    memory_services: int


@dataclass(frozen=True)
class Status(Part):
    """The state of the platform at one time."""

    schema: int
    at: str
    name: str
    """The name in fork.toml."""
    clone: str
    data: str
    run: str
    git_revision: str | None
    services: list[Service] | None
    """Every process, by name; empty if nothing is up."""
    databases: list[Database]
    tables: list[Table] | None
    runs: list[Run] | None
    """The newest first; None while Dagster is not up."""
    metrics: list[Metric] | None
    marts: list[Mart] | None
    machine: Machine | None
    channels: list[Channel] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    """Commands that come next, such as the first source of an empty platform."""
