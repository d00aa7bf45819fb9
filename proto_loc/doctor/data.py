"""Checks of the published data."""

from collections.abc import Iterator

from proto_loc.doctor.finding import Finding, ok


def warehouse() -> Iterator[Finding]:
    """Read the current versions in full and compare them with their checksums."""
    from proto_loc import warehouse as published

    for database in published.DATABASES:
        serving = published.store.current_id(database)
        if serving is None:
            yield ok(f"{database} holds no data yet")
            continue
        (verdict,) = published.verify(database, [serving])
        if verdict.damage:
            yield Finding("fail", verdict.damage.what, verdict.damage.why, verdict.damage.fix)
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
