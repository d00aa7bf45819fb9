"""Writes the declaration of a source, ``pipelines/NAME/__init__.py``."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from proto_loc.errors import LocError
from proto_loc.sources import Table
from proto_loc.sources.formats import Format


def declaration(name: str, title: str, tables: Sequence[Table]) -> str:
    """Write the Python of a source of files."""
    parts = [f'"""{title}, from files; `loc source add` wrote this, and it is yours."""', ""]
    formats = any(table.format != Format() for table in tables)
    days = any(table.fresh_within for table in tables)
    parts += ["from datetime import timedelta\n"] if days else []
    parts += [f"from proto_loc.sources import {'Format, ' if formats else ''}Table"]
    parts += ["from proto_loc.sources.files import FileSource", ""]
    for table in tables:
        columns = ", ".join(f"{column!r}: {kind!r}" for column, kind in table.columns.items())
        parts.append(f"{_constant(table)} = {{{columns},}}")
    entries = ", ".join(_table(table) for table in tables)
    parts += ["", f"SOURCE = FileSource(name={name!r}, tables=({entries},),)", ""]
    return formatted("\n".join(parts))


def formatted(text: str) -> str:
    """The text as ruff formats it, with the settings of the clone.

    Raises:
        LocError: it is not Python.
    """
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(
        [Path(sys.executable).parent / "ruff", "format", "--stdin-filename", "source.py", "-"],
        cwd=root,
        input=text,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise LocError(
            "The declaration of the source cannot be written.",
            done.stderr.strip(),
            "Report it as an issue of this repository, with the names of the columns.",
        )
    lines = done.stdout.splitlines()
    return "\n".join(f"{line}  # noqa: E501" if len(line) > 100 else line for line in lines) + "\n"


def _constant(table: Table) -> str:
    name = table.name.upper()
    return f"{name}_COLUMNS" if name == "SOURCE" else name


def _table(table: Table) -> str:
    """Write a table with its options that differ from the default."""
    parts = [repr(table.name), _constant(table)]
    for option in fields(Table)[2:]:
        value = getattr(table, option.name)
        default = Format() if option.name == "format" else option.default
        if value != default:
            parts.append(f"{option.name}={_value(value)}")
    return f"Table({', '.join(parts)})"


def _value(value: object) -> str:
    if isinstance(value, timedelta):
        return f"timedelta(seconds={value.total_seconds():g})"
    if isinstance(value, Format):
        options = (
            f"{option.name}={_value(chosen)}"
            for option in fields(Format)
            if (chosen := getattr(value, option.name)) != getattr(Format(), option.name)
        )
        return f"Format({', '.join(options)})"
    return repr(dict(value)) if hasattr(value, "items") else repr(value)
