"""SQL that DuckDB and Trino both run: models, tests, metrics, and what is written for a source."""

import json
from datetime import date
from types import SimpleNamespace

import duckdb
import pytest
from clone import SHOP
from portable import faults, models, rendered
from samples import copy_sample

from proto_loc import warehouse
from proto_loc.dbt import passthrough, program
from proto_loc.settings import ROOT

WAY = "docs/portable-sql.md has what to write instead, and how a model of yours may stay as it is"

REFUSED = {
    "select a::date as b from t": "a cast by ::",
    "select a from t order by a limit 5 offset 2": "limit before offset",
    "select split_part(a, ',', -1) as b from t": "split_part by something",
    "select * exclude (a) from t": "a star without some columns",
    "select * replace (1 as a) from t": "a star without some columns",
    "select a from t union all by name select a from u": "by name",
    "select cast(a as ubigint) as b from t": "line 1 does not parse as Trino",
    "select cast(a as hugeint) as b from t": "the type int128",
    "select cast(a as smallint) as b from t": "the type smallint",
    "select cast(a as decimal) as b from t": "a decimal without precision and scale",
    "select date_part('year', a) as b from t": "the function date_part",
    "select isodow(a) as b from t": "the function isodow",
    "select dayname(a) as b from t": "the function dayname",
    "select extract(isodow from a) as b from t": "extract of isodow",
    "select extract(dow from a) as b from t": "extract of dow",
    "select date_trunc('decade', a) as b from t": "date_trunc of decade",
    "select unnest(generate_series(1, 3)) as b": "the function generate_series",
    "select range from range(3)": "the function range",
    "select list_filter(a, lambda x: x > 1) as b from t": "the function list_filter",
    "select filter(a, x -> x > 1) as b from t": "a lambda",
    "select [1, 2] as b": "a list without the word array",
    "select {'a': 1} as b": "a struct",
    "select a[0] as b from t": "an index that is no number from 1 on",
    "select a[-1] as b from t": "an index that is no number from 1 on",
    "select a[1:2] as b from t": "a slice",
    "select a / b as c from t": "a division without a cast to double",
    "select a // b as c from t": "the operator //",
    "select a from t where b == 1": "the operator ==",
    "select date_diff('second', a, b) as c from t": "date_diff of times that are not whole units",
    "select date_diff('hour', cast(a as date), cast(b as date)) as c from t": (
        "date_diff of times that are not whole units"
    ),
    "select a + interval 1 day as b from t": "an interval without quotes",
    "select _a as a, count(*) as b from t group by a": "the alias a",
    "select a + 1 as b, b * 2 as c from t": "the alias b",
    "select a + 1 as b from t where b > 1": "the alias b",
    "select sum(a) as b from t having b > 1": "the alias b",
    "select a from t group by all": "group by all",
    "from t": "from without select",
    "select a from (from t) as u": "from without select",
    "select t.a from t inner join u using (a)": "t.a, which the join by using has merged",
    "select a from t anti join u using (a)": "an anti, semi, asof or positional join",
    "select a from t semi join u using (a)": "an anti, semi, asof or positional join",
    "select a from t asof join u on t.a >= u.a": "an anti, semi, asof or positional join",
    "select a from t where (a, b) in (select a, b from u)": "a tuple",
    "select a from t qualify row_number() over (order by a) = 1": "line 1 does not parse",
    "select distinct on (a) a, b from t": "distinct on",
    "select a from t where a ilike 'x%'": "ilike",
    "select a from t where a ~ 'x'": "the operator ~",
    "select a from t where (a > 1) is true": "is true",
    "select a from t using sample 3": "a sample",
    "select avg(a) as b from t": "the function avg",
    "select greatest(a, b) as c from t": "the function greatest",
    "select to_json(a) as b from t": "the function to_json",
    "select a as skip from t": "the name skip",
}
"""Statement of DuckDB → what of it Trino refuses, or computes in another way."""
PORTABLE = (
    "select date_diff('day', cast(a as date), cast(b as date)) as days from t",
    "select date_diff('hour', date_trunc('hour', a), date_trunc('hour', b)) as hours from t",
    "select cast((extract(dow from a) + 6) % 7 + 1 as integer) as weekday from t",
    "select cast(a as double) / 60 as b from t",
    "select sum(a) as a from t group by b order by a",
    "select a as b from t order by b",
    "select a[1] as b, array['x'] || array[] as c from t",
    "with days (day) as (values (1), (2)) select day from days cross join (values (3)) as u (x)",
    "select a, b from t left join u using (a) where b is null",
    'select "skip" from t',
    "select cast(a at time zone 'UTC' as timestamp) as b from t",
    "select date '2025-01-01' + interval '1' day * 3 as b",
)


