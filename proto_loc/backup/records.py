"""The history of backups: one record for each that ended, well or not."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from proto_loc import files
from proto_loc.settings import private_folder, settings

KEPT = 500


@dataclass(frozen=True)
class Record:
    """A backup that ended."""

    started_at: str
    """UTC, ISO 8601."""
    seconds: float
    who: str
    file: str
    error: str = ""
    """Why it failed; empty if the archive is written."""
    id: str = ""
    bytes: int = 0
    """Size of the archive."""
    content: int = 0
    """Bytes of the files that a restore writes."""
    files: int = 0
    incremental: bool = False
    secrets: bool = False
    missing: tuple[str, ...] = ()
    """What could not be backed up, as sentences."""


def path() -> Path:
    """``data/backup/history.jsonl``."""
    return settings().data / "backup/history.jsonl"


def read() -> list[Record]:
    """The records, oldest first; a line that cannot be read is left out."""
    records = []
    with suppress(OSError, UnicodeDecodeError):
        for line in path().read_text().splitlines():
            with suppress(ValueError, TypeError):
                values = json.loads(line)
                records.append(Record(**values | {"missing": tuple(values["missing"])}))
    return records


def add(record: Record) -> None:
    """Write a record behind the others, also of a backup that another one kept out.

    Raises:
        OSError: the disk is full.
    """
    with files.locked(private_folder(path().parent) / "history.lock"):
        lines = [json.dumps(asdict(known)) for known in [*read(), record][-KEPT:]]
        files.replace(path(), "\n".join(lines) + "\n", private=True)


def last(*, well: bool = True) -> Record | None:
    """The newest record, of a backup that succeeded or, with ``well=False``, of any."""
    return next((record for record in reversed(read()) if not (well and record.error)), None)
