"""All files of a new source: declaration, models, dashboard, notebook, filters of its tests."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from proto_loc.scaffold import dashboards, models
from proto_loc.scaffold.declaration import declaration, formatted
from proto_loc.scaffold.labels import with_own_labels
from proto_loc.scaffold.names import title
from proto_loc.scaffold.notebook import notebook
from proto_loc.scaffold.plan import Mart
from proto_loc.scaffold.staged import Staged


def texts(
    name: str,
    tables: Sequence[Staged],
    marts: Sequence[Mart],
    *,
    code: str,
    owner: str,
    root: Path,
    files: Mapping[str, str],
) -> dict[str, str]:
    """Text of each file of a source by its path in the clone.

    Args:
        code: the declaration, where a source of files does not do.
        owner: who owns the dashboard.
        root: the clone, whose dbt project may have a time spine, and has labels of metrics.
        files: name of the first file of each table of files.
    """
    marts = with_own_labels(marts, root)
    made = {
        f"pipelines/{name}/__init__.py": (
            formatted(code) if code else declaration(name, title(name), [t.table for t in tables])
        )
    }
    made |= models.models(name, list(tables), list(marts))
    if not has_time_spine(root):
        made |= models.time_spine()
    first = marts[0]
    made |= dashboards.dashboard(name, title(name), subject(first), owner)
    made[f"notebooks/{name}.ipynb"] = notebook(title(name), first)
    made[f"tests/{name}/filters.yml"] = _filters(marts, files)
    return made


def has_time_spine(root: Path) -> bool:
    """Whether a model of the project is the time spine of the metrics."""
    pages = [*(root / "dbt/models").rglob("*.yml"), *(root / "dbt/models").rglob("*.yaml")]
    return any("time_spine:" in page.read_text() for page in pages)


def subject(mart: Mart) -> dashboards.Subject:
    """What the dashboard of a mart shows."""
    count, *others = mart.measures
    figure = next((m for m in others if m.aggregation in ("sum", "average")), None)
    facts = mart.time.facts
    return dashboards.Subject(
        model=mart.model,
        semantic=mart.semantic,
        label=title(mart.staged.name),
        count=(count.name, count.label),
        figure=(figure.name, figure.label) if figure else None,
        time=mart.time.name if mart.has_date else "",
        days=dashboards.days_between(facts.minimum, facts.maximum) if mart.has_date else 0,
        category=(mart.category.name, title(mart.category.name)) if mart.category else None,
    )


def _filters(marts: Sequence[Mart], files: Mapping[str, str]) -> str:
    """Two filters for each semantic model, with which tests/parity asks every tool."""
    lines = ["# Two filters for each semantic model, under which tests/parity asks every metric."]
    for mart in marts:
        facts = mart.time.facts
        days = dashboards.days_between(facts.minimum, facts.maximum)
        start, end = date(2000, 1, 1), date(2100, 1, 1)  # for the time of the load
        if mart.has_date and days >= 0 and str(facts.minimum)[:10].count("-") == 2:
            start = date.fromisoformat(str(facts.minimum)[:10])
            end = start + timedelta(days=max(days // 2, 1))
        # A value of a joined table may be in no row of the mart.
        texts = sorted((c for c in mart.dimensions if c.is_text), key=lambda c: bool(c.expression))
        column = next(iter(texts), None)
        value = next(iter(column.facts.samples), "") if column else ""
        value = value or files.get(mart.staged.table.name, "")
        name = models.dimension(mart, column) if column else ""
        lines += [
            f"{mart.semantic}:",
            f"  between: [{models.dimension(mart, mart.time)}, {start}, {end}]",
            f"  equals: [{name}, {models.quoted_in_flow(value)}]",
        ]
    return "\n".join(lines) + "\n"
