"""Steps on the readers: Superset, Cube, a notebook and the AI show the warehouse's figures."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from proto_loc.cube.client import Cube, Question
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.jupyter.client import Kernel
from proto_loc.metrics import figures as recorded
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.superset.client import Person
from proto_loc.validate import figures, rows
from proto_loc.validate.figures import Key
from proto_loc.validate.proof import Proof, fail, skip

MOST_ROWS = 10_000
CELL = """
import json
from proto_loc import warehouse
from proto_loc.cube.client import Cube, Question
from proto_loc.metrics.figures import text

with warehouse.read("prod") as _con:
    _rows = {{
        name: [
            [dimension, value, *(None if figure is None else text(figure) for figure in figures)]
            for dimension, value, *figures in _con.execute(sql).fetchall()
        ]
        for name, sql in {queries!r}.items()
    }}
_totals = {{}}
with Cube() as _cube:
    _meta = _cube.meta()
    for _names in {asked!r}:
        for _row in _cube.load(Question(tuple(_names)).query(_meta), _meta).rows:
            _totals |= {{name: None if v is None else str(v) for name, v in _row.items()}}
print(json.dumps([_rows, _totals]))
"""
"""What the notebook runs: every figure on the published file, and the totals from Cube."""


def dashboards(proof: Proof) -> Iterator[Finding]:
    """Compare each chart of each dashboard with its SQL on the published file."""
    if "superset" not in proof.ready:
        yield skip("Superset is not ready: its dashboards were not asked")
        return
    if not proof.prod.tables:
        yield skip("Dashboards show nothing, as there is no published data yet")
        return
    with Person() as person, proof.prod.open() as con:
        shown = person.items("dashboard")
        if not shown:
            yield skip("There is no dashboard", "", "docs/dashboards.md shows how to make one.")
        for dashboard in shown:
            title, number, wrong = dashboard["dashboard_title"], 0, 0
            for chart in person.call("GET", f"dashboard/{dashboard['id']}/charts")["result"]:
                proof.say(f"{title}: {chart['slice_name']}")
                number += 1
                for finding in _chart(person, con, chart):
                    wrong += finding.status == "fail"
                    yield Finding(
                        finding.status, f"{title}: {finding.what}", finding.why, finding.fix
                    )
            if not wrong:
                yield ok(f"{title}: {number} charts show what the warehouse has")


def _chart(person: Person, con, chart: dict) -> Iterator[Finding]:
    """Compare the rows of a chart's queries, before a page arranges them, with the file's."""
    title = chart["slice_name"]
    saved = person.call("GET", f"chart/{chart['id']}")["result"]["query_context"]
    if not saved:
        if (chart.get("form_data") or {}).get("viz_type") in ("markdown", "handlebars"):
            return
        yield Finding(
            "warn",
            f"the chart {title!r} was not compared",
            "It was never saved in a browser, so that Superset's API does not know its query.",
            "Open it in Superset and save it.",
        )
        return
    context = json.loads(saved)
    context["result_type"] = "full"
    for query in context["queries"]:
        query["post_processing"] = []
    try:
        for answer in person.chart_data(context):
            expected = con.execute(answer.sql).fetchall()
            if why := rows.difference(answer.rows, expected):
                yield fail(
                    f"the chart {title!r} does not show the warehouse's figures.",
                    f"{why[0].upper()}{why[1:]}.",
                    "./loc restart superset; it must show the published version.",
                )
    except LocError as error:
        yield fail(f"the chart {title!r} is not answered.", f"{error.what} {error.why}", error.fix)


def datasets(proof: Proof) -> Iterator[Finding]:
    """Compare the metrics of Superset's datasets with the warehouse."""
    if "superset" not in proof.ready or not has_figures(proof):
        yield unasked(proof, "superset", "Superset")
        return
    shown: dict[Key, object] = {}
    with Person() as person:
        tables = {(item["schema"], item["table_name"]): item for item in person.items("dataset")}
        for model in measured(proof):
            dataset = tables.get((model.schema, model.table))
            if dataset is None:
                yield fail(
                    f"Superset has no dataset of {model.schema}.{model.table}.",
                    f"The metrics of {model.name} cannot be shown.",
                    "./loc generate, then ./loc superset provision",
                )
                continue
            time = person.call("GET", f"dataset/{dataset['id']}")["result"]["main_dttm_col"]
            for dimension in ("", *proof.expected.dimensions[model.name]):
                proof.say(f"{model.label} by {dimension or 'nothing'}")
                shown |= _of_dataset(person, dataset["id"], model, dimension, time)
    yield from _compared(proof, "Superset", shown)


