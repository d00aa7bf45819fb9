"""Writes the dbt part of a source: source, staging models, marts, metrics, time spine."""

import json
from collections.abc import Iterable

from proto_loc.scaffold.names import GRAINS, title
from proto_loc.scaffold.plan import Join, Mart, Measure
from proto_loc.scaffold.staged import FILE, Column, Staged

RECORDED = 2
"""The most dimensions by which a publish records the metrics."""


def models(name: str, tables: list[Staged], marts: list[Mart]) -> dict[str, str]:
    """Text of each file of the dbt project, by its path in the clone."""
    staging, folder = f"dbt/models/staging/{name}", "dbt/models/marts"
    texts = {f"{staging}/{name}.yml": _sources(name, tables)}
    for table in tables:
        texts[f"{staging}/{table.model}.sql"] = _staging(name, table)
        texts[f"{staging}/{table.model}.yml"] = _staging_page(table)
    for mart in marts:
        texts[f"{folder}/{mart.model}.sql"] = _mart(mart)
        texts[f"{folder}/{mart.model}.yml"] = _mart_page(mart)
        texts[f"{folder}/{mart.model}.metrics.yml"] = _metrics(mart)
    return texts


def time_spine() -> dict[str, str]:
    """The days that MetricFlow needs, for a project that has none."""
    return {
        "dbt/models/marts/time_spine_daily.sql": (
            "with days as (\n\n    {{ loc_days('1970-01-01', '2069-12-31') }}\n\n),\n\n"
            "final as (\n\n    select date_day\n    from days\n\n)\n\nselect * from final\n"
        ),
        "dbt/models/marts/time_spine_daily.yml": (
            "version: 2\n\nmodels:\n  - name: time_spine_daily\n"
            "    description: One row per day, from 1970 to 2069; the time spine of the metrics.\n"
            "    time_spine:\n      standard_granularity_column: date_day\n    columns:\n"
            "      - name: date_day\n        description: The day.\n        granularity: day\n"
            "        data_tests: [unique, not_null]\n"
        ),
    }


def quoted(text: str) -> str:
    """A text as a YAML scalar, quoted where it needs to be."""
    plain = text and all(c.isalnum() or c in " _.,()'`/-" for c in text) and text[0].isalpha()
    words = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
    if plain and text.strip() == text and text.lower() not in words:
        return text
    return json.dumps(text, ensure_ascii=False)


def quoted_in_flow(text: str) -> str:
    """A text as a YAML scalar between brackets or braces, where a comma ends it."""
    return json.dumps(text, ensure_ascii=False) if "," in text else quoted(text)


def _sources(name: str, tables: list[Staged]) -> str:
    lines = ["version: 2", "", "sources:", f"  - name: {name}"]
    lines += [f"    description: The tables of {name} as loaded.", "    database: raw"]
    lines += [f"    schema: {name}", "    tables:"]
    for table in tables:
        lines.append(f"      - name: {quoted(table.table.name)}")
        text = table.table.description or table.grain
        lines.append(f"        description: {quoted(text)}")
        if table.table.rejects:
            lines.append(f"      - name: {table.table.name}_rejects")
            lines.append("        description: One row per record that breaks the declaration.")
    return "\n".join(lines) + "\n"


def _cte(name: str, *lines: str) -> str:
    body = "\n".join(f"    {line}" if line else "" for line in lines)
    return f"{name} as (\n\n{body}\n\n)"


def _select(columns: Iterable[str], *lines: str) -> list[str]:
    listed = list(columns)
    parts = [f"    {column}," for column in listed[:-1]] + [f"    {listed[-1]}"]
    first = ["select", *parts] if len(listed) > 1 else [f"select {listed[0]}"]
    return [*first, *lines]


def _sql(*ctes: str) -> str:
    return f"with {(',' + chr(10) + chr(10)).join(ctes)}\n\nselect * from final\n"


def _staging(name: str, table: Staged) -> str:
    columns = [
        f"{column.expression} as {column.name}" if column.expression else column.name
        for column in table.columns
    ]
    columns += [f"{column} as {column[1:]}" for column in table.lake]
    source = f"select * from {{{{ source('{name}', '{table.table.name}') }}}}"
    return _sql(_cte(table.alias, source), _cte("final", *_select(columns, f"from {table.alias}")))


def _staging_page(table: Staged) -> str:
    lines = ["version: 2", "", "models:", f"  - name: {table.model}"]
    lines.append(f"    description: {quoted(table.grain)}")
    lines += [*_key_test(table, table.model), "    columns:"]
    for column in table.columns:
        lines += [f"      - name: {column.name}"]
        lines += [f"        description: {quoted(column.description)}"]
        lines += _tests(table, column)
    lines += ["      - name: loaded_at", "        description: When the row was loaded, UTC."]
    if FILE in table.lake:
        lines += ["      - name: source_file"]
        lines += ["        description: Name of the file that the row came from."]
    return "\n".join(lines) + "\n"


def _tests(table: Staged, column: Column) -> list[str]:
    if column.name not in table.key:
        return []
    tests = "[unique, not_null]" if len(table.key) == 1 else "[not_null]"
    return [f"        data_tests: {tests}"]