@pytest.mark.parametrize(("sql", "fault"), REFUSED.items(), ids=REFUSED)
def test_what_trino_does_not_run_is_named(sql: str, fault: str):
    assert any(item.startswith(fault) for item in faults(sql)), faults(sql)


@pytest.mark.parametrize("sql", PORTABLE)
def test_what_both_engines_run_passes(sql: str):
    assert faults(sql) == []


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory):
    """The manifest of a published sample, and that of a later build, which only adds rows."""
    home = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        copy_sample(home, tmp_path_factory)
        first = json.loads((warehouse.current("prod").folder / "dbt/manifest.json").read_text())
        assert passthrough.passthrough(["compile", "--target", "prod"]) == 0
        later = json.loads((program.target_path("prod") / "manifest.json").read_text())
        yield {"first": first, "later": later}


OF_A_MODEL = ("test", "unit_test", "semantic_model")


def is_for_duckdb(node: dict, manifest: dict) -> bool:
    """Whether a node, or the model that it tests or measures, says that it needs DuckDB."""
    parents = [manifest["nodes"].get(name) for name in node["depends_on"]["nodes"]]
    models = [parent for parent in parents if parent] if node["resource_type"] in OF_A_MODEL else []
    return any(
        (item["config"].get("meta") or {}).get("engine") == "duckdb" for item in (node, *models)
    )


@pytest.mark.parametrize("build", ["first", "later"])
def test_every_model_and_test_runs_on_trino_too(manifest: dict, build: str):
    """Ratchet: a model in SQL of DuckDB alone once made the way to Trino longer."""
    content = manifest[build]
    nodes = [
        node
        for node in content["nodes"].values()
        if node["resource_type"] in ("model", "test", "snapshot")
        and node.get("language") == "sql"
        and not is_for_duckdb(node, content)
    ]
    assert {"model.proto_loc.load_outcomes", "model.proto_loc.fct_taxi_trips"} <= {
        node["unique_id"] for node in nodes
    }
    assert all(node["compiled_code"] for node in nodes)
    bad = {node["unique_id"]: faults(node["compiled_code"]) for node in nodes}
    assert len(bad) == len(nodes), "each is judged"
    assert {name: items for name, items in bad.items() if items} == {}, WAY
    fact = content["nodes"]["model.proto_loc.fct_taxi_trips"]["compiled_code"]
    assert ("load_id in" in fact) == (build == "later"), "both forms of a model are checked"


def test_columns_with_a_contract_have_types_of_both_engines(manifest: dict):
    content = manifest["first"]
    bad = {
        f"{node['name']}.{column['name']}": fault
        for node in content["nodes"].values()
        if node["resource_type"] == "model" and not is_for_duckdb(node, content)
        for column in node["columns"].values()
        if column["data_type"]
        and (fault := faults(f"select cast(a as {column['data_type']}) as b from t"))
    }
    assert bad == {}, WAY


def test_measures_dimensions_and_filters_run_on_trino_too(manifest: dict):
    content = manifest["first"]
    expressions = [
        item["expr"]
        for semantic in content["semantic_models"].values()
        if not is_for_duckdb(semantic, content)
        for item in (*semantic["measures"], *semantic["dimensions"])
        if item.get("expr")
    ]
    assert expressions
    bad = {sql: faults(f"select {sql} as value_of_it from t") for sql in expressions}
    assert {sql: items for sql, items in bad.items() if items} == {}, WAY


