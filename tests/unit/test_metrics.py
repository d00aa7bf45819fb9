"""Tests of metric definitions: reading, errors, and generated files."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from proto_loc.ai import context
from proto_loc.cli import _generated_files as files
from proto_loc.cube import process, projection
from proto_loc.cube.client import Question
from proto_loc.dbt import parse, publication
from proto_loc.metrics import figures, formats
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.errors import MetricError
from proto_loc.metrics.expressions import sql, written
from proto_loc.metrics.read import read
from proto_loc.settings import ROOT
from proto_loc.setup import node
from proto_loc.superset import datasets
from proto_loc.validate.figures import compute

METRICS = "dbt/models/marts/mart_taxi_trips.metrics.yml"


@pytest.fixture(scope="session")
def parsed() -> dict:
    return parse.manifest()


@pytest.fixture
def manifest(parsed) -> dict:
    """dbt's manifest of the project, which a test may change."""
    return copy.deepcopy(parsed)


def model(manifest: dict, name: str = "taxi_trips") -> SemanticModel:
    return next(each for each in read(manifest) if each.name == name)


def metric(manifest: dict, name: str = "tip_rate") -> dict:
    return manifest["metrics"][f"metric.proto_loc.{name}"]


def semantic(manifest: dict) -> dict:
    return manifest["semantic_models"]["semantic_model.proto_loc.taxi_trips"]


def measure(manifest: dict, name: str) -> dict:
    return next(each for each in semantic(manifest)["measures"] if each["name"] == name)


def filtered(manifest: dict, template: str) -> None:
    metric(manifest)["filter"]["where_filters"][0]["where_sql_template"] = template


@pytest.mark.parametrize("figure", ["inf", "-inf", "nan"])
def test_an_infinite_figure_is_text_in_a_manifest(parsed, figure):
    """Bug: a double was written as `Infinity`, which is not valid JSON.

    Cube could not read the published version.
    """
    found = model(parsed)
    (rate,) = (each for each in found.metrics if each.name == "tip_rate")
    assert json.dumps(publication._number(found, rate, figure), allow_nan=False) == f'"{figure}"'


def test_what_is_generated_is_what_dbt_defines(parsed):
    assert files.drift(ROOT, read(parsed)) == "", "run `loc generate` and commit its result"


def test_every_metric_has_label_description_and_a_format_of_its_own(parsed):
    names = {each.name for found in read(parsed) for each in found.metrics}
    assert names >= {
        "trips",
        "revenue",
        "average_fare",
        "average_distance",
        "average_duration",
        "tip_rate",
    }
    assert names >= {"revenue_per_mile", "passengers", "rejected_share"}
    for content in parsed["metrics"].values():
        assert (
            content["label"] and content["description"] and "format" in content["config"]["meta"]
        ), content["name"]
    for found in read(parsed):
        assert all(each.label and each.description for each in found.dimensions)


def test_labels_descriptions_and_formats_carry_through(manifest):
    metric(manifest, "revenue")["label"] = "Takings"
    metric(manifest, "revenue")["description"] = "What came in."
    metric(manifest, "revenue")["config"]["meta"] = {
        "format": "money",
        "decimals": 0,
        "currency": "EUR",
    }
    found = model(manifest)
    (measure,) = (each for each in cubes(found)["measures"] if each["name"] == "revenue")
    assert (measure["title"], measure["description"]) == ("Takings", "What came in.")
    assert (measure["format"], measure["currency"]) == ("currency_0", "EUR")
    assert measure["meta"] == {"format": {"kind": "money", "decimals": 0}}
    (shown,) = (each for each in dataset(found)["metrics"] if each["metric_name"] == "revenue")
    assert (shown["verbose_name"], shown["description"], shown["d3format"]) == (
        "Takings",
        "What came in.",
        ",.0f",
    )
    assert shown["currency"] == {"symbol": "EUR", "symbolPosition": "prefix"}


def cubes(found: SemanticModel) -> dict:
    (made,) = yaml.safe_load(projection.project(found))["cubes"]
    return made


def dataset(found: SemanticModel) -> dict:
    return yaml.safe_load(datasets.project(found))