def _key_test(table: Staged, model: str) -> list[str]:
    """A key of several columns is tested as one value."""
    if len(table.key) < 2:
        return []
    return [
        "    data_tests:",
        "      - unique:",
        f"          name: unique_{model}_key",
        "          arguments:",
        f"            column_name: row({', '.join(table.key)})",
    ]


def _mart(mart: Mart) -> str:
    table = mart.staged
    imports = {table.alias: table.model}
    for join in mart.joins:
        imports[join.staged.alias] = join.staged.model
    ctes = [
        _cte(alias, f"select * from {{{{ ref('{model}') }}}}") for alias, model in imports.items()
    ]
    columns = [_chosen(table, column, bool(mart.joins)) for column in mart.columns]
    joins = [line for join in mart.joins for line in _join(table, join)]
    select = _select(columns, f"from {table.alias}", *joins)
    return _sql(*ctes, _cte("final", *select))


def _chosen(table: Staged, column: Column, joined: bool) -> str:
    """A column of the mart: of its own table, or renamed from a joined one."""
    expression = column.expression or (f"{table.alias}.{column.name}" if joined else column.name)
    same = expression.rpartition(".")[2] == column.name
    return expression if same else f"{expression} as {column.name}"


def _join(table: Staged, join: Join) -> list[str]:
    name = join.staged.alias
    named = name if join.alias == name else f"{name} as {join.alias}"
    conditions = [f"{table.alias}.{here} = {join.alias}.{there}" for here, there in join.on]
    if len(conditions) == 1:
        line = f"left join {named} on {conditions[0]}"
        return [line] if len(line) < 96 else [f"left join {named}", f"    on {conditions[0]}"]
    first, *others = conditions
    return [
        f"left join {named}",
        "    on",
        f"        {first}",
        *(f"        and {condition}" for condition in others),
    ]


def _mart_page(mart: Mart) -> str:
    table = mart.staged
    joined = ", ".join(dict.fromkeys(join.staged.name for join in mart.joins))
    text = f"{table.grain[:-1]}{f', with the columns of {joined}' if joined else ''}."
    lines = ["version: 2", "", "models:", f"  - name: {mart.model}"]
    lines += [f"    description: {quoted(text)}", "    config:"]
    lines += ["      contract: {enforced: true}", *_key_test(table, mart.model)]
    lines.append("    columns:")
    own = {column.name for column in table.columns}
    for column in mart.columns:
        lines += [f"      - name: {column.name}"]
        lines += [f"        description: {quoted(column.description)}"]
        lines += [f"        data_type: {column.type.lower().replace(', ', ',')}"]
        lines += _tests(table, column) if column.name in own else []
    return "\n".join(lines) + "\n"


def _metrics(mart: Mart) -> str:
    table = mart.staged
    recorded = [c for c in mart.dimensions if c.is_text and 0 < c.facts.distinct <= 50][:RECORDED]
    names = ", ".join(dimension(mart, column) for column in recorded)
    lines = [
        f"# The metrics of {mart.model}. After a change: `loc generate`. See docs/metrics.md.",
        "version: 2",
        "",
        "semantic_models:",
        f"  - name: {mart.semantic}",
        f"    label: {quoted(title(table.name))}",
        f"    description: {quoted(table.grain)}",
        f"    model: ref('{mart.model}')",
        f"    defaults: {{agg_time_dimension: {dimension(mart, mart.time)}}}",
        f"    primary_entity: {mart.semantic}_row",
        *(["    config:", "      meta:", f"        record_by: [{names}]"] if names else []),
        "",
        "    dimensions:",
        *_dimension(mart, mart.time, "time"),
    ]
    for column in mart.dimensions:
        lines += _dimension(mart, column, "categorical")
    lines += ["", "    measures:"]
    lines += [measure_line(measure) for measure in mart.measures]
    lines += ["", "metrics:"]
    lines += ["\n\n".join(metric_block(measure) for measure in mart.measures)]
    return "\n".join(lines) + "\n"


def measure_line(measure: Measure) -> str:
    """A line of ``measures:``, indented as in a new file."""
    of = quoted_in_flow(measure.expression)
    return f"      - {{name: {measure.name}_rows, agg: {measure.aggregation}, expr: {of}}}"


def metric_block(measure: Measure) -> str:
    """The lines of a simple metric, indented as in a new file."""
    return "\n".join([
        f"  - name: {measure.name}",
        f"    label: {quoted(measure.label)}",
        f"    description: {quoted(measure.description)}",
        "    type: simple",
        f"    type_params: {{measure: {measure.name}_rows}}",
        f"    config: {{meta: {measure.shown}}}",
    ])  # fmt: skip


def dimension(mart: Mart, column: Column) -> str:
    """Name of a column's dimension, which may not be that of a grain of MetricFlow."""
    return f"{mart.staged.name}_{column.name}" if column.name in GRAINS else column.name


def _dimension(mart: Mart, column: Column, kind: str) -> list[str]:
    name = dimension(mart, column)
    return [
        f"      - name: {name}",
        f"        label: {quoted(title(column.name))}",
        f"        description: {quoted(column.description)}",
        *([f"        expr: {column.name}"] if name != column.name else []),
        f"        type: {kind}",
        *(["        type_params: {time_granularity: day}"] if kind == "time" else []),
    ]
