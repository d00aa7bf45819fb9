"""Decides what the models of a new source are: columns, joins, time, metrics, dimensions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from proto_loc.scaffold.names import title, unique
from proto_loc.scaffold.staged import FILE, MANY, Column, Staged, stage
from proto_loc.sources.inspection import Inspection

NOT_MEASURED = {
    *("id", "key", "code", "number", "no", "nr", "num", "zip", "postcode", "phone", "version"),
    *("year", "month", "day", "hour", "minute", "second", "week", "quarter", "date", "time"),
    *("lat", "lon", "lng", "latitude", "longitude", "rank", "index", "row", "sort", "flag"),
}
"""Words in the name of a number that is no quantity."""
ADDITIVE = {
    *("amount", "total", "cost", "costs", "revenue", "sales", "quantity", "qty", "units", "count"),
    *("distance", "duration", "miles", "minutes", "seconds", "hours", "bytes", "volume", "paid"),
    *("net", "gross", "tax", "fee", "fees", "payment", "betrag", "menge", "umsatz", "montant"),
}
"""Words in the name of a quantity whose sum has a meaning; of others the average is taken."""
GENERIC = {"id", "key", "code", "number", "uuid", "name"}
"""Names of a key that say nothing of its table, so that equal names mean nothing."""
FEW = 50
"""The most values of a text by which a chart or a publish groups."""


@dataclass(frozen=True)
class Join:
    """A dimension table whose key a fact-like table has."""

    staged: Staged
    on: tuple[tuple[str, str], ...]
    """Pairs of a column of the fact-like table and a column of the key."""
    alias: str
    columns: tuple[tuple[str, Column], ...] = ()
    """Column of the dimension table, and the column that it is in the mart."""


@dataclass(frozen=True)
class Measure:
    """A metric of a mart."""

    name: str
    label: str
    description: str
    aggregation: str
    expression: str
    shown: str
    """The content of ``config.meta``, as YAML."""


@dataclass(frozen=True)
class Mart:
    """The wide mart of a fact-like table."""

    staged: Staged
    joins: tuple[Join, ...]
    columns: tuple[Column, ...]
    time: Column
    has_date: bool
    """False where the time is only that of the load."""
    dimensions: tuple[Column, ...]
    category: Column | None
    """The text by which the first chart groups."""
    measures: tuple[Measure, ...]

    @property
    def model(self) -> str:
        return f"mart_{self.staged.source}_{self.staged.name}"

    @property
    def semantic(self) -> str:
        """Name of the semantic model, and of its dataset and cube."""
        return f"{self.staged.source}_{self.staged.name}"


def _parents(table: Staged, tables: Iterable[Staged]) -> list[Join]:
    parent = getattr(table.table, "parent", "")
    return [
        Join(other, ((f"{other.name}_row", f"{other.name}_row"),), other.alias)
        for other in tables
        if parent and other.table.name == parent
    ]


def joins_by_name(fact: Staged, tables: Iterable[Staged]) -> list[Join]:
    """The tables whose whole key is a part of this table's columns, by name and type."""
    own = {column.name: column for column in fact.columns}
    joins = []
    for other in tables:
        if other is fact or not other.key or len(other.columns) == len(other.key):
            continue  # it has no key, or nothing to add
        if len(other.key) == 1 and other.key[0] in GENERIC:
            named = _reference(other, own)
        elif set(other.key) == set(fact.key):
            continue
        else:
            named = {name: name for name in other.key}
        pairs = [(own.get(here), other.column(there)) for here, there in named.items()]
        if pairs and all(here and _alike(here, there) for here, there in pairs):
            joins.append(Join(other, tuple(named.items()), other.alias))
    return joins


def _reference(other: Staged, own: Mapping[str, Column]) -> dict[str, str]:
    """The column that names a table and its key: ``customer_id`` is ``id`` of customers."""
    (key,) = other.key
    one = re.sub(r"s$", "", re.sub(r"(?<=ss|ch|sh)es$", "", re.sub(r"ies$", "y", other.name)))
    names = [name for name in (f"{one}_{key}", f"{other.name}_{key}") if name in own]
    return {names[0]: key} if names else {}


def _alike(one: Column, other: Column) -> bool:
    kinds = [
        "number" if column.is_number else "time" if column.is_time else column.type
        for column in (one, other)
    ]
    return kinds[0] == kinds[1]


def plan(
    name: str, inspection: Inspection, by_value: Mapping[str, list[Join]] | None = None
) -> tuple[list[Staged], list[Mart]]:
    """Return the staged tables and the marts of a source.

    Args:
        by_value: joins by values, by table, of :mod:`proto_loc.scaffold.values`.
    """
    tables = stage(name, inspection)
    joins = {
        table.name: [
            *_parents(table, tables),
            *joins_by_name(table, tables),
            *(by_value or {}).get(table.name, []),
        ]
        for table in tables
    }
    used = {join.staged.name for entries in joins.values() for join in entries}
    marts = [
        _mart(table, joins[table.name])
        for table in tables
        if table.columns and (table.name not in used or _is_fact_like(table))
    ]
    return tables, sorted(marts, key=lambda mart: (-mart.staged.rows, -len(mart.joins)))


