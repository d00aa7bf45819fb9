"""Reads ``fork.toml`` of the fork: its name, schedules, backups and channels of notices."""

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
ENTRIES = {"name", "upstream", "demonstration", "schedules", "backup", "notify"}
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


EVENTS = ("refresh", "audit", "stale", "service")
"""What a notice is of: a failed run, a failed test, stale data, a dead service."""
WEBHOOKS = ("webhook", "slack", "teams")
SECURITY = {"starttls": 587, "tls": 465, "none": 25}
"""How a connection to a mail server is protected, with the usual port."""
MAIL_KEYS = {"host": str, "port": int, "security": str, "from": str, "to": list, "user": str}
SECRETS = {"url", "token", "password", "secret", "key", "webhook", "authorization"}
"""Names of keys that hold a secret, which must not be in a file of git."""


@dataclass(frozen=True)
class Channel:
    """Where notices go."""

    name: str
    kind: str
    """``webhook`` (JSON), ``slack``, ``teams`` or ``smtp``."""
    line: int
    events: tuple[str, ...] = EVENTS
    host: str = ""
    """The mail server, and so are the next ones."""
    port: int = 0
    security: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()
    user: str = ""

    @property
    def secret(self) -> str:
        """The name of its secret: the URL of a webhook, or the password of ``user``."""
        return f"notify-{self.name}"


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
    channels: tuple[Channel, ...] = ()
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
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no TOML, or too large
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
    entries = {key: content.get(key, {}) for key in ("schedules", "notify")}
    for key, section in entries.items():
        if not isinstance(section, dict):
            raise _fault(path, text, key, f"it is a section: [{key}]")
    schedules = tuple(_schedule(path, text, *entry) for entry in entries["schedules"].items())
    channels = tuple(_channel(path, text, *entry) for entry in entries["notify"].items())
    variables = [channel.secret.replace("-", "_") for channel in channels]
    for channel in channels:
        if variables.count(channel.secret.replace("-", "_")) > 1:
            reason = "two channels differ by - and _ only, so their secrets have the same name."
            raise _fault(path, text, channel.name, reason, "notify")
    backup = _backup(path, text, content["backup"]) if "backup" in content else None
    return Fork(name, schedules, upstream, demonstration, channels, backup)


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


def _channel(path: Path, text: str, name: str, entry: object) -> Channel:
    def fault(reason: str) -> UsageError:
        return _fault(path, text, name, reason, "notify")

    if not NAME.fullmatch(name):
        raise fault(f"{name!r} is no name of a channel. {NAME_RULE}")
    if not isinstance(entry, dict) or entry.get("kind") not in (*WEBHOOKS, "smtp"):
        raise fault(f"a channel has a kind: {', '.join(WEBHOOKS)} or smtp.")
    kind, variable = entry["kind"], re.sub(r"\W", "_", f"notify_{name}").upper()
    if secrets := sorted(SECRETS & entry.keys()):
        raise fault(
            f"{secrets[0]} is a secret, and this file is in git: take it out of the line and of"
            f" git's history, and write {variable}=... into .env."
        )
    keys = {"kind": str, "events": list} | (MAIL_KEYS if kind == "smtp" else {})
    if unknown := sorted(entry.keys() - keys.keys()):
        raise fault(f"a channel of kind {kind} has no {unknown[0]}; it has {', '.join(keys)}.")
    for key, value in entry.items():
        if not isinstance(value, keys[key]) or isinstance(value, bool):
            words = {str: "a text in quotation marks", int: "a number", list: "a list"}
            raise fault(f"{key} is {value!r}, and it must be {words[keys[key]]}.")
    events = tuple(entry.get("events", EVENTS))
    if not events or any(event not in EVENTS for event in events):
        raise fault(f"events is {list(events)}, and it must be some of {', '.join(EVENTS)}.")
    line = _line(text, name, "notify")
    if kind != "smtp":
        return Channel(name, kind, line, events)
    if missing := [key for key in ("host", "from", "to") if not entry.get(key)]:
        raise fault(f"a channel of kind smtp has {missing[0]}.")
    security, host = entry.get("security", "starttls"), entry["host"]
    if not re.fullmatch(r"[^\s\0]+", host):
        raise fault(f"{host!r} is no name of a host.")
    if security not in SECURITY:
        raise fault(f"security is {security!r}, and it must be {', '.join(SECURITY)}.")
    if security == "none" and host not in LOOPBACK:
        raise fault(
            f"security is none, and {host} is another machine: others could read the password."
        )
    port = entry.get("port", SECURITY[security])
    if not 0 < port < 65536:
        raise fault(f"port is {port}, and ports are from 1 to 65535.")
    for address in (entry["from"], *entry["to"]):
        if not isinstance(address, str) or not ADDRESS.fullmatch(address):
            raise fault(f"{address!r} is no mail address, such as data@example.org.")
    return Channel(
        name, kind, line, events, host, port, security, entry["from"], tuple(entry["to"]),
        entry.get("user", ""),
    )  # fmt: skip


