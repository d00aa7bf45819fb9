"""Checks of the published data."""

from collections.abc import Iterator
from datetime import UTC, datetime

from proto_loc import fork_file
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError

READ = 500 * 10**6
"""Bytes of a database that are read in full; the content of a larger one is left to `loc db`."""


def warehouse() -> Iterator[Finding]:
    """Compare the current versions with what was published, and name what to do."""
    from proto_loc import warehouse as published

    for database in published.DATABASES:
        serving = published.store.current_id(database)
        if serving is None:
            yield ok(f"{database} has no data yet")
            continue
        is_small = _bytes(database, serving) <= READ
        (verdict,) = published.verify(database, [serving], content=is_small)
        if verdict.damage and "another DuckDB release" in verdict.damage.why:
            yield Finding(
                "fail",
                verdict.damage.what,
                verdict.damage.why,
                "Take the release that wrote it: git checkout golden.toml locks && ./loc setup."
                f" Or: {verdict.damage.fix}",
                symptom="After a step back to an earlier release, no data can be read",
            )
        elif trouble := verdict.trouble:
            yield Finding(
                "fail",
                trouble.what,
                trouble.why,
                trouble.fix,
                symptom="A reader says that a version is damaged",
            )
        elif not is_small:
            yield ok(
                f"Version {serving} of {database} can be read, and its files have their sizes:"
                f" `loc db verify` compares their content too"
            )
        elif verdict.unknown:
            yield ok(
                f"Version {serving} of {database} can be read; {verdict.unknown} of its files were"
                " written before checksums were kept, so that their content cannot be compared"
            )
        else:
            yield ok(
                f"Version {serving} of {database} is as it was published: {verdict.files} files"
                " were compared"
            )


def _bytes(database: str, version_id: int) -> int:
    """The size of the files of a version, and for ``raw`` of its loads; 0 if it is damaged."""
    from proto_loc.warehouse import VersionDamaged, ledger, store

    try:
        version = store.load(database, version_id)
        loads = ledger.loads_of(version) if database == "raw" else []
    except VersionDamaged:
        return 0
    return version.bytes + sum(load.bytes for load in loads)


def sources() -> Iterator[Finding]:
    """Compare the rows and the age of each table's loads with the declaration of its source."""
    from proto_loc.sources import FetchingSource, find_sources
    from proto_loc.sources.state import table_states

    try:
        declared = find_sources()
    except LocError as error:
        yield Finding(
            "fail",
            error.what,
            error.why,
            error.fix,
            symptom="Commands stop at the code of a source",
        )
        return
    if not declared:
        yield ok(fork_file.first_step())
        return
    for state in table_states(datetime.now(UTC).replace(tzinfo=None)):
        name = f"{state.source}.{state.table.name}"
        fix = f"Load a newer or a whole file: `loc load {state.source} FILES`."
        if isinstance(declared[state.source], FetchingSource):
            fix = f"Fetch what is new: `loc load {state.source}`."
        for fault in filter(None, (state.small, state.stale)):
            yield Finding(
                "warn",
                f"{name}: {fault}",
                "",
                fix,
                symptom="Figures are old, or rows are missing",
            )
        if not (state.small or state.stale):
            newest = f", newest of {state.newest:%Y-%m-%d %H:%M} UTC" if state.newest else ""
            yield ok(f"{name}: {len(state.loads)} loads, {state.rows:,} rows{newest}")
