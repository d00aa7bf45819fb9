"""Reads what is published: versions, their changes, sources, metrics, marts."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.home.schema import Change, Database, Mart, Metric, Problem, Table, Version
from proto_loc.metrics.marts import marts
from proto_loc.metrics.read import read
from proto_loc.sources import Load, declared_tables
from proto_loc.sources.state import TableState
from proto_loc.warehouse import VersionDamaged, lake, store

Report = Callable[[Problem], None]


def problem(part: str, error: LocError) -> Problem:
    """An error as a problem."""
    return Problem(part, "fail", error.what, error.why, error.fix)


def databases(report: Report) -> list[Database]:
    """Both published databases; what is damaged is reported, and the others are read."""
    return [_database(name, report) for name in warehouse.DATABASES]


def _database(name: str, report: Report) -> Database:
    serving = None
    try:
        serving = store.current_id(name)
        if serving is not None:
            store.current(name).verify()
    except LocError as error:
        report(problem("warehouse", error))
    kept = [_version(name, number, serving) for number in reversed(store.versions(name))]
    return Database(name, serving, kept, _changes(kept))


def _version(name: str, number: int, serving: int | None) -> Version:
    try:
        manifest = store.load(name, number)
    except VersionDamaged as damage:
        return Version(number, number == serving, damage.why, "", "", None, None, "", [], {}, 0, {})
    why = ""
    try:
        manifest.verify()
    except VersionDamaged as damage:
        why = damage.why
    return Version(
        id=number,
        current=number == serving,
        damage=why,
        published_at=manifest.published_at,
        who=manifest.who,
        based_on=manifest.based_on,
        git_revision=manifest.git_revision,
        run=manifest.facts.get("run_id", ""),
        dbt_invocations=manifest.facts.get("dbt_invocations", []),
        tables=manifest.tables,
        bytes=manifest.bytes,
        checks=manifest.checks,
    )


def _changes(kept: list[Version]) -> list[Change] | None:
    """The current version against the one that it was made from, by their manifests alone."""
    by_id = {version.id: version for version in kept}
    current = next((version for version in kept if version.current), None)
    if current is None or not current.published_at:
        return None
    if current.based_on is not None and current.based_on not in by_id:
        return None
    before = by_id[current.based_on].tables if current.based_on is not None else {}
    return [
        Change(table, before.get(table), current.tables.get(table))
        for table in sorted(before.keys() | current.tables.keys())
        if before.get(table) != current.tables.get(table)
    ]


def tables(prod: warehouse.Version | None, report: Report) -> list[Table]:
    """Every declared table, and every other one that has loads.

    Raises:
        VersionDamaged: raw cannot be read.
    """
    active = lake.loads()
    try:
        declared = declared_tables()
    except LocError as error:  # the code of a source is broken, but its loads are known
        report(problem("sources", error))
        declared = {}
    facts = prod.facts if prod else {}
    at = datetime.now(UTC).replace(tzinfo=None)
    by_table: dict[tuple[str, str], list[Load]] = {key: [] for key in declared}
    for load in active:
        by_table.setdefault((load.source, load.table_name), []).append(load)
    for (source, name), table in declared.items():
        if table.rejects:  # they are rows of the table itself, which its runner put aside
            by_table.pop((source, f"{name}_rejects"), None)
    rows = []
    for (source, name), loads in sorted(by_table.items()):
        table = declared.get((source, name))
        state = TableState(source, table, tuple(loads), at) if table else None
        aside = [
            load
            for load in active
            if table and table.rejects and load.source == source
            if load.table_name == f"{name}_rejects"
        ]
        row = _table(source, name, [*loads, *aside], state, facts)
        rows.append(row)
        for fault in filter(None, (row.small, row.stale)):
            fix = f"./loc load {source} FILES"
            report(Problem("sources", "warn", f"{source}.{name}: {fault}", "", fix))
    return rows


def _table(
    source: str, name: str, loads: list[Load], state: TableState | None, facts: dict
) -> Table:
    built, by_load = set(facts.get("load_ids", ())), facts.get("outcomes", {})
    outcomes = [by_load[str(load.load_id)] for load in loads if str(load.load_id) in by_load]
    reasons: Counter[str] = Counter()
    for outcome in outcomes:
        reasons.update({reason: rows for reason, rows in outcome.items() if reason != "accepted"})
    within = state.table.fresh_within if state else None
    newest = max((load.loaded_at for load in loads), default=None)
    return Table(
        source=source,
        table=name,
        declared=state is not None,
        loads=len(loads),
        rows=sum(load.rows for load in loads),
        synthetic=sum(load.rows for load in loads if load.origin == "synthetic"),
        newest=f"{newest.isoformat()}+00:00" if newest else None,
        fresh_within=within.total_seconds() if within else None,
        stale=state.stale if state else "",
        small=state.small if state else "",
        unpublished=sum(load.rows for load in loads if load.load_id not in built),
        audited=bool(outcomes),
        accepted=sum(outcome.get("accepted", 0) for outcome in outcomes) if outcomes else None,
        rejected=reasons.total() if outcomes else None,
        reasons=dict(reasons.most_common()),
    )


def manifest(prod: warehouse.Version | None) -> dict | None:
    """dbt's manifest of a version; None if nothing was built."""
    path = prod and prod.folder / "dbt" / "manifest.json"
    return json.loads(Path(path).read_text()) if path and path.exists() else None


def metrics(prod: warehouse.Version, project: dict) -> list[Metric]:
    """Every metric with its total figure, mart by mart.

    Raises:
        MetricError: a definition is not supported.
    """
    figures = prod.facts.get("metrics", {})
    return [
        Metric(
            name=metric.name,
            label=metric.label,
            description=metric.description,
            mart=(mart := f"{model.schema}.{model.table}"),
            figure=(figure := figures.get(mart, {}).get(metric.name)),
            shown="-" if figure is None else metric.format.text(figure),
        )
        for model in read(project)
        for metric in model.metrics
    ]


def lineage(prod: warehouse.Version, project: dict, defined: list[Metric]) -> list[Mart]:
    """Every mart, with the raw tables and seeds from which it is made."""
    rows = []
    for node_id in sorted(marts(project), key=lambda name: project["nodes"][name]["alias"]):
        node = project["nodes"][node_id]
        name = f"{node['schema']}.{node['alias']}"
        ancestors = set(_ancestors(node_id, project["parent_map"]))
        sources = [
            f"{source['source_name']}.{source['name']}"
            for unique_id, source in project["sources"].items()
            if unique_id in ancestors
        ]
        seeds = [
            project["nodes"][unique_id]["name"]
            for unique_id in ancestors
            if unique_id.startswith("seed.")
        ]
        rows.append(
            Mart(
                name=name,
                node=node_id,
                description=" ".join(node["description"].split()),
                rows=prod.tables.get(name),
                sources=[*sorted(sources), *sorted(seeds)],
                models=sum(unique_id.startswith("model.") for unique_id in ancestors),
                metrics=[metric.name for metric in defined if metric.mart == name],
            )
        )
    return rows


def _ancestors(node: str, parents: dict[str, list[str]]) -> Iterator[str]:
    waiting, seen = [node], {node}
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
                yield parent