def test_rows_of_unit_tests_are_written_as_rows(manifest: dict):
    """SQL of a fixture would be that of one engine."""
    content = manifest["first"]
    tests = [test for test in content["unit_tests"].values() if not is_for_duckdb(test, content)]
    fixtures = [item for test in tests for item in (*test["given"], test["expect"])]
    assert fixtures and {item["format"] for item in fixtures} <= {"dict", "csv"}, WAY


@pytest.mark.parametrize("kind", OF_A_MODEL)
def test_what_belongs_to_a_model_for_duckdb_is_left_alone(kind: str):
    """Bug: a fork could not exempt the metrics and unit tests of such a model."""
    model = {"resource_type": "model", "config": {"meta": {}}, "depends_on": {"nodes": []}}
    manifest = {"nodes": {"model.shop.orders": model}}
    own = {
        "resource_type": kind,
        "config": {"meta": None},
        "depends_on": {"nodes": ["model.shop.orders"]},
    }
    assert not is_for_duckdb(own, manifest)
    model["config"]["meta"]["engine"] = "duckdb"
    assert is_for_duckdb(own, manifest)


def test_what_stands_before_a_model_runs_on_trino_too():
    """dbt's manifest has the hook of an incremental model only as a macro."""
    text = (ROOT / "proto_loc/dbt/macros/loads.sql").read_text()
    hook = rendered(text + "{{ delete_superseded_loads() }}", is_incremental=lambda: True, this="t")
    assert hook.lstrip().startswith("delete from t") and faults(hook) == []


def test_the_shop_of_the_tests_runs_on_trino_too():
    statements = models(SHOP / "dbt/models")
    assert len(statements) >= 3
    assert {path: faults(sql) for path, sql in statements.items() if faults(sql)} == {}


def test_days_are_counted_up_to_the_last_one():
    for first, last, number in (
        ("2024-02-28", "2024-03-01", 3),
        ("1970-01-01", "2069-12-31", 36524 + 1),
        ("2025-01-01", "2025-01-01", 1),
    ):
        sql = rendered(f"{{{{ loc_days('{first}', '{last}') }}}}")
        days = duckdb.sql(f"select count(*), min(date_day), max(date_day) from ({sql})").fetchone()
        assert (days[0], str(days[1]), str(days[2])) == (number, first, last)
        distinct = duckdb.sql(f"select count(distinct date_day) from ({sql})").fetchone()
        assert distinct == (number,)


def test_more_days_than_are_counted_are_refused():
    """They would end early without a word."""
    messages = []
    dbt = SimpleNamespace(raise_compiler_error=messages.append)
    rendered("{{ loc_days('1900-01-01', '2173-01-01') }}", exceptions=dbt)
    assert len(messages) == 1 and "from 1900-01-01 to 2173-01-01" in messages[0]
    longest = rendered("{{ loc_days('1900-01-01', '2172-12-31') }}", exceptions=dbt)
    assert duckdb.sql(f"select max(date_day) from ({longest})").fetchall() == [
        (date(2172, 12, 31),)
    ]
    assert len(messages) == 1


def test_weekdays_are_those_of_the_calendar():
    names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    sql = rendered("{{ loc_iso_weekday('a') }} as number, {{ loc_weekday_name('a') }} as name")
    for kind in ("date", "timestamp"):
        rows = duckdb.sql(
            f"select {sql} from (select cast(date '2025-02-03' + cast(x as integer) as {kind}) as a"
            " from range(-7, 14) as days (x)) order by a"
        ).fetchall()
        assert rows == list(enumerate(names, 1)) * 3
    assert duckdb.sql(f"select {sql} from (select cast(null as date) as a)").fetchall() == [
        (None, None)
    ]
