"""Moves ``prod`` from one engine to another: builds it there, and compares before it publishes."""

import math

from proto_loc import warehouse
from proto_loc.dbt import relations
from proto_loc.dbt.failures import BuildFailed
from proto_loc.dbt.histories import snapshot_tables
from proto_loc.sql import batches, identifier, values
from proto_loc.warehouse.engine import Engine, Relation

ALIKE = 1e-9
"""Relative difference of two doubles that were added up in another order."""


class Moving:
    """A move of the version that is served to another engine.

    Args:
        source: the version.
        engine: where it goes.
    """

    def __init__(self, source: warehouse.Version, engine: Engine) -> None:
        self.source, self.engine = source, engine

    def begin(self, session: warehouse.Session, raw: warehouse.Version, manifest: dict) -> None:
        """Empty the session, and copy the tables of snapshots, which no build can make again.

        Raises:
            BuildFailed: ``raw`` has other loads than the version was built from, or a column of a
                snapshot has a type that the engine lacks.
        """
        if self.source.facts.get("load_ids") != raw.facts["load_ids"]:
            raise BuildFailed(
                "prod is not built from what raw holds now.",
                "What is built on the other engine could not be compared with it.",
                f"Run `loc refresh` with LOC_ENGINE={self.source.engine} first; nothing was moved.",
            )
        with session.connect() as con, self.source.open() as old:
            relations.remove(session, con, keep=set(), rebuild=set())
            for schema, name in snapshot_tables(self.source):
                columns = self.source.columns()[f"{schema}.{name}"]
                try:
                    session.engine.create(con, Relation(schema, name, "table"), columns)
                    rows = old.execute(f"select * from {identifier(schema, name)}").fetchall()
                    for some in batches(rows):
                        con.execute(f"insert into {identifier(schema, name)} values {values(some)}")
                except (ValueError, TypeError, session.engine.error) as error:
                    raise BuildFailed(
                        f"The snapshot {schema}.{name} cannot be moved to {session.engine.title}.",
                        f"{error}.",
                        "Nothing was moved. Leave that column out of the snapshot, or stay with"
                        f" LOC_ENGINE={self.source.engine}.",
                    ) from error

    def compare(self, session: warehouse.Session) -> None:
        """Compare the rows of every table, every outcome and metric with the source.

        Raises:
            BuildFailed: something differs; the message names it.
        """
        different = []
        # Trino has no upper case in names.
        tables = {table.lower(): rows for table, rows in self.source.tables.items()}
        with session.connect() as con:
            for schema, name, _ in session.engine.relations(con):
                before = tables.pop(f"{schema}.{name}".lower(), None)
                if before is None:
                    continue  # a view on one of the engines
                (after,) = con.execute(
                    f"select count(*) from {identifier(schema, name)}"
                ).fetchone()
                if before != after and (schema, name) not in _OWN:
                    different.append(f"{schema}.{name} has {after:,} rows instead of {before:,}")
        different += [f"{table} is missing" for table in tables]
        old, new = self.source.facts, session.facts
        if old.get("outcomes") != new["outcomes"]:
            different.append("rows were accepted or rejected for other reasons")
        for mart, metrics in old.get("metrics", {}).items():
            for name, figure in metrics.items():
                found = new["metrics"].get(mart, {}).get(name)
                if not _alike(figure, found):
                    different.append(f"the metric {name} of {mart} is {found} instead of {figure}")
        if different:
            raise BuildFailed(
                f"{session.engine.title} gives other results than {self.source.keeper.title}:"
                f" {len(different)} differ.",
                "; ".join(different[:10]) + ".",
                f"Nothing was moved; version {self.source.id} is served. docs/portable-sql.md says"
                " what both engines read in the same way.",
            )


_OWN = (("marts", "publication"),)
"""Tables with what a publish says of itself."""


EXACT = 6
"""Digits after the point up to which the text of a figure is that of an exact number."""


def _alike(one: object, other: object) -> bool:
    """Compare two figures; those of money are texts, of an exact number or of a double."""
    if isinstance(one, str) and isinstance(other, str):
        are_doubles = max(len(text.partition(".")[2]) for text in (one, other)) > EXACT
    else:
        are_doubles = isinstance(one, float) and isinstance(other, int | float)
    return math.isclose(float(one), float(other), rel_tol=ALIKE) if are_doubles else one == other
