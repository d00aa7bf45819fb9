"""Reads ``fork.toml``, which belongs to the fork: its name, its schedules and its backups."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from proto_loc import cron
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT

FILE = ROOT / "fork.toml"
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
"""What a fork may be called; with ``_`` for ``-`` it is a name of a dbt project."""
NAME_RULE = (
    "It has small letters, digits, and single hyphens or underscores between them, and starts with"
    " a letter."
)
ENTRIES = {"name", "upstream", "demonstration", "schedules", "backup"}
KEYS = {"cron": str, "time_zone": str, "on": bool}


@dataclass(frozen=True)
class Schedule:
    """When a refresh starts."""

    name: str
    cron: str
    time_zone: str
    on: bool
    """Whether it is on from the start; in Dagster a person can switch it."""
    line: int

    def __str__(self) -> str:
        """Describe the schedule in one line."""
        state = "on" if self.on else "off until switched on in Dagster"
        return f"{self.name}: {self.cron} ({self.time_zone}), {state}"


@dataclass(frozen=True)
class Backup:
    """When a backup is made by itself, where it goes, and how many are kept."""

    folder: Path
    clock: Schedule
    keep: int = 7
    """Number of the newest archives that stay, besides those that they need."""
    full_every: int = 1
    """Each so manieth archive is whole; the others have only what the one before has not."""
    secrets: tuple[str, ...] = ()
    """Public keys for which the secrets are encrypted; without one, they are left out."""


BACKUP = {"folder": str, "keep": int, "full_every": int, "secrets": list, **KEYS}


@dataclass(frozen=True)
class Fork:
    """The content of ``fork.toml``."""

    name: str = "proto_loc"
    schedules: tuple[Schedule, ...] = ()
    upstream: str = ""
    """The commit of the platform's repository that was merged last; empty before ``loc init``."""
    demonstration: bool = True
    """Whether the fork has the content of the demonstration."""
    backup: Backup | None = None


def read(path: Path | None = None) -> Fork:
    """Read the file; without one, the fork has the platform's name and no schedule.

    Raises:
        UsageError: a value is not usable; the message names file and line.
    """
    path = path or FILE
    if not path.exists():
        return Fork()
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read.", f"{error}.", "Mend or remove it.") from error
    if unknown := content.keys() - ENTRIES:
        raise _fault(path, text, min(unknown), "there is no such entry.")
    name, upstream = content.get("name", "proto_loc"), content.get("upstream", "")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _fault(path, text, "name", f"{name!r} is no name. {NAME_RULE}")
    if not isinstance(upstream, str) or not re.fullmatch(r"[0-9a-f]{0,64}", upstream):
        raise _fault(path, text, "upstream", f"{upstream!r} is no commit.")
    demonstration = content.get("demonstration", True)
    if not isinstance(demonstration, bool):
        raise _fault(path, text, "demonstration", "it is true or false.")
    entries = content.get("schedules", {})
    if not isinstance(entries, dict):
        raise _fault(path, text, "schedules", "it is a section: [schedules]")
    schedules = tuple(_schedule(path, text, key, entry) for key, entry in entries.items())
    backup = _backup(path, text, content["backup"]) if "backup" in content else None
    return Fork(name, schedules, upstream, demonstration, backup)


def name() -> str:
    """The fork's name for titles of pages; a fault in the file is reported elsewhere."""
    try:
        return read().name
    except UsageError:
        return Fork().name


def first_step() -> str:
    """What to do on a platform without a source or model; empty if there is one."""
    if any((ROOT / "pipelines").glob("*/__init__.py")):
        return ""
    if any(any((ROOT / "dbt").glob(f"{place}/**/*.*")) for place in ("models", "seeds")):
        return ""
    return (
        "There is no source yet: `./loc source add NAME --csv FILES` writes one into pipelines/,"
        " loads it and publishes it (docs/sources.md)."
    )


def _schedule(path: Path, text: str, name: str, entry: object) -> Schedule:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        reason = "a schedule's name has small letters, digits and _, and starts with a letter."
        raise _fault(path, text, name, reason)
    if not isinstance(entry, dict) or not {"cron", "time_zone"} <= entry.keys() <= KEYS.keys():
        raise _fault(path, text, name, "a schedule has cron, time_zone and, if you like, on.")
    for key, value in entry.items():
        if not isinstance(value, KEYS[key]):
            kind = "true or false" if KEYS[key] is bool else "a text in quotation marks"
            raise _fault(path, text, name, f"{key} is {value!r}, and it must be {kind}.")
    if reason := cron.fault(entry["cron"]):
        raise _fault(path, text, name, f"cron {entry['cron']!r}: {reason}")
    zone = entry["time_zone"]
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError) as error:  # a missing zone is a KeyError
        reason = f"there is no time zone {zone!r}; write one such as Europe/Berlin, or UTC."
        raise _fault(path, text, name, reason) from error
    return Schedule(
        name, entry["cron"], entry["time_zone"], entry.get("on", False), _line(text, name)
    )


def _backup(path: Path, text: str, entry: object) -> Backup:
    needed = {"folder", "cron", "time_zone"}
    if not isinstance(entry, dict) or not needed <= entry.keys() <= BACKUP.keys():
        reason = "it has folder, cron, time_zone and, if you like, on, keep, full_every, secrets."
        unknown = entry.keys() - BACKUP.keys() if isinstance(entry, dict) else ()
        raise _fault(path, text, min(unknown, default="backup"), reason)
    kinds = {str: "a text in quotation marks", int: "a whole number", bool: "true or false"}
    for key, value in entry.items():
        if type(value) is not BACKUP[key]:
            kind = kinds.get(BACKUP[key], "a list of public keys")
            raise _fault(path, text, key, f"it is {value!r}, and it must be {kind}.")
    for key in ("keep", "full_every"):
        if entry.get(key, 1) < 1:
            raise _fault(path, text, key, "it is at least 1.")
    secrets = entry.get("secrets", [])
    for key in secrets:
        if not isinstance(key, str) or not key.startswith(("age1", "ssh-")):
            raise _fault(path, text, "secrets", f"{key!r} is no public key of age or SSH.")
    clock = {key: value for key, value in entry.items() if key in KEYS}
    schedule = _schedule(path, text, "backup", clock)
    folder = ROOT / Path(entry["folder"]).expanduser()
    return Backup(
        folder, schedule, entry.get("keep", 7), entry.get("full_every", 1), tuple(secrets)
    )


def _line(text: str, key: str) -> int:
    """The number of the line that defines a key or its section; 1 if no line starts with it."""
    pattern = re.compile(rf"\s*(\[.*)?[\"']?{re.escape(key)}[\"']?\s*(=|\.|\])")
    lines = text.splitlines()
    return next((at for at, line in enumerate(lines, 1) if pattern.match(line)), 1)


def _fault(path: Path, text: str, key: str, reason: str) -> UsageError:
    return UsageError(
        f"{path}, line {_line(text, key)}: {key} is not usable.",
        reason[0].upper() + reason[1:],
        "Mend that line; docs/schedules.md and docs/fork.md have examples.",
    )
