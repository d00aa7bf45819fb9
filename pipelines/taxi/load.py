"""Loads whole months of trips into the lake and the catalogue ``raw``."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines.taxi import landing, reader, sample, zones
from pipelines.taxi.lakefile import shown
from pipelines.taxi.schema import COLUMNS, Colour, pickup
from proto_loc import sources
from proto_loc.errors import UsageError
from proto_loc.settings import settings
from proto_loc.sources import Load, Loading, Outcome, Report, WouldReplace
from proto_loc.sql import exact_glob, identifier, literal

SEED = 2025


def load_sample(
    rows: int = sample.DEFAULT_ROWS, seed: int = SEED, *, who: str, report: Report
) -> list[Outcome]:
    """Load the synthetic sample; months with real records are kept.

    Args:
        rows: number of trips, over three months of both colours; 1 to 100 million.

    Raises:
        UsageError: ``rows`` is out of range.
        WarehouseError: see :func:`proto_loc.sources.loading`.
    """
    plan = sample.plan(rows)
    outcomes = []
    with sources.loading(who=who) as session:
        active = _active(session)
        for done, (colour, month, count) in enumerate(plan):
            report(f"sample {colour} {month}", done, len(plan))
            outcomes.append(
                _synthetic(session, active.get((_table(colour), month)), colour, month, count, seed)
            )
        report("sample", len(plan), len(plan))
    return outcomes


def load_files(
    paths: Sequence[Path], *, replace: bool = False, who: str, report: Report
) -> list[Outcome]:
    """Load files of trip records: all of them, or none if one is refused.

    A file replaces the load of its month and colour; a file that is loaded already is skipped. The
    zone lookup of TLC is compared with the seed.

    Args:
        replace: whether rows of another file may be lost; see :func:`_leaving`.

    Raises:
        WouldReplace: rows of another file would be lost; nothing was written.
        LocError: a file has no trip records, two files are of one month and colour, or a zone
            lookup differs from the seed; nothing was written.
        WarehouseError: see :func:`proto_loc.sources.loading`.
    """
    files, outcomes = [], []
    for done, path in enumerate(paths):
        report(f"checking {path.name}", done, 2 * len(paths))
        if zones.is_lookup(path):
            outcomes.append(Outcome(None, path.name, note=_compared(zones.compare(path))))
        else:
            files.append(landing.inspect(path))
    _refuse_rivals(files)
    with sources.loading(who=who) as session:
        outcomes += _load(session, files, replace, report)
        if kept := [outcome for outcome in outcomes if outcome.leaving]:
            raise _would_replace(kept)
    return outcomes


def load_landing(*, who: str, report: Report) -> list[Outcome]:
    """Load the new files in ``data/landing/``: all of them, or none if one is refused.

    Nobody may be there to answer a question, so these files are skipped with a reason: files
    without trips, files that would remove rows of another file, and two new files of one month.
    The other files are loaded.

    Raises:
        LocError, WarehouseError: see :func:`load_files`.
    """
    outcomes = [
        Outcome(None, shown(path.name), skipped=reason)
        for path in _waiting()
        if (reason := landing.left_out(path))
    ]
    paths, files = pending(), []
    for done, path in enumerate(paths):
        report(f"checking {path.name}", done, 2 * len(paths))
        files.append(landing.inspect(path))
    rivals = _rivals(files)
    for file in rivals:
        reason = (
            f"{rivals[file].name} is of the same month and colour, and a month is loaded as a"
            " whole: make it one file"
        )
        outcomes.append(Outcome(None, file.name, skipped=reason))
    files = [file for file in files if file not in rivals]
    if files:
        with sources.loading(who=who) as session:
            outcomes += _load(session, files, False, report)
    return outcomes


def load_months(
    colour: Colour,
    months: Sequence[str],
    *,
    seed: int = SEED,
    replace: bool = False,
    who: str,
    report: Report,
) -> list[Outcome]:
    """Load whole months (``YYYY-MM``) of one colour, from files or else from the sample.

    A month is loaded from a file in ``data/landing/`` whose name has that colour and month. If
    there is none, the sample has as many trips as a month of the default sample, and real records
    are kept.

    Args:
        replace: whether rows of another file may be lost; if not, the outcome has the reason.

    Raises:
        LocError, WarehouseError: see :func:`load_files`.
    """
    files = {file.month: file for file in _landed(colour, months)}
    usual = {month: rows for of, month, rows in sample.plan() if of == colour}
    outcomes = []
    with sources.loading(who=who) as session:
        active = _active(session)
        for done, month in enumerate(months):
            report(f"{colour} {month}", done, len(months))
            file, there = files.get(month), active.get((_table(colour), month))
            if file:
                outcomes.append(_real(session, there, file, replace))
            else:
                rows = usual.get(month, max(usual.values()))
                outcomes.append(_synthetic(session, there, colour, month, rows, seed))
        report("loading", len(months), len(months))
    return outcomes


def _load(
    session: Loading, files: Sequence[landing.SourceFile], replace: bool, report: Report
) -> list[Outcome]:
    active, outcomes = _active(session), []
    for done, file in enumerate(files):
        report(f"loading {file.name}", len(files) + done, 2 * len(files))
        partition = _table(file.colour), file.month
        outcome = _real(session, active.get(partition), file, replace)
        active[partition] = outcome.load
        outcomes.append(outcome)
    report("loading", 2 * len(files), 2 * len(files))
    return outcomes


def _real(session: Loading, there: Load | None, file: landing.SourceFile, replace: bool) -> Outcome:
    """Load a file in place of the load ``there``.

    The file is skipped if it is loaded already, or if ``there`` has rows that the file lacks.
    """
    if there and there.input_sha256 == file.sha256 and sources.intact(there):
        return Outcome(there, file.name, skipped="it is loaded already")
    load_id, path = session.reserve("taxi", _table(file.colour), file.month)
    rows = landing.convert(file, path, load_id=load_id, loaded_at=session.loaded_at)
    if there and not replace and (leaving := _leaving(there, path, file)):
        session.give_back(path)
        reason = (
            f"it lacks {leaving:,} of the {there.rows:,} rows of {there.input}, whose place it"
            f" would take (`loc load {shlex.quote(str(file.path))} --replace` does that)"
        )
        return Outcome(there, file.name, skipped=reason, leaving=leaving)
    load = _add(
        session, load_id, path, file.colour, file.month, "file", rows, file.name, file.sha256
    )
    return Outcome(load, load.input, replaced=there, ignored=file.extra)


def _leaving(there: Load, path: Path, file: landing.SourceFile) -> int:
    """Count the rows of a load that the new file at ``path`` lacks, so that they would be lost.

    A file of the same name is a newer edition: it may correct rows, but must have trips on each day
    that the old file has. A file of another name must have every row. Rows of the sample never
    count.
    """
    if there.origin == "synthetic" or not sources.intact(there):
        return 0
    old, new = (
        f"read_parquet({literal(exact_glob(of))})" for of in (settings().lake / there.file, path)
    )
    with reader.scratch_folder() as scratch, reader.connect(scratch) as con:
        if there.input == file.name:
            day = f"{identifier(pickup(file.colour))}::DATE"
            where = (
                f"strftime({day}, '%Y-%m') = {literal(file.month)} AND {day} NOT IN (SELECT {day}"
                f" FROM {new})"
            )
            return con.execute(f"SELECT count(*) FROM {old} WHERE {where}").fetchone()[0]
        known = {name for name, *_ in con.execute(f"DESCRIBE SELECT * FROM {old}").fetchall()}
        names = ", ".join(
            identifier(column.name) for column in COLUMNS[file.colour] if column.name in known
        )
        return con.execute(
            f"SELECT count(*) FROM (SELECT {names} FROM {old} EXCEPT ALL SELECT {names} FROM {new})"
        ).fetchone()[0]


def _would_replace(kept: Sequence[Outcome]) -> WouldReplace:
    first, more = kept[0], f" (and {len(kept) - 1} more such files)" if len(kept) > 1 else ""
    return WouldReplace(
        f"{first.input} would take the place of {first.load.input}, without {first.leaving:,} of"
        f" its {first.load.rows:,} rows{more}.",
        "A month of a colour is loaded as a whole, and this one was loaded on"
        f" {first.load.loaded_at:%Y-%m-%d %H:%M}.",
        "Put the whole month into one file, or say --replace to let those rows go; nothing was"
        " loaded.",
    )


def _synthetic(
    session: Loading, there: Load | None, colour: Colour, month: str, rows: int, seed: int
) -> Outcome:
    """Load a month of the sample in place of the load ``there``, unless that has real records."""
    if there and there.origin != "synthetic":
        return Outcome(there, there.input, skipped="real records are kept")
    load_id, path = session.reserve("taxi", _table(colour), month)
    made = sample.generate(
        colour, month, rows, path, seed=seed, load_id=load_id, loaded_at=session.loaded_at
    )
    load = _add(
        session, load_id, path, colour, month, "synthetic", made, sample.name(colour, month), None
    )
    return Outcome(load, load.input, replaced=there)


def _landed(colour: Colour, months: Sequence[str]) -> list[landing.SourceFile]:
    named = [
        p for p in _waiting() if colour in p.name.lower() and landing.month_in(p.name) in months
    ]
    wanted = [p for p in named if not landing.left_out(p)]
    files = [
        file
        for path in wanted
        if (file := landing.inspect(path)).colour == colour and file.month in months
    ]
    _refuse_rivals(files)
    return files


def pending() -> list[Path]:
    """Files in ``data/landing/`` whose content the current ``raw`` has never loaded.

    A file whose load was superseded is not pending, because the later load stays. A file whose rows
    were lost from the lake is pending.
    """
    known = sources.is_loaded("taxi")
    return [
        path
        for path in _waiting()
        if not landing.left_out(path)
        and not known(landing.sha256(path))
        and not zones.is_lookup(path)
    ]


def _compared(count: int) -> str:
    return f"{count} zones, all of them as in dbt/seeds/taxi_zones.csv"


def _waiting() -> list[Path]:
    """All files in ``data/landing/``."""
    return sources.landing_files("taxi")


def _table(colour: Colour) -> str:
    return f"{colour}_trips"


def _active(session: Loading) -> dict[tuple[str, str], Load]:
    return {
        (load.table_name, load.partition): load for load in session.loads() if load.source == "taxi"
    }


def _add(
    session: Loading,
    load_id: int,
    path: Path,
    colour: Colour,
    month: str,
    origin: str,
    rows: int,
    name: str,
    sha256: str | None,
) -> Load:
    load = Load(
        load_id=load_id,
        source="taxi",
        table_name=_table(colour),
        partition=month,
        origin=origin,
        file=str(path.relative_to(settings().lake)),
        rows=rows,
        bytes=path.stat().st_size,
        input=name,
        input_sha256=sha256,
        loaded_at=session.loaded_at,
    )
    session.add(load)
    return load


def _refuse_rivals(files: Iterable[landing.SourceFile]) -> None:
    for rival, file in _rivals(files).items():
        raise UsageError(
            f"{shown(rival.path)} and {shown(file.path)} are both {file.colour} trips of"
            f" {file.month}.",
            "A month of a colour is loaded as a whole, so one would replace the other.",
            "Name one of them, or move the other one away.",
        )


def _rivals(files: Iterable[landing.SourceFile]) -> dict[landing.SourceFile, landing.SourceFile]:
    """Map each file to another file with the same month and colour, but other content."""
    months: dict[tuple[Colour, str], list[landing.SourceFile]] = {}
    for file in files:
        months.setdefault((file.colour, file.month), []).append(file)
    return {
        file: next(other for other in same if other.sha256 != file.sha256)
        for same in months.values()
        if len({file.sha256 for file in same}) > 1
        for file in same
    }
