"""Names for sources, tables and columns that dbt, Cube, Superset and Python accept unquoted."""

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache

import duckdb

from proto_loc.errors import UsageError

GRAINS = {
    *("nanosecond", "microsecond", "millisecond", "second", "minute", "hour"),
    *("day", "week", "month", "quarter", "year", "metric_time", "dimension", "entity"),
}
"""Names that MetricFlow reserves: a column may have one, a dimension may not."""

OF_THE_PLATFORM = {"main", "raw", "prod", "sample", "information_schema", "pg_catalog"}
"""Schemas and words that a source cannot be named after."""


@cache
def reserved() -> frozenset[str]:
    """Words that are no name of a column without quotes, in SQL, Python or YAML."""
    words = duckdb.execute(
        "select keyword_name from duckdb_keywords()"
        " where keyword_category in ('reserved', 'type_function')"
    ).fetchall()
    python = {word.lower() for word in keyword.kwlist}
    yaml = {"yes", "no", "on", "off", "null"}  # there, these are no texts
    return frozenset({word for (word,) in words} | python | yaml)


def clean(text: str, suffix: str = "value") -> str:
    """Return a name of lower-case letters, digits and single underscores.

    Args:
        suffix: follows a word that is reserved or has a single letter.
    """
    text = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    text = text.encode("ascii", "ignore").decode()
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", text)
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not name:
        return suffix
    if name[0].isdigit():
        name = f"{suffix}_{name}"
    return f"{name}_{suffix}" if name in reserved() or len(name) == 1 else name


def unique(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Number the names that repeat, or that are taken: ``name``, ``name_2``."""
    known, made = set(taken), []
    for name in names:
        candidate, number = name, 2
        while candidate in known:
            candidate, number = f"{name}_{number}", number + 1
        known.add(candidate)
        made.append(candidate)
    return made


def title(name: str) -> str:
    """A name as a label: ``dep_time`` as *Dep time*."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def source_name(text: str) -> str:
    """The name of a source: of its folder, its schema, and the beginning of its models' names.

    Raises:
        UsageError: it is empty, or a word that Python, SQL or the platform needs.
    """
    name = clean(text, "source") if re.search(r"[A-Za-z]", text) else ""
    taken = name in (sys.stdlib_module_names | set(dir(builtins)) | reserved() | OF_THE_PLATFORM)
    if not name or taken or (name.endswith("_source") and not text.lower().endswith("source")):
        raise UsageError(
            f"A source cannot be named {text!r}.",
            "Its name is that of a Python package and of a schema: it begins with a letter, and is"
            " none of the words of Python, SQL or the platform.",
            f"Choose another one, such as {name or 'my'}_data.",
        )
    return name
