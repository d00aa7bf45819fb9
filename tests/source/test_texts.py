"""What `loc source add` writes from an inspection passes the checks that every file passes."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from inspections import AIR, ALL, facts, inspection
from portable import faults, rendered

from proto_loc.scaffold.labels import labels_of, with_own_labels
from proto_loc.scaffold.plan import plan
from proto_loc.scaffold.staged import stage
from proto_loc.scaffold.texts import texts
from proto_loc.scaffold.values import joins_by_value
from proto_loc.settings import ROOT
from proto_loc.sources import Table

PROGRAMS = Path(sys.executable).parent
KINDS = {
    "TINYINT": "cast(-128 as tinyint)",
    "SMALLINT": "cast(-32768 as smallint)",
    "INTEGER": "cast(-2147483648 as integer)",
    "UTINYINT": "cast(255 as utinyint)",
    "USMALLINT": "cast(65535 as usmallint)",
    "UINTEGER": "cast(4294967295 as uinteger)",
    "UBIGINT": "cast(18446744073709551615 as ubigint)",
    "DECIMAL(38,0)": "cast(12345678901234567890123456789012345678 as decimal(38, 0))",
    "FLOAT": "cast(1.5 as float)",
    "DECIMAL(10,2)": "cast(-1.25 as decimal(10, 2))",
    "BOOLEAN": "true",
    "DATE": "date '2025-06-01'",
    "TIMESTAMP_S": "cast('2025-06-01 10:00:00' as timestamp_s)",
    "TIMESTAMP WITH TIME ZONE": "timestamptz '2025-06-01 10:00:00+00'",
    "UUID": "cast('00000000-0000-0000-0000-000000000001' as uuid)",
    "STRUCT(a INTEGER)": "{'a': 1}",
    "INTEGER[]": "[1, 2]",
    "BLOB": "cast('ab' as blob)",
}
"""Type of a column → a value at its edge."""


def written(name: str, root: Path) -> dict[str, str]:
    inspection = ALL[name]
    tables, marts = plan(name, inspection)
    return texts(name, tables, marts, code=inspection.code, owner="me", root=root, files={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The texts of all inspections, as files beside the project's settings."""
    root = tmp_path_factory.mktemp("clone")
    for name in ALL:
        for path, text in written(name, root).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    (root / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    settings = (ROOT / "dbt/.sqlfluff").read_text().replace("../proto_loc", f"{ROOT}/proto_loc")
    (root / "dbt/.sqlfluff").write_text(settings.replace("= macros,", f"= {ROOT}/dbt/macros,"))
    return root


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--check", "--no-cache", "."),
        ("sqlfluff", "lint", "--disable-progress-bar", "--config", "dbt/.sqlfluff", "dbt/models"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_linters_are_content(folder: Path, command: tuple[str, ...]):
    done = subprocess.run(
        [PROGRAMS / command[0], *command[1:]], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALL)
def test_each_file_is_what_its_ending_says(name: str, tmp_path: Path):
    for path, text in written(name, tmp_path).items():
        if path.endswith((".yml", ".yaml")):
            assert yaml.safe_load(text), path
        elif path.endswith(".ipynb"):
            assert json.loads(text)["cells"], path
        elif path.endswith(".py"):
            ast.parse(text)
        else:
            assert path.endswith(".sql"), path
            assert re.match(r"with \w+ as \(", text) and text.endswith("select * from final\n")


@pytest.mark.parametrize("name", ALL)
def test_every_column_of_a_mart_is_described_and_typed(name: str, tmp_path: Path):
    made = written(name, tmp_path)
    pages = [path for path in made if re.search(r"/mart_\w+\.yml$", path)]
    assert pages
    for path in pages:
        (model,) = yaml.safe_load(made[path])["models"]
        assert model["description"] and model["config"]["contract"]["enforced"]
        assert all(column["description"] and column["data_type"] for column in model["columns"])
        metrics = yaml.safe_load(made[path.replace(".yml", ".metrics.yml")])
        assert len(metrics["metrics"]) == 2
        for item in metrics["semantic_models"][0]["dimensions"]:
            assert re.fullmatch(r"(?!.*__)[a-z][a-z0-9_]*[a-z0-9]", item["name"]), item


@pytest.mark.parametrize("name", [*ALL, "wide"])
def test_the_sql_runs_on_trino_too(name: str, tmp_path: Path):
    """A source of unsigned numbers or nested columns once got SQL and types of DuckDB alone.

    Only ``loc_json`` is DuckDB's: it is one macro of the platform, and no model's text.
    """
    inspected = ALL.get(name) or inspection(
        Table("rows", {f"is {kind}": kind for kind in KINDS}), rows=3
    )
    tables, marts = plan(name, inspected)
    made = texts(name, tables, marts, code="", owner="me", root=tmp_path, files={})
    statements = {path: rendered(text) for path, text in made.items() if path.endswith(".sql")}
    types = {
        column["data_type"]
        for path, text in made.items()
        if re.search(r"/mart_\w+\.yml$", path)
        for model in yaml.safe_load(text)["models"]
        for column in model["columns"]
    }
    statements |= {kind: f"select cast(a as {kind}) as b from t" for kind in types}
    bad = {path: set(faults(sql)) - {"the function to_json"} for path, sql in statements.items()}
    assert len(statements) > 3
    assert {path: items for path, items in bad.items() if items} == {}


@pytest.mark.parametrize(("kind", "value"), KINDS.items())
def test_a_staging_model_keeps_every_value_of_a_type(kind: str, value: str, tmp_path: Path):
    tables, marts = plan("wide", inspection(Table("rows", {"x y": kind})))
    made = texts("wide", tables, marts, code="", owner="me", root=tmp_path, files={})
    sql = rendered(made["dbt/models/staging/wide/stg_wide__rows.sql"]).replace('"raw"."wide".', "")
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(
            f"create table rows as select {value} as x_y, timestamp '2025-01-01' as _loaded_at,"
            " 'a.csv' as _source_file"
        )
        same = f"cast(x_y as varchar) = cast({value} as varchar)"
        if kind.startswith("STRUCT") or kind.endswith("]"):
            same = f"x_y = cast(to_json({value}) as varchar)"
        elif kind == "BLOB":
            same = f"from_base64(x_y) = {value}"
        elif kind == "TIMESTAMP WITH TIME ZONE":
            same = "x_y = timestamp '2025-06-01 10:00:00'"
        assert con.execute(f"select {same} from ({sql})").fetchall() == [(True,)], sql


@pytest.mark.parametrize("whole", ["BIGINT", "UBIGINT", "DECIMAL(38,0)"])
def test_a_large_whole_number_is_no_money(whole: str):
    """Bug: its type in the models, a decimal, made the metric one of it, with decimals."""
    table = Table("sales", {"day": "DATE", "weight": whole, "price": "DECIMAL(10,2)"})
    _, (mart,) = plan("shop", inspection(table))
    assert mart.measures[1].expression == "price"
    table = Table("sales", {"day": "DATE", "quantity": whole})
    _, (mart,) = plan("shop", inspection(table))
    assert mart.measures[1].expression == "quantity" and "decimals: 0" in mart.measures[1].shown


def test_a_mart_joins_the_tables_whose_keys_it_has(tmp_path: Path):
    made = written("air", tmp_path)
    sql = made["dbt/models/marts/mart_air_flights.sql"]
    assert "left join airlines on flights.carrier = airlines.carrier" in sql
    assert "airlines.name as carrier_name" in sql
    assert "flights.origin = weather.origin" in sql
    assert "flights.time_hour = weather.time_hour" in sql
    assert "mart_air_airlines" not in "".join(made)


def test_keys_named_id_are_joined_by_the_name_of_their_table(tmp_path: Path):
    """Equal names say nothing there: the id of a note is no customer."""
    made = written("store", tmp_path)
    sql = made["dbt/models/marts/mart_store_orders.sql"]
    assert "left join customers on orders.customer_id = customers.id" in sql
    assert "customers.name as customer_name" in sql
    assert "join" not in made["dbt/models/marts/mart_store_notes.sql"]


def test_a_time_with_a_zone_is_shown_in_the_zone_of_the_data(tmp_path: Path):
    made = written("air", tmp_path)
    sql = made["dbt/models/staging/air/stg_air__flights.sql"]
    assert "cast(time_hour at time zone 'America/New_York' as timestamp) as time_hour" in sql


def test_a_key_under_another_name_is_recognised_by_its_values(tmp_path: Path):
    files = {
        "airlines": "carrier,name\nAA,American\nUA,United\n",
        "airports": "faa,name,lat\nEWR,Newark,40.7\nJFK,Kennedy,40.6\nIAH,Houston,30\n",
        "weather": "origin,time_hour,temp\nEWR,2013-01-01 00:00:00+00,39.0\n",
        "flights": "month,carrier,flight,origin,dest,distance,time_hour\n"
        "1,AA,1,EWR,IAH,5,2013-01-01 00:00:00+00\n1,UA,2,JFK,EWR,6,2013-01-01 00:00:00+00\n",
    }
    paths = {}
    for name, text in files.items():
        paths[name] = [tmp_path / f"{name}.csv"]
        paths[name][0].write_text(text)
    joins = joins_by_value(stage("air", AIR), paths)
    assert {join.on for join in joins["flights"]} == {(("origin", "faa"),), (("dest", "faa"),)}
    _, marts = plan("air", AIR, joins)
    names = [column.name for column in marts[0].columns]
    assert {"origin_name", "dest_name", "carrier_name"} <= set(names)
    assert len(names) == len(set(names))


def test_a_table_without_a_date_is_measured_by_the_time_of_its_load(tmp_path: Path):
    made = written("cities", tmp_path)
    assert "loaded_at" in made["dbt/models/marts/mart_cities_cities.sql"]
    charts = [yaml.safe_load(text) for path, text in made.items() if "/charts/" in path]
    assert charts and not any("time_grain_sqla" in chart["params"] for chart in charts)


def test_a_project_with_a_time_spine_gets_no_other_one(tmp_path: Path):
    page = tmp_path / "dbt/models/days.yml"
    page.parent.mkdir(parents=True)
    page.write_text("models: [{name: days, time_spine: {standard_granularity_column: day}}]\n")
    assert not any("time_spine_daily" in path for path in written("air", tmp_path))


def test_the_filters_of_parity_ask_for_values_of_the_own_table():
    """A value of a joined table, such as an airport without a flight, once matched no row."""
    _, marts = plan("air", ALL["air"])
    filters = yaml.safe_load(written("air", ROOT)["tests/air/filters.yml"])
    own = {
        mart.semantic: {c.name for c in mart.dimensions if c.is_text and not c.expression}
        for mart in marts
    }
    assert any(own.values())
    for semantic, columns in own.items():
        dimension = filters[semantic]["equals"][0]
        assert not columns or dimension in columns


def test_labels_are_of_one_metric_each(tmp_path: Path):
    """MetricFlow refused a second source with a column of the same name."""
    first = written("air", tmp_path)
    for path, text in first.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    _, marts = plan("sea", ALL["air"])
    second = with_own_labels(marts, tmp_path)
    labels = [measure.label for mart in second for measure in mart.measures]
    assert len(set(labels)) == len(labels)
    assert labels_of(tmp_path) and not set(labels) & labels_of(tmp_path)
    assert all(label.endswith((", Sea", " weather", " flights", " airports")) for label in labels)


@pytest.mark.parametrize("value", ["Washington, DC", "yes", "12:30", "#x", "a: b", "", '"]', "ä"])
def test_any_value_and_any_owner_is_the_same_text_in_yaml(value: str, tmp_path: Path):
    table = Table("stops", {"id": "BIGINT", "place": "VARCHAR"}, key=("id",))
    tables, marts = plan("city", inspection(table, place=facts(text=value)))
    made = texts("city", tables, marts, code="", owner=value, root=tmp_path, files={})
    (filters,) = yaml.safe_load(made["tests/city/filters.yml"]).values()
    assert filters["equals"][1:] == [value]
    (exposure,) = yaml.safe_load(made["dbt/models/marts/city.exposures.yml"])["exposures"]
    assert exposure["owner"] == {"name": value}


def test_an_exposure_has_the_port_of_every_clone(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LOC_SUPERSET_PORT", "9088")
    monkeypatch.setenv("LOC_PORT_PREFIX", "1")
    text = written("air", tmp_path)["dbt/models/marts/air.exposures.yml"]
    assert "url: http://127.0.0.1:9088/superset/dashboard/air/\n" in text
