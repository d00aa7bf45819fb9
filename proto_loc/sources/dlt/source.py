"""The runner of sources that dlt fetches; it implements :class:`proto_loc.sources.Source`."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from proto_loc.errors import LocError, SourceError, UsageError
from proto_loc.settings import settings
from proto_loc.sources import Outcome, Report, Table, loading
from proto_loc.sources.dlt import package as packages
from proto_loc.sources.dlt import program, state
from proto_loc.sources.dlt.adoption import adopt
from proto_loc.sources.dlt.columns import stored_tables
from proto_loc.sources.dlt.declaration import POLICIES, Code, DltTable, Rest, Sql
from proto_loc.sources.dlt.package import Package
from proto_loc.sources.dlt.state import State
from proto_loc.warehouse import lake, store

log = logging.getLogger("proto_loc.sources")


class DltSource:
    """A source that dlt fetches into a private folder, from where the lake adopts its files."""

    sample_rows = None

    def __init__(
        self,
        name: str,
        tables: Sequence[DltTable],
        fetch: Sql | Rest | Code,
        schema: str = "evolve",
    ) -> None:
        """Declare a source.

        Args:
            name: the name of its folder in ``pipelines/``.
            tables: the tables, with the columns that dlt writes.
            fetch: where its rows are: ``Sql``, ``Rest`` or ``Code``.
            schema: what happens to a column, or a list in a row, that is not declared: ``evolve``
                adds it to raw, ``freeze`` refuses the fetch, ``discard`` leaves it out.

        Raises:
            ValueError: the policy is unknown, a parent is not among the tables, or a table that
                is fetched by a cursor would be replaced by its new rows.
        """
        if schema not in POLICIES:
            raise ValueError(f"source {name}: schema {schema!r} is none of {POLICIES}")
        names = {table.name for table in tables}
        for table in tables:
            if table.parent and table.parent not in names:
                raise ValueError(f"table {table.name}: its parent {table.parent} is not declared")
        if isinstance(fetch, Sql):
            _check_cursors(name, tables, fetch)
        self.name = name
        self.declared = tuple(tables)
        self.where = fetch
        self.schema = schema
        self._stored: tuple[object, list[Table]] = (None, [])

    @property
    def tables(self) -> list[Table]:
        """The declared tables, and the columns and lists that evolved, as the current raw has them.

        The lake adds columns to each.
        """
        version = store.current_id("raw")
        known = None
        if version is not None:
            path = settings().warehouse / "raw/versions" / store.dirname(version) / "raw.duckdb"
            known = path, path.stat().st_mtime_ns if path.exists() else 0
        if known is None or self._stored[0] != known:
            self._stored = known, stored_tables(self.declared, state.current(self.name))
        return self._stored[1]

    def fits(self, path: Path) -> bool:
        """No file belongs to it."""
        return False

    def pending(self) -> list[Path]:
        """Return the folders of complete packages that wait for their adoption."""
        last = state.current(self.name).package
        return [
            packages.folder(self.name) / package.id
            for package in packages.waiting(self.name)
            if package.base == last
        ]

    def load_files(
        self, paths: Sequence[Path], *, replace: bool = False, who: str, report: Report
    ) -> list[Outcome]:
        raise UsageError(
            f"The source {self.name} takes no files.",
            "It fetches its rows itself.",
            f"Run `loc load {self.name}`.",
        )

    def load_sample(self, rows=None, seed=None, *, who: str, report: Report) -> list[Outcome]:
        raise UsageError(
            f"The source {self.name} has no sample.",
            "It fetches its rows itself.",
            f"Run `loc load {self.name}`.",
        )

    def load_landing(self, *, who: str, report: Report) -> list[Outcome]:
        """Do the same as :meth:`fetch`; if nothing can be fetched, the outcome says why.

        So a server that is down does not keep the other sources from being loaded.
        """
        try:
            return self.fetch(who=who, report=report)
        except (program.FetchError, SourceError) as error:
            reason = " ".join(filter(None, (error.what, error.why))).rstrip(".")
            return [Outcome(None, self.name, skipped=f"{reason[:1].lower()}{reason[1:]}")]

    def fetch(self, *, replace: bool = False, who: str, report: Report) -> list[Outcome]:
        """Fetch what is new, and load it.

        Args:
            replace: forget what was fetched before, and replace it all.

        Raises:
            FetchError: nothing could be fetched; the next fetch starts from the same state.
            LocError: the rows break the declaration; they wait for a changed declaration.
        """
        with packages.exclusive(self.name, settings().lock_timeout) as lock:
            if lock is None:
                raise LocError(
                    f"{self.name} is still being fetched by another process.",
                    f"It took longer than {settings().lock_timeout:g} s.",
                    "Wait for it, then try again; LOC_LOCK_TIMEOUT sets the wait in seconds.",
                )
            outcomes = [] if replace else self._adopt_waiting(who, report)
            packages.sweep(self.name)
            package = self._download(self._start(replace), replace, lock, report)
            outcomes += self._adopt(package, who, report)
            packages.sweep(self.name)
        return outcomes

    def _start(self, replace: bool) -> State:
        """The state from which to fetch; without loads, everything is fetched again."""
        last = state.current(self.name)
        loaded = any(load.source == self.name for load in lake.loads())
        return last if loaded and not replace else State(package=last.package)

    def _download(self, last: State, replace: bool, lock: int, report: Report) -> Package:
        name, folder = packages.begin(self.name)
        report(f"fetching {self.name}", 0, 1)
        try:
            result = program.fetch(
                self.name,
                self.where,
                stored_tables(self.declared, last),
                folder,
                last.files,
                lock=lock,
                report=report,
            )
        except BaseException:
            packages.sweep(self.name)
            raise
        report(f"fetching {self.name}", 1, 1)
        return packages.complete(
            self.name,
            Package(name, last.package, replace, result.tables, result.parents, result.state),
        )

    def _adopt_waiting(self, who: str, report: Report) -> list[Outcome]:
        """Adopt a package that was complete when its process was killed."""
        last = state.current(self.name).package
        for package in packages.waiting(self.name):
            if package.base == last:
                log.warning("%s: adopting what was fetched before an interruption", self.name)
                return self._adopt(package, who, report)
        return []

    def _adopt(self, package: Package, who: str, report: Report) -> list[Outcome]:
        report(f"loading {self.name}", 0, 1)
        with loading(who=who) as session:
            outcomes = adopt(self.name, self.declared, self.schema, package, session)
        report(f"loading {self.name}", 1, 1)
        return outcomes


def _check_cursors(source: str, tables: Sequence[DltTable], fetch: Sql) -> None:
    """Refuse a cursor for a table whose rows the next fetch would replace by the few new ones.

    Raises:
        ValueError: there is such a table.
    """
    modes = {table.name.replace("_", ""): table.mode for table in tables}
    modes |= {table.name: table.mode for table in tables}
    for name, cursor in fetch.tables.items():
        plain = re.sub(r"\W|_", "", name).lower()  # dlt writes OrderItems as order_items
        if cursor and modes.get(name, modes.get(plain)) == "replace":
            raise ValueError(
                f"source {source}: the table {name} is fetched by {cursor}, so each fetch has only"
                ' new rows: its mode must be "upsert" or "append"'
            )
