"""Compares two versions of a database: tables, columns, row counts."""

from dataclasses import dataclass

from proto_loc.warehouse import store


@dataclass(frozen=True)
class TableDiff:
    """One table or view in two versions."""

    name: str
    status: str
    """``added``, ``removed``, ``schema``, ``rows`` or ``same``."""
    rows_before: int | None
    """None where the table is absent or its rows were not counted."""
    rows_after: int | None
    columns: tuple[str, ...]
    """Schema changes, each as ``+ name TYPE``, ``- name TYPE`` or ``~ name TYPE -> TYPE``."""


def diff(database: str, before: int, after: int) -> list[TableDiff]:
    """Compare every table and view of two versions, sorted by name.

    Raises:
        UsageError: there is no such version.
        VersionDamaged: one of them cannot be read.
    """
    old, new = store.find(database, before), store.find(database, after)
    old_columns, new_columns = old.columns(), new.columns()
    return [
        _compare(
            name,
            old_columns.get(name),
            new_columns.get(name),
            old.tables.get(name),
            new.tables.get(name),
        )
        for name in sorted(old_columns.keys() | new_columns.keys())
    ]


def _compare(name, before, after, rows_before, rows_after) -> TableDiff:
    if before is None or after is None:
        return TableDiff(name, "removed" if after is None else "added", rows_before, rows_after, ())
    changes = [f"- {c} {t}" for c, t in before.items() if c not in after]
    changes += [f"+ {c} {t}" for c, t in after.items() if c not in before]
    changes += [
        f"~ {c} {t} -> {after[c]}" for c, t in before.items() if c in after and after[c] != t
    ]
    status = "schema" if changes else "rows" if rows_before != rows_after else "same"
    return TableDiff(name, status, rows_before, rows_after, tuple(changes))