def _of_dataset(
    person: Person, dataset: int, model: SemanticModel, dimension: str, time: str
) -> dict[Key, object]:
    columns = []
    if dimension == "month":
        columns = [
            {
                "columnType": "BASE_AXIS",
                "expressionType": "SQL",
                "label": "by",
                "sqlExpression": time,
                "timeGrain": "P1M",
            }
        ]
    elif dimension:
        columns = [{"expressionType": "SQL", "label": "by", "sqlExpression": dimension}]
    metrics = [metric.name for metric in model.metrics]
    answer = person.ask(dataset, metrics=metrics, columns=columns, row_limit=MOST_ROWS)
    shown: dict[Key, object] = {}
    for row in answer.rows:
        value = row.get("by") if dimension else ""
        if dimension == "month" and value is not None:
            value = str(datetime.fromtimestamp(int(value) / 1000, UTC).date())
        for name in metrics:
            shown[model.name, name, dimension, _text(value)] = row[name]
    return shown


def cube(proof: Proof) -> Iterator[Finding]:
    """Compare Cube's metrics with the warehouse."""
    if "cube" not in proof.ready or not has_figures(proof):
        yield unasked(proof, "cube", "Cube")
        return
    shown: dict[Key, object] = {}
    with Cube() as connection:
        meta = connection.meta()
        for model in measured(proof):
            names = {f"{model.name}.{metric.name}": metric.name for metric in model.metrics}
            for dimension in ("", *proof.expected.dimensions[model.name]):
                proof.say(f"{model.label} by {dimension or 'nothing'}")
                by = f"{model.time.name}:month" if dimension == "month" else dimension
                question = Question(tuple(names), (by,) if by else ())
                answer = connection.load(question.query(meta), meta)
                own = answer.columns[0].name if dimension else ""
                own = f"{model.name}.{model.time.name}.month" if dimension == "month" else own
                for row in answer.rows:
                    value = row[own] if own else ""
                    if dimension == "month" and value is not None:
                        value = str(value)[:10]
                    for name, metric in names.items():
                        shown[model.name, metric, dimension, _text(value)] = row[name]
    yield from _compared(proof, "Cube", shown)


def notebook(proof: Proof) -> Iterator[Finding]:
    """Compare what a notebook's kernel reads from the file and from Cube with the warehouse."""
    if "jupyter" not in proof.ready or not has_figures(proof):
        yield unasked(proof, "jupyter", "JupyterLab")
        return
    models = measured(proof)
    queries = {model.name: recorded.query(model) for model in models}
    asked = [[f"{model.name}.{metric.name}" for metric in model.metrics] for model in models]
    proof.say("a kernel of JupyterLab")
    with Kernel() as kernel:
        printed = kernel.run(
            CELL.format(queries=queries, asked=asked if "cube" in proof.ready else [])
        )
    from_file, totals = json.loads(printed)
    shown = {
        (model.name, metric, dimension, value): figure
        for model in models
        for metric, dimension, value, figure in recorded.rows(model, from_file[model.name])
    }
    yield from _compared(proof, "Notebook", shown)
    if totals:
        by_cube = {
            (model, metric, "", ""): figure
            for (model, _, metric), figure in (
                (name.partition("."), figure) for name, figure in totals.items()
            )
        }
        wrong = figures.differences(proof.expected, by_cube, [(model.name, "") for model in models])
        if wrong:
            yield fail("A notebook gets other figures from Cube.", figures.listed(wrong))
        else:
            yield ok(f"A notebook gets the same {len(by_cube)} totals from Cube")


def _compared(proof: Proof, tool: str, shown: dict[Key, object]) -> Iterator[Finding]:
    """Compare a tool's figures with the warehouse, and record its totals."""
    proof.record(
        tool, {metric: figure for (_, metric, name, _), figure in shown.items() if not name}
    )
    if proof.prod.id != proof.expected.version:
        yield skip(
            f"Version {proof.prod.id} was published meanwhile: {tool} was not compared",
            "Somebody else publishes while this runs.",
            "Run it again.",
        )
        return
    wrong = figures.differences(proof.expected, shown)
    if wrong:
        yield fail(
            f"{tool} does not show the warehouse's figures.",
            figures.listed(wrong),
            "./loc generate --check compares the definitions; ./loc status shows what is served.",
        )
    else:
        number = sum(figure is not None for figure in shown.values())
        yield ok(f"{tool} shows the same {number:,} figures as the warehouse")


def measured(proof: Proof) -> list[SemanticModel]:
    """The semantic models that have metrics."""
    return [model for model in proof.models if model.metrics]


def has_figures(proof: Proof) -> bool:
    """Whether there is a figure to compare."""
    return proof.expected is not None and bool(proof.expected.figures)


def unasked(proof: Proof, service: str, name: str) -> Finding:
    """The finding that says why a tool was not asked."""
    if service not in proof.ready:
        return skip(f"{name} is not ready: it was not asked")
    return skip("There is no figure to compare", "No metric has data yet.", "")


def _text(value: object) -> str | None:
    """The value of a dimension as DuckDB casts it to text."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