def _is_fact_like(table: Staged) -> bool:
    return any(c.is_time for c in table.columns) and _quantity(table, []) is not None


def _mart(table: Staged, joins: list[Join]) -> Mart:
    columns = [replace(column, expression="") for column in table.columns]
    made = []
    for join in joins:
        role = join.alias
        if len(join.on) == 1:
            role = re.sub(r"_(id|key|code|no|nr|row)$", "", join.on[0][0])
        inside = {there for _, there in join.on}
        others = [column for column in join.staged.columns if column.name not in inside]
        wanted = [c.name if c.name.startswith(f"{role}_") else f"{role}_{c.name}" for c in others]
        taken = [*(column.name for column in columns), "loaded_at", "source_file"]
        of_mart = [
            replace(
                column,
                name=mart_name,
                expression=f"{join.alias}.{column.name}",
                description=f"{column.description[:-1]}, by"
                f" {', '.join(here for here, _ in join.on)}.",
            )
            for column, mart_name in zip(others, unique(wanted, taken), strict=True)
        ]
        made.append(
            replace(join, columns=tuple(zip([c.name for c in others], of_mart, strict=True)))
        )
        columns += of_mart
    time = _time(table)
    has_date = time is not None
    if time is None:
        time = Column(
            "loaded_at", "TIMESTAMP", "When the row was loaded, UTC; the data has no date."
        )
        columns.append(time)
    dimensions = _dimensions(table, columns, time)
    if not any(column.is_text for column in dimensions) and FILE in table.lake:
        file = Column("source_file", "VARCHAR", "Name of the file that the row came from.")
        columns.append(file)
        dimensions = (*dimensions, file)
    return Mart(
        table, tuple(made), tuple(columns), time, has_date, dimensions,
        _category(dimensions, joins), _measures(table, joins, time, dimensions),
    )  # fmt: skip


def _time(table: Staged) -> Column | None:
    column = table.table.partition_column
    own = {c.name: c for c in table.columns if c.is_time and c.facts.nulls < max(table.rows, 1)}
    if column in own:
        return own[column]
    return min(own.values(), key=lambda c: c.facts.nulls, default=None)


def _dimensions(table: Staged, columns: list[Column], time: Column) -> tuple[Column, ...]:
    def fits(column: Column) -> bool:
        if column.name == time.name or table.key == (column.name,):
            return False
        few = column.facts.distinct <= FEW
        is_code = column.is_number and few and bool(_words(column.name) & NOT_MEASURED)
        return is_code or (column.is_text and column.facts.distinct <= MANY)

    return tuple(column for column in columns if fits(column))


def _category(dimensions: tuple[Column, ...], joins: list[Join]) -> Column | None:
    """A text with few values; the name in a dimension table rather than the code of it."""
    codes = {here for join in joins for here, _ in join.on}
    few = [c for c in dimensions if c.is_text and 2 <= c.facts.distinct <= FEW]
    order = lambda c: (c.name in codes, c.facts.distinct > FEW // 4, c.facts.distinct > FEW // 2)  # noqa: E731
    return min(few, key=order, default=None)


def _words(name: str) -> set[str]:
    return set(name.split("_"))


def _quantity(table: Staged, joins: list[Join]) -> Column | None:
    """The number that the second metric is about."""
    codes = {here for join in joins for here, _ in join.on} | set(table.key)
    numbers = [
        c
        for c in table.columns
        if c.is_number and c.name not in codes and not _words(c.name) & NOT_MEASURED
    ]
    order = lambda c: (  # noqa: E731
        not _words(c.name) & ADDITIVE,
        c.is_whole or not c.type.startswith("DECIMAL"),  # money first
    )
    return min(numbers, key=order, default=None)


def _measures(
    table: Staged, joins: list[Join], time: Column, dimensions: tuple[Column, ...]
) -> tuple[Measure, ...]:
    start, rows = f"{table.source}_{table.name}", title(table.name)
    of = table.key[0] if len(table.key) == 1 else "1"
    count = Measure(
        f"{start}_count", rows, f"Rows of {table.name}.", "count", of, "{format: count}"
    )
    number = _quantity(table, joins)
    if number is not None:
        whole = number.is_whole
        if _words(number.name) & ADDITIVE:
            name, label = f"{start}_total_{number.name}", f"Total {title(number.name).lower()}"
            text, aggregation = f"Sum of {number.name}.", "sum"
            shown = "{format: number, decimals: 0}" if whole else "{format: number}"
        else:
            name, label = f"{start}_average_{number.name}", f"Average {title(number.name).lower()}"
            text = f"Average of {number.name}, over the rows that have one."
            aggregation, shown = "average", "{format: number}"
        return count, Measure(name, label, text, aggregation, number.name, shown)
    texts = [c for c in dimensions if c.is_text and c.name != "source_file"]
    counted = next(iter(texts), time)
    words = f"Different values of {counted.name}."
    name, label = f"{start}_{counted.name}_values", f"Different {title(counted.name).lower()}"
    return count, Measure(name, label, words, "count_distinct", counted.name, "{format: count}")
