"""A small published sample on both engines, and publishes of tables that belong together."""

import math
import os
import re
import subprocess
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from proto_loc import warehouse
from proto_loc.settings import ROOT

ROWS = 20_000


def loc(*arguments: str, ok: bool = True, **variables: str) -> str:
    """Run ``loc`` as a person does, and return what it prints; ``ok``: it must not fail."""
    done = subprocess.run(
        [ROOT / "loc", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def publish_pair(number: int, who: str = "pair") -> warehouse.Version:
    """Publish ``marts.one`` and ``marts.two``, which have the same number in the same session."""
    with warehouse.write("prod", who=who) as session, session.connect() as con:
        write_pair(con, number)
    return session.version


def write_pair(con, number: int) -> None:
    con.execute("create schema if not exists marts")
    for table in ("marts.one", "marts.two"):
        con.execute(f"drop table if exists {table}")
        con.execute(f"create table {table} as select {number} as number")


class Double(float):
    """Equal to another one that differs in its last digits, as sums do by their order.

    Bug: both were rounded, so that two values beside the border of a rounding were different.
    """

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Double) and math.isclose(self, other, rel_tol=1e-9)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:  # rows are sorted by it
        return f"{float(self):.9g}"


def plain(item: object) -> object:
    """A value as both engines mean it, to be compared by ``==``; the same in a text with a number.
    Decimals become texts.
    """
    if isinstance(item, float):
        return Double(item) if math.isfinite(item) else str(item)
    if isinstance(item, dict):
        return {key: plain(one) for key, one in item.items()}
    if isinstance(item, list | tuple):
        return [plain(one) for one in item]
    if isinstance(item, str) and re.fullmatch(r"-?\d+\.\d+", item):
        return Double(item)
    return str(item) if isinstance(item, bool | Decimal) else item


def sorted_rows(rows: Iterable) -> list:
    """Rows in an order that is the same for both engines, as :func:`plain` writes them."""
    return sorted(map(plain, rows), key=repr)


def files_of(folder: Path) -> set[str]:
    """Names of all files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
