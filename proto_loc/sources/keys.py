"""Finds the key and the partition of a table in its rows."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import duckdb

from proto_loc.sources import Table
from proto_loc.sources.reading import partition_values
from proto_loc.sql import identifier

_KEY_NAME = re.compile(r"(?i)(^id$|_id$|^id_|_key$|^key$|code$|_no$|number$|num$|uuid$)")
_WHOLE = re.compile(r"(?i)(u?(tiny|small|big|huge)?int|integer|varchar|uuid|decimal\(\d+,0\))")
_TIME = re.compile(r"(?i)(date|timestamp)")


def find_key(con: duckdb.DuckDBPyConnection, table: Table) -> tuple[str, ...]:
    """Columns of ``all_rows`` without null that tell its rows apart; empty if there are none.

    One column is tried first, those with a name such as ``order_id`` before others, and then an
    identifier with a time.
    """
    rows = con.execute("select count(*) from all_rows").fetchone()[0]
    if rows < 2:
        return ()
    for key in islice(_candidates(con, table, rows), 40):
        names = ", ".join(map(identifier, key))
        repeated = f"select 1 from all_rows group by {names} having count(*) > 1 limit 1"
        if not con.execute(repeated).fetchone():
            return key
    return ()


def _candidates(
    con: duckdb.DuckDBPyConnection, table: Table, rows: int
) -> Iterator[tuple[str, ...]]:
    kinds = {c: k for c, k in table.columns.items() if _WHOLE.match(k) or _TIME.match(k)}
    if not kinds:
        return
    counts = ", ".join(
        f"count({identifier(c)}), approx_count_distinct({identifier(c)})" for c in kinds
    )
    numbers = con.execute(f"select {counts} from all_rows").fetchone()
    distinct = {
        column: numbers[2 * place + 1]
        for place, column in enumerate(kinds)
        if numbers[2 * place] == rows
    }
    whole = [column for column in distinct if _WHOLE.match(kinds[column])]
    singles = [column for column in whole if distinct[column] > rows / 2]
    first = next(iter(table.columns))
    own = re.compile(rf"(?i)({re.escape(table.name.rstrip('s'))}_?(id|key|code|no|number))$|^id$")
    singles.sort(
        key=lambda column: (
            not own.match(column), column != first, not _KEY_NAME.search(column)
        )
    )  # fmt: skip
    yield from ((column,) for column in singles if column == first or _KEY_NAME.search(column))
    whole = [column for column in whole if distinct[column] > 1]
    times = [column for column in distinct if _TIME.match(kinds[column])]
    named = [column for column in whole if column == first or _KEY_NAME.search(column)]
    texts = [c for c in whole if kinds[c] == "VARCHAR" and c not in named]
    for time in sorted(times, key=lambda column: -distinct[column]):
        for column in [*named, *texts]:
            if distinct[column] * distinct[time] > rows / 2:
                yield column, time
    for place, column in enumerate(named):
        for other in named[place + 1 :]:
            if distinct[column] * distinct[other] > rows / 2:
                yield column, other


def find_partition(
    con: duckdb.DuckDBPyConnection, table: Table, paths: Sequence[Path]
) -> tuple[str, ...]:
    """What a new file may replace, the proposal first, as :attr:`Table.partition` says it."""
    months: list[str] = []
    apart: list[str] = []
    for column, kind in table.columns.items():
        if not _TIME.match(kind):
            continue
        name = identifier(column)
        nulls, count, in_several = con.execute(
            f"select (select count(*) - count({name}) from all_rows), count(*),"
            " count(*) filter (files > 1) from (select count(distinct _file) as files"
            f" from all_rows where {name} is not null group by strftime({name}, '%Y-%m'))"
        ).fetchone()
        if nulls == 0 and 0 < count <= 240:
            months.append(f"month:{column}")
            if not in_several:
                apart.append(f"month:{column}")
    months = [*apart, *(month for month in months if month not in apart)]
    dated = re.search(r"(19|20)\d\d", paths[0].name)
    if partition_values(paths[0]):
        return ("file", *(months if len(paths) == 1 else apart))
    if len(paths) > 1:
        return (*apart, "file")
    return (*months, "file", "") if dated and months else ("", "file", *months)
