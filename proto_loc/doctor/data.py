"""Checks of the published data."""

from collections.abc import Iterator
from datetime import UTC, datetime

from proto_loc import fork_file
from proto_loc.doctor.finding import Finding, ok


def warehouse() -> Iterator[Finding]:
    """Compare the current versions, read in full, with their checksums, and name what to do."""
    from proto_loc import warehouse as published

    for database in published.DATABASES:
        serving = published.store.current_id(database)
        if serving is None:
            yield ok(f"{database} has no data yet")
            continue
        (verdict,) = published.verify(database, [serving])
        if verdict.damage:
            yield Finding(
                "fail",
                verdict.damage.what,
                verdict.damage.why,
                verdict.damage.fix,
                symptom="A reader says that a version is damaged",
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


def sources() -> Iterator[Finding]:
    """Compare the rows and the age of each table's loads with the declaration of its source."""
    from proto_loc.sources import FetchingSource, find_sources
    from proto_loc.sources.state import table_states

    declared = find_sources()
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
