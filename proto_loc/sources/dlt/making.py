"""Makes the dlt source of a job (in dlt's child)."""

import importlib
from typing import Any

from proto_loc.settings import ROOT

TYPES = {"VARCHAR": "text", "JSON": "json"}
"""DuckDB type → dlt type, for types that dlt would take for others. Numbers and times are cast when
the lake adopts them, and refused if that loses anything."""

DRIVERS = {
    "postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2",
    "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql",
}  # fmt: skip
"""Kind of database → its driver of golden.toml, which SQLAlchemy does not take by itself."""


def make(job: dict):
    """Return the source of a job, with the hints that the declaration gives."""
    source = {"Sql": sql, "Rest": rest, "Code": code}[job["kind"]](job)
    for resource in source.selected_resources.values():
        resource.apply_hints(write_disposition="append")
        name = source.schema.naming.normalize_tables_path(str(resource.table_name))
        table = job["tables"].get(name)
        if table and table["key"] and job["kind"] != "Sql":
            _number(resource)
            if not table["appends"]:
                _see_twice(resource)
        if table and job["kind"] != "Sql":
            types = {c: TYPES[kind] for c, kind in table["columns"].items() if kind in TYPES}
            hints = {
                c: {"data_type": kind} for c, kind in types.items() if not c.startswith("_dlt")
            }
            resource.apply_hints(columns=hints)
    if job["limit"]:
        source.add_limit(job["limit"])
    return source


def sql(job: dict):
    import dlt
    from dlt.sources.sql_database import sql_database

    where = job["where"]
    source = sql_database(
        database_url(job["secrets"][where["dsn"]]),
        schema=where["schema"] or None,
        table_names=list(where["tables"]) or None,
        backend="pyarrow",
        reflection_level="full_with_precision",
        type_adapter_callback=_wide,
    )
    for name, cursor in where["tables"].items():
        if cursor:
            # Rows at the last value are fetched again, since others may have got it meanwhile.
            # With append, dlt leaves out those that it knows; else the key decides.
            table = job["tables"].get(source.schema.naming.normalize_tables_path(name))
            known = None if table and table["appends"] else ()
            incremental = dlt.sources.incremental(
                cursor, primary_key=known, on_cursor_value_missing="include"
            )
            source.resources[name].apply_hints(incremental=incremental)
    return source


def database_url(dsn: str) -> str:
    """Name the driver that is installed, and the whole path of a file of SQLite."""
    kind, mark, rest = dsn.partition("://")
    kind = DRIVERS.get(kind, kind)
    if kind == "sqlite" and rest.startswith("/") and not rest.startswith("//"):
        path, question, options = rest[1:].partition("?")
        rest = f"/{ROOT / path}{question}{options}"
    return f"{kind}{mark}{rest}"


def rest(job: dict):
    from dlt.sources.rest_api import rest_api_source

    where, secrets = job["where"], job["secrets"]
    client: dict[str, Any] = {"base_url": where["url"], "headers": where["headers"]}
    if where["token"]:
        client["auth"] = {"type": "bearer", "token": secrets[where["token"]]}
    if where["auth"]:
        client["auth"] = {
            name: secrets[value.removeprefix("secret:")] if _is_secret(value) else value
            for name, value in where["auth"].items()
        }
    return rest_api_source(
        {"client": client, "resources": list(where["resources"])}, name=job["source"]
    )


def code(job: dict):
    import dlt
    from dlt.extract import DltResource, DltSource

    where = job["where"]
    module, _, function = where["function"].partition(":")
    secrets = {argument: job["secrets"][name] for argument, name in where["secrets"].items()}
    made = getattr(importlib.import_module(module), function)
    if not isinstance(made, DltResource | DltSource) or secrets or where["arguments"]:
        made = made(**where["arguments"], **secrets)
    elif isinstance(made, DltResource):
        made = made()
    if isinstance(made, DltSource):
        return made
    return DltSource(dlt.Schema(job["source"]), job["source"], [made])


def _wide(kind):
    """A decimal for MySQL's ``bigint unsigned``, whose values need not fit into 64 bits."""
    from sqlalchemy import BigInteger, Numeric

    is_unsigned = isinstance(kind, BigInteger) and getattr(kind, "unsigned", False)
    return Numeric(20, 0) if is_unsigned else kind


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and value.startswith("secret:")


def _number(resource) -> None:
    """Number the rows in the order of arrival, so that the last one of a key is known."""
    from proto_loc.sources.dlt.incoming import SEQUENCE

    count = 0

    def number(row):
        nonlocal count
        if isinstance(row, dict):
            count += 1
            return {**row, SEQUENCE: count}
        return row

    resource.add_map(number)


def _see_twice(resource) -> None:
    """Let rows at the last value of the cursor come again: one may have changed meanwhile."""
    incremental = resource.incremental
    if incremental is not None and incremental.primary_key is None:
        incremental.primary_key = ()