@pytest.mark.parametrize(
    ("meta", "d3", "named"),
    [
        ({}, ",.2f", "number_2"),
        ({"format": "count"}, ",.0f", "number_0"),
        ({"format": "number", "decimals": 4}, ",.4f", "number_4"),
        ({"format": "money"}, ",.2f", "currency_2"),
        ({"format": "percent"}, ",.1%", "percent_1"),
        ({"unit": "mi"}, ",.2f", "number_2"),
        ({"unit": "min", "decimals": 1}, ",.1f", "number_1"),
    ],
    ids=str,
)
def test_display_formats_in_the_words_of_each_door(meta, d3, named):
    found = formats.parse(meta)
    assert (found.d3, found.cube) == (d3, named)


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ({"format": "euros"}, "Its format is 'euros', not one of count, number"),
        ({"format": ["money"]}, "Its format is ['money']"),
        ({"format": "money", "decimals": 7}, "Its decimals are 7"),
        ({"format": "money", "decimals": True}, "Its decimals are True"),
        ({"format": "money", "currency": "Dollar"}, "Its currency is 'Dollar'"),
        ({"currency": "USD"}, "It has a currency, and its format is number"),
        ({"format": "money", "unit": "mi"}, "It has a unit, and its format is money"),
        ({"unit": 3}, "Its unit is 3"),
    ],
    ids=str,
)
def test_a_display_format_that_does_not_exist_is_refused(manifest, meta, why):
    metric(manifest)["config"]["meta"] = meta
    with pytest.raises(MetricError, match=re.escape(why)) as error:
        read(manifest)
    assert f"The metric tip_rate in {METRICS}" in error.value.what


