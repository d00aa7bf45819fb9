"""Column types of DuckDB as those of Trino's Iceberg tables, and back."""

from sqlglot import exp

from proto_loc.sql import identifier

_KINDS = {
    exp.DataType.Type.TINYINT: "integer",
    exp.DataType.Type.SMALLINT: "integer",
    exp.DataType.Type.UTINYINT: "integer",
    exp.DataType.Type.USMALLINT: "integer",
    exp.DataType.Type.UINT: "bigint",
    exp.DataType.Type.UBIGINT: "decimal(20, 0)",
    exp.DataType.Type.INT128: "decimal(38, 0)",
    exp.DataType.Type.UINT128: "decimal(38, 0)",
    exp.DataType.Type.FLOAT: "real",
    exp.DataType.Type.DOUBLE: "double",
    exp.DataType.Type.TEXT: "varchar",
    exp.DataType.Type.VARCHAR: "varchar",
    exp.DataType.Type.CHAR: "varchar",
    exp.DataType.Type.JSON: "varchar",
    exp.DataType.Type.ENUM: "varchar",
    exp.DataType.Type.BINARY: "varbinary",
    exp.DataType.Type.VARBINARY: "varbinary",
    exp.DataType.Type.TIME: "time(6)",
    exp.DataType.Type.TIMESTAMP: "timestamp(6)",
    exp.DataType.Type.TIMESTAMPNTZ: "timestamp(6)",
    exp.DataType.Type.TIMESTAMP_S: "timestamp(6)",
    exp.DataType.Type.TIMESTAMP_MS: "timestamp(6)",
    exp.DataType.Type.TIMESTAMP_NS: "timestamp(6)",
    exp.DataType.Type.TIMESTAMPTZ: "timestamp(6) with time zone",
}
"""Types without a part, of which Iceberg has fewer than DuckDB: whole numbers of 32 and 64 bits, no
unsigned ones, and times in microseconds."""
_NONE = {exp.DataType.Type.INTERVAL, exp.DataType.Type.TIMETZ, exp.DataType.Type.UNKNOWN}
_NOT_AS_THEY_ARE = {
    *(exp.DataType.Type.JSON, exp.DataType.Type.UINT, exp.DataType.Type.UBIGINT),
    exp.DataType.Type.TIMESTAMP_NS,
}
"""Types of which Trino does not register Parquet's values, or rounds them."""


def of_duckdb(kind: str) -> str:
    """The type of a column in Trino, such as ``row("a" bigint)`` for ``STRUCT(a BIGINT)``.

    Raises:
        ValueError: Iceberg has no type that holds all of its values.
    """
    return _written(exp.DataType.build(kind, dialect="duckdb"), kind)


def _written(kind: exp.DataType, whole: str) -> str:
    if kind.is_type(exp.DataType.Type.ARRAY, exp.DataType.Type.LIST):
        return f"array({_written(kind.expressions[0], whole)})"
    if kind.is_type(exp.DataType.Type.MAP):
        key, value = (_written(part, whole) for part in kind.expressions)
        return f"map({key}, {value})"
    if kind.is_type(exp.DataType.Type.STRUCT):
        fields = (
            f"{field.this.sql('trino', identify=True)} {_written(field.args['kind'], whole)}"
            for field in kind.expressions
        )
        return f"row({', '.join(fields)})"
    if kind.this in _NONE:
        raise ValueError(f"Iceberg has no type for {whole}")
    return _KINDS.get(kind.this) or kind.sql("trino").lower()


def in_copies(kind: str) -> str:
    """The type of DuckDB that a column of a Parquet file has to have before Trino can register the
    file; empty if that is its own.

    Args:
        kind: DuckDB's type of the column.
    """
    parts = exp.DataType.build(kind, dialect="duckdb").find_all(exp.DataType)
    if any(part.this in _NOT_AS_THEY_ARE for part in parts):
        return of_trino(of_duckdb(kind))
    return ""


def of_trino(kind: str) -> str:
    """The type of a column in DuckDB, such as ``TIMESTAMP`` for ``timestamp(6)``."""
    return exp.DataType.build(kind, dialect="trino").sql("duckdb")


def of_iceberg(kind: str | dict) -> str:
    """The type of a column in Trino, such as ``bigint`` for ``long``, as Trino writes it.

    Args:
        kind: the type in a metadata file of Iceberg (specification, appendix C).
    """
    if isinstance(kind, str):
        # decimal(9, 2) is decimal(9,2) in Trino.
        return _OF_ICEBERG.get(kind.partition("[")[0]) or kind.replace(" ", "")
    match kind["type"]:
        case "list":
            return f"array({of_iceberg(kind['element'])})"
        case "map":
            return f"map({of_iceberg(kind['key'])}, {of_iceberg(kind['value'])})"
        case _:
            fields = (
                f"{identifier(field['name'])} {of_iceberg(field['type'])}"
                for field in kind["fields"]
            )
            return f"row({', '.join(fields)})"


_OF_ICEBERG = {
    "int": "integer",
    "long": "bigint",
    "float": "real",
    "time": "time(6)",
    "timestamp": "timestamp(6)",
    "timestamptz": "timestamp(6) with time zone",
    "string": "varchar",
    "binary": "varbinary",
    "fixed": "varbinary",  # fixed[16]
}
"""Types of Iceberg that have another name in Trino."""
