"""Checks the types (mapping, list, text) of the values in a bundle's file, as a first step."""

from collections.abc import Iterator

from proto_loc.superset.bundle.read import Document

TEXT, LIST, MAPPING = "a text or a number", "a list", "a mapping"
ANY = "*"
"""Matches every key of a mapping."""

_PART = [{"column_name": TEXT, "metric_name": TEXT, "expression": TEXT}]
_SHAPES = {
    "databases": {"uuid": TEXT},
    "datasets": {
        "uuid": TEXT,
        "database_uuid": TEXT,
        "schema": TEXT,
        "table_name": TEXT,
        "columns": _PART,
        "metrics": _PART,
    },
    "charts": {
        "uuid": TEXT,
        "dataset_uuid": TEXT,
        "params": {
            "adhoc_filters": [{"subject": TEXT}],
            "column_config": {},
            "conditional_formatting": [{"column": TEXT}],
        },
    },
    "dashboards": {
        "uuid": TEXT,
        "slug": TEXT,
        "metadata": {
            "native_filter_configuration": [
                {
                    "id": TEXT,
                    "name": TEXT,
                    "targets": [{"datasetUuid": TEXT, "column": {"name": TEXT}}],
                    "scope": {"rootPath": [TEXT], "excluded": [TEXT]},
                }
            ],
            "timed_refresh_immune_slices": [TEXT],
            "expanded_slices": {},
            "chart_configuration": {},
            "global_chart_configuration": {"scope": {"excluded": [TEXT]}},
        },
        "position": {
            ANY: {"type": TEXT, "meta": {"uuid": TEXT, "chartId": TEXT}, "children": [TEXT]}
        },
    },
}


def faults(document: Document) -> list[str]:
    """Return one line per value of a file with a wrong type."""
    kind = document.name.partition("/")[0]
    return [
        f"{document.at(*keys)}: {'.'.join(map(str, keys))} must be {shape}"
        for keys, shape in _wrong(document.content, _SHAPES.get(kind, {}), ())
    ]


def _wrong(value: object, shape: object, keys: tuple) -> Iterator[tuple[tuple, str]]:
    if value is None:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield keys, MAPPING
            return
        for key, item in value.items():
            if (inner := shape.get(key, shape.get(ANY))) is not None and not (
                ANY in shape and isinstance(item, str)
            ):
                yield from _wrong(item, inner, (*keys, key))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield keys, LIST
            return
        for number, item in enumerate(value):
            if item is None:
                yield (*keys, number), MAPPING if isinstance(shape[0], dict) else TEXT
            yield from _wrong(item, shape[0], (*keys, number))
    elif isinstance(value, (dict, list)):
        yield keys, TEXT