REFUSED = {
    "a kind": (
        lambda m: metric(m).update(type="cumulative"),
        "metric tip_rate",
        "of type cumulative; supported are simple",
    ),
    "another kind": (
        lambda m: metric(m).update(type="conversion"),
        "metric tip_rate",
        "of type conversion",
    ),
    "a kind without measures": (
        lambda m: (
            metric(m).update(type="conversion"),
            metric(m)["type_params"].update(input_measures=[]),
        ),
        "metric tip_rate",
        "of type conversion",
    ),
    "a seed": (
        lambda m: semantic(m)["depends_on"].update(nodes=["seed.proto_loc.vendors"]),
        "semantic model taxi_trips",
        "It is on seed.proto_loc.vendors, which is not a model",
    ),
    "an offset": (
        lambda m: metric(m)["type_params"]["numerator"].update(
            offset_window={"count": 1, "granularity": "month"}
        ),
        "metric tip_rate",
        "input tips has an offset in time",
    ),
    "null filling": (
        lambda m: metric(m, "tips")["type_params"]["measure"].update(fill_nulls_with=0),
        "metric tips",
        "fill_nulls_with",
    ),
    "an aggregation": (
        lambda m: measure(m, "tips").update(agg="median"),
        "semantic model taxi_trips",
        "measure tips aggregates by median; supported are sum, count",
    ),
    "a latest time": (
        lambda m: measure(m, "tips").update(agg="max", expr="pickup_at"),
        "semantic model taxi_trips",
        "measure tips is of the column pickup_at, TIMESTAMP: a figure is a number",
    ),
    "a count under a filter": (
        lambda m: measure(m, "tips").update(agg="count", expr="trip_id"),
        "metric tips",  # tips is an input of tip_rate, which has a filter
        "It counts under a filter (tips): where nothing passes it, MetricFlow has no figure",
    ),
    "a sum of some dates": (
        lambda m: measure(m, "tips").update(non_additive_dimension={"name": "pickup_at"}),
        "semantic model taxi_trips",
        "measure tips has a non_additive_dimension",
    ),
    "another time": (
        lambda m: measure(m, "tips").update(agg_time_dimension="dropoff_at"),
        "semantic model taxi_trips",
        "measure tips has an agg_time_dimension of its own",
    ),
    "a join": (
        lambda m: semantic(m)["entities"].append(
            {"name": "zone", "type": "foreign", "expr": "pickup_zone_id"}
        ),
        "semantic model taxi_trips",
        "entity zone is a foreign key, and there are no joins",
    ),
    "two models": (
        lambda m: metric(m)["type_params"]["input_measures"].append({"name": "rows_loaded"}),
        "metric tip_rate",
        "measures (fares, rows_loaded, tips) are not all of one semantic model",
    ),
    "a partition": (
        lambda m: semantic(m)["dimensions"][1].update(is_partition=True),
        "semantic model taxi_trips",
        "dimension pickup_hour has is_partition",
    ),
    "no such column": (
        lambda m: semantic(m)["dimensions"][1].update(expr="pickup_minute"),
        "semantic model taxi_trips",
        "dimension pickup_hour is the column pickup_minute, which mart_taxi_trips does not have",
    ),
    "a false column": (
        lambda m: semantic(m)["dimensions"][1].update(expr="vendor"),
        "semantic model taxi_trips",
        "dimension pickup_hour has the name of a column, and is not that column",
    ),
    "no contract": (
        lambda m: m["nodes"]["model.proto_loc.mart_taxi_trips"]["config"].update(
            contract={"enforced": False}
        ),
        "semantic model taxi_trips",
        "mart_taxi_trips (dbt/models/marts/mart_taxi_trips.sql) has no enforced contract",
    ),
    "no time": (
        lambda m: semantic(m)["defaults"].update(agg_time_dimension="vendor"),
        "semantic model taxi_trips",
        "has no time dimension",
    ),
    "no such record": (
        lambda m: semantic(m)["config"]["meta"].update(record_by=["zone"]),
        "semantic model taxi_trips",
        "record_by lists 'zone'",
    ),
    "no record at all": (
        lambda m: semantic(m)["config"]["meta"].update(record_by=[["vendor"]]),
        "semantic model taxi_trips",
        "record_by lists ['vendor']",
    ),
    "one name twice": (
        lambda m: metric(m).update(name="vendor"),
        "semantic model taxi_trips",
        "vendor is a metric and a dimension",
    ),
    "a word of Python": (
        lambda m: metric(m).update(name="lambda"),
        "semantic model taxi_trips",
        "lambda is a keyword of Python",
    ),
    "a jinja expression": (
        lambda m: filtered(m, "vendor = '{{ var(\"v\") }}'"),
        "metric tip_rate",
        "it holds '{'",
    ),
    "a jinja statement": (
        lambda m: filtered(m, "{% if true %} true {% endif %}"),
        "metric tip_rate",
        "it holds '{'",
    ),
    "a filter by an entity": (
        lambda m: filtered(m, "{{ Entity('trip') }} = 1"),
        "metric tip_rate",
        "it holds '{'",
    ),
    "a filter over a join": (
        lambda m: filtered(m, "{{ Dimension('zone__borough') }} = 'Queens'"),
        "metric tip_rate",
        "no such dimension: there are no joins",
    ),
    "a filter by a time without grain": (
        lambda m: filtered(m, "{{ Dimension('trip__pickup_at') }} > '2025-01-01'"),
        "metric tip_rate",
        "write TimeDimension",
    ),
    "a grain of what is no time": (
        lambda m: filtered(m, "{{ TimeDimension('trip__vendor', 'day') }} = 1"),
        "metric tip_rate",
        "vendor is not a time dimension",
    ),
    "a comment": (
        lambda m: measure(m, "tips").update(expr="tip_amount -- all"),
        "semantic model",
        "'--', which could end",
    ),
    "a second statement": (
        lambda m: measure(m, "tips").update(expr="1; drop table t"),
        "semantic model",
        "';'",
    ),
    "an open quote": (
        lambda m: measure(m, "tips").update(expr="tip_amount || 'x"),
        "semantic model",
        "is not closed",
    ),
    "an open parenthesis": (
        lambda m: measure(m, "tips").update(expr="abs(tip_amount"),
        "semantic model",
        "do not match",
    ),
    "a closing one": (
        lambda m: measure(m, "tips").update(expr="1) from t where (true"),
        "semantic model",
        "do not match",
    ),
    "a template of Cube": (
        lambda m: measure(m, "tips").update(expr="${SECURITY_CONTEXT.x}"),
        "semantic model",
        "it holds '{', which could be part of a template",
    ),
    "a backslash": (
        lambda m: measure(m, "tips").update(expr="'\\x7b'"),
        "semantic model",
        r"it holds '\\'",
    ),
    "an empty expression": (
        lambda m: measure(m, "tips").update(expr=" "),
        "semantic model",
        "it is empty",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_by_name_and_file(manifest, case):
    change, what, why = REFUSED[case]
    change(manifest)
    with pytest.raises(MetricError) as error:
        read(manifest)
    assert what in error.value.what and METRICS in error.value.what
    assert why in error.value.why
    assert error.value.fix


MART = "dbt/models/marts/mart_taxi_trips.yml"
NO_RULES = {
    "a list": (["pickup_borough"], "must be a mapping", "{claim: column}"),
    "a claim that no name can be": ({"a-b": "pickup_borough"}, "has the claim 'a-b'", "another"),
    "a claim with a meaning of its own": ({"sub": "pickup_borough"}, "claim 'sub'", "another"),
    "a number": ({"trips": "trip_id"}, "not a column of text", "pickup_borough"),
    "an unknown column": ({"boroughs": "borough"}, "not a column of text", "pickup_borough"),
    "no dimension": ({"checks": "total_check"}, "no dimension is that column", "Add the dimension"),
}


@pytest.mark.parametrize("case", NO_RULES)
def test_an_access_rule_that_no_door_can_apply_is_refused_where_it_is_written(manifest, case):
    rules, why, fix = NO_RULES[case]
    manifest["nodes"]["model.proto_loc.mart_taxi_trips"]["config"]["meta"]["access"] = rules
    with pytest.raises(MetricError) as error:
        read(manifest)
    assert why in error.value.why and fix in error.value.fix
    (line,) = re.findall(rf"\({MART}:(\d+)\)", error.value.why)
    assert "access: {" in (ROOT / MART).read_text().splitlines()[int(line) - 1]


def test_an_access_rule_of_a_model_that_has_no_metrics_is_refused_where_it_is_written(manifest):
    node = manifest["nodes"]["model.proto_loc.fct_taxi_trips"]
    node["config"]["meta"]["access"] = {"boroughs": "pickup_borough"}
    with pytest.raises(MetricError, match="that nothing applies") as error:
        read(manifest)
    assert f"dbt/{node['patch_path'].partition('://')[2]}" in error.value.what


def test_two_semantic_models_on_one_mart_are_refused(manifest):
    other = copy.deepcopy(semantic(manifest)) | {"name": "trips_again"}
    manifest["semantic_models"]["semantic_model.proto_loc.trips_again"] = other
    with pytest.raises(
        MetricError, match="taxi_trips and trips_again are on the one table mart_taxi_trips"
    ):
        read(manifest)


HOSTILE = [
    'it\'s "quoted": {{ config.password }} {% raw %} }} #!',
    "- yes\n- 'no': &x *x ${CUBE} {CUBE.trips} `id`",
    "Ünïcödé \U0001f695 \u202e <script>alert(1)</script> \\x7B\\n %}",
    "null",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_labels_and_descriptions_stay_text(manifest, text):
    metric(manifest).update(label=text, description=text)
    semantic(manifest)["dimensions"][1].update(label=text, description=text)
    found = model(manifest)
    flat = " ".join(text.split())
    for made in (projection.project(found), datasets.project(found)):
        assert not re.search(r"{%|%}|{{|}}", made), "Cube would run the file through Jinja"
        assert made.startswith(files.MARK) and made.endswith("\n")
    (measure,) = (each for each in cubes(found)["measures"] if each["name"] == "tip_rate")
    for shown in (measure["title"], measure["description"]):
        assert not re.search(r"(?<!\\)(\\\\)*[{}]", shown), (
            "Cube would run what stands in the braces"
        )
        assert re.sub(r"\\(.)", r"\1", shown) == flat
    (shown,) = (each for each in dataset(found)["metrics"] if each["metric_name"] == "tip_rate")
    assert (shown["verbose_name"], shown["description"]) == (flat, flat)


def test_a_hostile_value_in_a_filter_stays_a_value(manifest):
    filtered(manifest, "{{ Dimension('trip__payment_type') }} = 'O''Brien -- ) or (1=1; \"'")
    found = model(manifest)
    (shown,) = (each for each in dataset(found)["metrics"] if each["metric_name"] == "tip_rate")
    with duckdb.connect() as con:
        con.execute(
            "create table t (tip_amount integer, fare_amount integer, payment_type varchar)"
        )
        con.execute("insert into t values (1, 2, 'O''Brien -- ) or (1=1; \"'), (100, 1, 'Cash')")
        assert con.execute(f"select {shown['expression']} from t").fetchone() == (0.5,)


def test_names_in_an_expression_are_told_from_texts_functions_and_parts():
    parts = sql("a + abs(a) + t.a - 'a' / \"a\" * ab", {"a": ("(x)",)}.get)
    assert written(parts) == "(x) + abs((x)) + t.a - 'a' / \"a\" * ab"
    assert written(sql("a(b)\n  + 1", {"a": ("x",), "b": ("y",)}.get)) == "a(y) + 1"


def test_filters_of_a_metric_and_its_inputs_apply_to_what_they_are_made_of(manifest):
    """As in dbt, a filter applies to every measure below the metric.

    A measure that is not a metric itself becomes a hidden measure of Cube.
    """
    metric(manifest)["type_params"]["numerator"]["filter"] = {
        "where_filters": [
            {
                "where_sql_template": (
                    "{{ TimeDimension('metric_time', 'day') }} > '2025-01-01' or false"
                )
            }
        ]
    }
    found = model(manifest)
    (shown,) = (each for each in dataset(found)["metrics"] if each["metric_name"] == "tip_rate")
    over, under = shown["expression"].split(" / ")
    both = (
        "(payment_type = 'Credit card') and (date_trunc('day', pickup_at) > '2025-01-01' or false)"
    )
    assert over == f"cast(sum(tip_amount) filter (where {both}) as double)"
    assert (
        under
        == "cast(nullif(sum(fare_amount) filter (where payment_type = 'Credit card'), 0) as double)"
    )
    hidden = {
        each["name"]: each for each in cubes(found)["measures"] if each.get("public") is False
    }
    assert hidden.keys() == {"tip_rate__tips", "tip_rate__fares"}
    assert hidden["tip_rate__tips"]["filters"] == [
        {
            "sql": (
                both.replace("payment_type", "{CUBE}.payment_type").replace(
                    "pickup_at", "{CUBE}.pickup_at"
                )
            )
        }
    ]


def test_a_dimension_that_is_an_expression_is_a_calculated_column(manifest):
    semantic(manifest)["dimensions"].append(
        semantic(manifest)["dimensions"][1]
        | {
            "name": "is_airport",
            "label": "Airport",
            "expr": "pickup_zone in ('JFK Airport', 'LaGuardia Airport')",
        }
    )
    found = model(manifest)
    (column,) = (each for each in dataset(found)["columns"] if each["column_name"] == "is_airport")
    assert column["expression"] == "pickup_zone in ('JFK Airport', 'LaGuardia Airport')"
    (dimension,) = (each for each in cubes(found)["dimensions"] if each["name"] == "is_airport")
    assert (dimension["sql"], dimension["type"]) == (column["expression"], "string")


@pytest.mark.parametrize(
    ("where", "rows"), [("payment_type!=Cash", 3), ("pickup_hour=1", 1), ("pickup_at=2025-01", 2)]
)
def test_a_condition_as_sql(parsed, where, rows):
    """Bugs: `!=` left out rows without a value, but Cube counts them; `=1` did not match 1.0.

    The 1.0 was a DECIMAL.
    """
    with duckdb.connect() as con:
        con.execute(
            "create schema marts; create table marts.mart_taxi_trips as from (values "
            "(1, timestamp '2025-01-31 23:59:59.9', 'Cash', 1.0), (2, '2025-01-01', null, 2), "
            "(3, '2025-02-01', 'Card', null), (4, null, 'Card', null)) "
            "as t(trip_id, pickup_at, payment_type, pickup_hour)"
        )
        assert con.execute(
            context.sql(Question(("trips",), where=(where,)), (model(parsed),))
        ).fetchone() == (rows,)


@pytest.mark.parametrize("function", ["sum", "average"])
def test_figures_are_the_same_whether_they_roll_up_or_not(manifest, function):
    """An average does not roll up from days, so all figures are computed from the rows."""
    measure(manifest, "seconds").update(agg=function)
    with duckdb.connect() as con:
        con.execute(
            "create schema marts; create table marts.mart_taxi_trips as select i as trip_id,"
            " timestamp '2025-01-30' + interval (i) day as pickup_at, 'Cash' as payment_type,"
            " [null, 'Queens', ''][i % 3 + 1] as pickup_borough, 1 as passenger_count,"
            " 1.10::decimal(10, 2) as total_amount, 2.20::decimal(10, 2) as fare_amount,"
            " 0.30::decimal(10, 2) as tip_amount, 0.5 as distance_miles, i::bigint as"
            " duration_seconds from range(5) as r(i)"
        )
        made = model(manifest)
        results = con.execute(figures.query(made)).fetchall()
        found = {row[:3]: row[3] for row in figures.rows(made, results)}
        compared = compute(con, 1, [made])
    assert compared.figures == {(made.name, *key): figure for key, figure in found.items()}
    assert (made.name, "average_distance") in compared.inexact
    assert (made.name, "revenue") not in compared.inexact
    assert compared.dimensions[made.name] == ["month", "pickup_borough", "payment_type"]
    assert found["trips", "", ""] == "5" and found["revenue", "", ""] == "5.50"
    assert found["trip_seconds", "", ""] == {"sum": "10", "average": "2.0"}[function]
    assert (found["trips", "month", "2025-01-01"], found["trips", "month", "2025-02-01"]) == (
        "2",
        "3",
    )
    by = {
        value: figure
        for (name, dimension, value), figure in found.items()
        if (name, dimension) == ("revenue", "pickup_borough")
    }
    assert by == {None: "2.20", "Queens": "2.20", "": "1.10"}
    assert not [each for each in found if each[0] == "tip_rate"], (
        "no card was used: there is no such figure"
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone without data."""
    for name in (
        "proto_loc",
        "pipelines",
        "dbt",
        "locks",
        "cube/model/generated",
        "superset/bundle",
    ):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__", "node_modules", "target", "logs"),
        )
    return tmp_path


def generate(clone: Path, *arguments: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOC_")}
    return subprocess.run(
        [sys.executable, "-m", "proto_loc.cli", "generate", *arguments],
        cwd=clone,
        env=kept | {"PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
    )


def test_the_order_of_a_manifest_changes_nothing(manifest):
    """A partial parse puts changed definitions last.

    Bug: this changed the order in the generated files.
    """
    before = files.wanted(read(manifest))
    manifest["metrics"] = dict(reversed(manifest["metrics"].items()))
    manifest["semantic_models"] = dict(reversed(manifest["semantic_models"].items()))
    assert files.wanted(read(manifest)) == before


def test_a_file_written_by_hand_is_not_overwritten(parsed, tmp_path):
    by_hand = tmp_path / "cube/model/generated/taxi_trips.yml"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_text("cubes: []\n")
    with pytest.raises(
        MetricError, match=r"cube/model/generated/taxi_trips.yml was written by hand"
    ):
        files.write(tmp_path, read(parsed))
    assert by_hand.read_text() == "cubes: []\n" and len(list(tmp_path.rglob("*.y*ml"))) == 1


def test_a_changed_definition_reaches_cube_and_the_dataset(clone):
    """The test needs only a fresh clone, without data or services."""
    number = 2 * len(list((ROOT / "dbt/models").rglob("*.metrics.yml")))
    assert number >= 4
    agree = f"{number} files agree with the definitions\n"
    assert generate(clone, "--check").stdout.startswith(agree)
    definition = clone / METRICS
    before = definition.read_text()
    definition.write_text(
        before.replace("label: Revenue\n", "label: Takings\n").replace(
            "expr: total_amount", "expr: total_amount - tip_amount"
        )
    )
    found = generate(clone, "--check")
    assert found.returncode == 1 and "+        title: Takings" in found.stdout, found.stderr
    assert "Run `loc generate` and commit its result" in found.stderr
    by_hand = clone / "cube/model/generated/of_a_person.yml"
    by_hand.write_text("cubes: []\n")
    orphan = clone / "superset/bundle/datasets/gone.yaml"
    orphan.write_text(f"{files.MARK}nowhere\n")
    done = generate(clone)
    assert done.stdout.splitlines() == [
        "cube/model/generated/taxi_trips.yml: changed",
        "superset/bundle/datasets/gone.yaml: removed",
        "superset/bundle/datasets/taxi_trips.yaml: changed",
    ], done.stderr
    assert "note: Cube is not installed" in done.stderr
    (made,) = yaml.safe_load((clone / "cube/model/generated/taxi_trips.yml").read_text())["cubes"]
    (revenue,) = (each for each in made["measures"] if each["name"] == "revenue")
    assert (revenue["title"], revenue["sql"]) == ("Takings", "total_amount - tip_amount")
    shown = yaml.safe_load((clone / "superset/bundle/datasets/taxi_trips.yaml").read_text())[
        "metrics"
    ]
    (revenue,) = (each for each in shown if each["metric_name"] == "revenue")
    assert (revenue["verbose_name"], revenue["expression"]) == (
        "Takings",
        "sum(total_amount - tip_amount)",
    )
    assert by_hand.exists() and not orphan.exists()
    assert generate(clone).stdout == "nothing has changed\n"
    assert generate(clone, "--check").returncode == 0
    assert not (clone / "data").exists()


def test_a_kind_that_dbt_has_and_no_door_can_serve_is_refused_and_nothing_is_written(clone):
    definition = clone / METRICS
    definition.write_text(
        definition.read_text()
        + "\n  - name: trips_so_far\n    label: Trips so far\n    type: cumulative\n   "
        " type_params: {measure: trips}\n"
    )
    generated = clone / "cube/model/generated/taxi_trips.yml"
    before = generated.read_text()
    done = generate(clone)
    assert done.returncode == 1
    assert f"The metric trips_so_far in {METRICS} is not supported." in done.stderr
    assert "It is of type cumulative; supported are simple, ratio, derived." in done.stderr
    assert generated.read_text() == before


@pytest.fixture
def with_cube(clone) -> Path:
    """A clone in which Cube is set up."""
    node.install()
    for name in (
        "proto_loc/cube/server/lib",
        "proto_loc/cube/server/node_modules",
        "proto_loc/cube/server/package-lock.json",
        ".tools",
    ):
        if not (clone / name).exists():
            (clone / name).symlink_to(ROOT / name)
    for name in ("proto_loc/cube/server/check.js", "golden.toml"):
        shutil.copy(ROOT / name, clone / name)
    return clone


def test_a_definition_without_a_description_is_one_that_cube_takes(manifest):
    """Bug: Cube refused the whole model because of one empty description.

    `--check` accepted this model.
    """
    node.install()
    for each in semantic(manifest)["dimensions"]:
        each["description"] = None
    metric(manifest, "revenue")["description"] = ""
    with files.cube_model(ROOT, read(manifest)) as folder:
        assert process.faults(folder) == []
        generated = folder / "generated/taxi_trips.yml"
        generated.write_text(generated.read_text().replace("type: sum", "type: summ", 1))
        fault, *_ = process.faults(folder)
        assert fault.startswith("generated/taxi_trips.yml:") and "must be one of" in fault


def test_what_cubes_compiler_refuses_is_not_written(with_cube):
    """Bug: `loc generate` wrote the file, and Cube continued to serve its last good model."""
    by_hand = with_cube / "cube/model/own.yml"
    by_hand.write_text(
        "cubes:\n  - name: own\n    extends: taxi_trips\n    measures:\n      - { name: m, type:"
        " cont }\n"
    )
    generated = with_cube / "cube/model/generated/taxi_trips.yml"
    before = generated.read_text()
    definition = with_cube / METRICS
    definition.write_text(definition.read_text().replace("label: Revenue\n", "label: Takings\n"))
    done = generate(with_cube)
    assert done.returncode == 1 and "cube/model/own.yml:5: own cube: " in done.stderr, done.stderr
    assert generated.read_text() == before
