"""Reads and restores dlt's own records of cursors and schemas (in dlt's child)."""

from pathlib import Path

DATASET = "data"
FOLDERS = ("_dlt_pipeline_state", "_dlt_version")
"""Folders in the dataset where dlt's filesystem destination keeps states and schemas."""
MADE = ("_dlt_loads/init", "init")
"""Files by which dlt recognises a dataset that it has made."""


def restore(out: Path, state: dict[str, str]) -> None:
    """Write the records of the last fetch, from which dlt restores its state."""
    for name, text in state.items():
        path = out / DATASET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in MADE if state else ():
        path = out / DATASET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def result(folder: Path, pipeline, source) -> dict:
    """The files, the tables and the records of a complete fetch."""
    tables, parents, hints = {}, {}, {}
    data = folder / "out" / DATASET
    schema = pipeline.default_schema
    for name, table in schema.tables.items():
        if name.startswith("_dlt_"):
            continue
        files = sorted(str(path.relative_to(folder)) for path in (data / name).glob("*.parquet"))
        if files:
            tables[name] = files
        if table.get("parent"):
            parents[name] = table["parent"]
        columns = table.get("columns", {})
        hints[name] = {
            "key": [c for c, column in columns.items() if column.get("primary_key")],
            "cursor": "",
            "name": name,
            "names": {},
        }
    for resource in source.selected_resources.values():
        name = schema.naming.normalize_tables_path(str(resource.table_name))
        hint = hints.setdefault(name, {"key": [], "cursor": ""})
        hint["name"] = resource.name
        columns = resource.columns if isinstance(resource.columns, dict) else {}
        hint["names"] = {schema.naming.normalize_identifier(name): name for name in columns}
        if resource.incremental and resource.incremental.incremental:
            path = resource.incremental.incremental.cursor_path
            hint["cursor"] = schema.naming.normalize_identifier(path)
    return {"tables": tables, "parents": parents, "hints": hints, "state": _newest(data)}


def _newest(data: Path) -> dict[str, str]:
    """The newest record of each pipeline and schema; older ones are not needed."""
    newest: dict[tuple[str, str], tuple[float, Path]] = {}
    for folder in FOLDERS:
        for path in (data / folder).glob("*.jsonl"):
            name, load, _ = path.stem.rsplit("__", 2)
            entry = float(load), path
            newest[folder, name] = max(newest.get((folder, name), entry), entry)
    return {
        str(path.relative_to(data)): path.read_text(encoding="utf-8") for _, path in newest.values()
    }
