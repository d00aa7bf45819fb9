"""``loc source list | test | load | remove``."""

import time
from collections import Counter
from collections.abc import Sequence

from proto_loc.cli import _content
from proto_loc.cli._console import out, table
from proto_loc.cli._source_add import secrets_of
from proto_loc.errors import LocError, UsageError
from proto_loc.scaffold import writing
from proto_loc.settings import ROOT, settings


def show() -> None:
    """Print the sources with their tables, loads and rows."""
    from proto_loc.sources import find_sources
    from proto_loc.warehouse import lake

    sources, loads = find_sources(), lake.loads()
    if not sources:
        out.print("There is no source yet: `loc source add NAME --csv 'FILES'` makes one.")
        return
    shown = table(
        "Sources", "source", "table", "partitions", "rows", "newest load (UTC)", "files",
        numbers=("partitions", "rows"),
    )  # fmt: skip
    for name, source in sources.items():
        listed = writing.noted(ROOT, name)
        edited = len(writing.changed(ROOT, listed))
        files = f"{len(listed)} written, {edited} changed by you" if listed else "your own"
        for entry in source.tables:
            own = [load for load in loads if (load.source, load.table_name) == (name, entry.name)]
            newest = max((load.loaded_at for load in own), default=None)
            shown.add_row(
                name, entry.name, f"{len(own):,}", f"{sum(load.rows for load in own):,}",
                f"{newest:%Y-%m-%d %H:%M}" if newest else "never", files,
            )  # fmt: skip
            files = ""
    out.print(shown)


def test(name: str) -> None:
    """Build and test the models of a source on dev.

    Raises:
        LocError: there is no such source, it has no load, or a model or test failed.
    """
    from proto_loc.sources import find_source
    from proto_loc.warehouse import lake

    source = find_source(name)
    rows = Counter[str]()
    for load in lake.loads():
        if load.source == name:
            rows[load.table_name] += load.rows
    if not rows:
        raise LocError(
            f"{name} has no load.", "Its models have nothing to test.", f"Run `loc load {name}`."
        )
    for entry in source.tables:
        out.print(f"{entry.name}: {rows[entry.name]:,} rows", markup=False)
    out.print(_content.build_on_dev(f"source:{name}+"), markup=False)


def load(name: str, files: Sequence[str], *, replace: bool, direct: bool) -> None:
    """Load files, or what is new.

    Raises:
        LocError: there is no such source, or a file was refused.
    """
    from proto_loc.cli import pipeline
    from proto_loc.sources import find_source

    find_source(name)
    pipeline.load([name, *files], replace=replace, direct=direct)


def remove(name: str, *, ask: bool) -> None:
    """Remove the files, models and loads of a source that ``loc source add`` wrote.

    Raises:
        LocError: it was not written so, or something else uses it; nothing is removed.
    """
    from proto_loc import sources
    from proto_loc.warehouse import lake

    listed = writing.noted(ROOT, name)
    if not listed:
        sources.find_source(name)
        raise UsageError(
            f"pipelines/{name} was not written by `loc source add`.",
            f"{writing.NOTE.format(name)}, which lists what was written, is absent.",
            "Delete its files yourself, then run `loc refresh`.",
        )
    present = [path for path in listed if (ROOT / path).is_file() and not _shared(path, listed)]
    edited = [path for path in writing.changed(ROOT, listed) if path in present]
    loads = [load for load in lake.loads() if load.source == name]
    out.print(
        f"{len(present)} files of {name} and {len(loads)} loads with"
        f" {sum(load.rows for load in loads):,} rows are removed.",
        markup=False,
    )
    for path in edited:
        out.print(f"  {path} was changed since it was written", markup=False)
    keep = settings().data / "removed" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    out.print(f"The files are kept in {keep}.", markup=False)
    if ask:
        _content.confirm("Remove them?")
    with _content.generated_files_return(), writing.removed(ROOT, present, keep):
        _content.forget(name)
        try:
            _content.generate()
        except LocError as error:
            raise LocError(
                f"{name} is still in use; nothing was removed.",
                f"{error.what} {error.why}",
                "Change or remove that file first.",
            ) from error
    for path in secrets_of(name):
        path.unlink(missing_ok=True)
    if loads:
        with sources.loading(who=f"loc source remove {name}") as session:
            session.retire(loads)
    if any((ROOT / "dbt/models").rglob("*.sql")):
        _content.publish(lambda report: [], f"loc source remove {name}")
    else:
        _content.publish_nothing(f"loc source remove {name}")
    _content.tell_services()
    out.print(f"The source {name} is removed.", markup=False)


def _shared(path: str, listed: dict[str, str]) -> bool:
    """Whether a file is the time spine, and metrics of other files need it."""
    if not path.startswith("dbt/models/marts/time_spine_daily."):
        return False
    pages = (ROOT / "dbt/models").rglob("*.yml")
    others = [page for page in pages if str(page.relative_to(ROOT)) not in listed]
    return any("semantic_models:" in page.read_text() for page in others)