LOOPBACK = ("127.0.0.1", "localhost", "::1")
ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+", re.ASCII)


def _backup(path: Path, text: str, entry: object) -> Backup:
    def fault(key: str, reason: str) -> UsageError:
        return _fault(path, text, key, reason, "backup")

    needed = {"folder", "cron", "time_zone"}
    if not isinstance(entry, dict) or not needed <= entry.keys() <= BACKUP.keys():
        reason = "it has folder, cron, time_zone and, if you like, on, keep, full_every, secrets."
        unknown = entry.keys() - BACKUP.keys() if isinstance(entry, dict) else ()
        raise fault(min(unknown, default="backup"), reason)
    kinds = {str: "a text in quotation marks", int: "a whole number", bool: "true or false"}
    for key, value in entry.items():
        if type(value) is not BACKUP[key]:
            kind = kinds.get(BACKUP[key], "a list of public keys")
            raise fault(key, f"it is {value!r}, and it must be {kind}.")
    for key in ("keep", "full_every"):
        if entry.get(key, 1) < 1:
            raise fault(key, "it is at least 1.")
    secrets = entry.get("secrets", [])
    for key in secrets:
        if not isinstance(key, str) or not key.startswith(("age1", "ssh-")):
            raise fault("secrets", f"{key!r} is no public key of age or SSH.")
    clock = {key: value for key, value in entry.items() if key in KEYS}
    schedule = _schedule(path, text, "backup", clock)
    try:
        folder = ROOT / Path(entry["folder"]).expanduser()
    except RuntimeError as error:  # there is no such user
        reason = f"{entry['folder']!r}: {str(error).rstrip('.')}."
        raise _fault(path, text, "folder", reason) from error
    if "\0" in entry["folder"] or not entry["folder"].strip():
        raise _fault(path, text, "folder", f"{entry['folder']!r} is no path.")
    return Backup(
        folder, schedule, entry.get("keep", 7), entry.get("full_every", 1), tuple(secrets)
    )


def _line(text: str, key: str, section: str = "") -> int:
    """The number of the line that defines a key or its section; 1 if no line starts with it."""
    pattern = re.compile(rf"\s*(\[.*)?[\"']?{re.escape(key)}[\"']?\s*(=|\.|\])")
    lines = text.splitlines()
    start = _line(text, section) if section else 1
    return next((at for at, line in enumerate(lines, 1) if at >= start and pattern.match(line)), 1)


def _fault(path: Path, text: str, key: str, reason: str, section: str = "") -> UsageError:
    pages = {"notify": "docs/monitoring.md has"}
    return UsageError(
        f"{path}, line {_line(text, key, section)}: {key} is not usable.",
        reason[0].upper() + reason[1:],
        f"Mend that line; {pages.get(section, 'docs/schedules.md and docs/fork.md have')}"
        " examples.",
    )
