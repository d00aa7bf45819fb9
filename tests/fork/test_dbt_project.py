"""``loc init --dbt``: a dbt-duckdb project becomes a fork's own, and its metrics are everywhere."""

import copy
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from clone import Clone, make_clone

from proto_loc.dbt.failures import BuildFailed
from proto_loc.fork import dbt_project
from proto_loc.fork.dbt_project import Refused
from proto_loc.metrics.errors import MetricError

pytestmark = [pytest.mark.xdist_group("cafe"), pytest.mark.timeout(300)]

CAFE = Path(__file__).parent / "cafe"


@pytest.fixture(scope="module")
def cafe(tmp_path_factory: pytest.TempPathFactory, module_port_prefix: str) -> Iterator[Clone]:
    """A clone that has taken the project and published it."""
    clone = make_clone(tmp_path_factory.mktemp("cafe"), module_port_prefix)
    done = clone.loc("init", "bistro", "--dbt", str(CAFE))
    assert "2 metrics" in done.stdout and "generate_schema_name.sql" in done.stdout
    return clone


def test_models_seeds_snapshots_and_tests_are_published(cafe: Clone):
    names = "select schema_name || '.' || table_name from duckdb_tables() where database_name ="
    tables = {name for (name,) in cafe.published(f"{names} current_database()")}
    assert tables >= {
        *("marts.orders", "marts.guests", "marts.days", "marts.metric_figures"),
        *("staging.raw_orders", "staging.raw_guests", "snapshots.order_statuses"),
    }
    (passed,) = cafe.published("select tests_passed from marts.publication")[0]
    assert passed == 8 + 2, "those of the project, and two of the platform's"
    assert cafe.published("select count(*) from marts.orders where city is not null") == [[40]]


def test_its_metrics_reach_what_every_door_reads(cafe: Clone):
    """The doors themselves are compared in the slow test below."""
    rows = cafe.published("select metric, figure from marts.metric_figures where dimension = ''")
    total = sum(250 + 35 * number for number in range(1, 41))
    assert {name: Decimal(figure) for name, figure in rows} == {
        "order_count": Decimal(40),
        "revenue": Decimal(total) / 100,
    }
    for path in ("cube/model/generated/orders.yml", "superset/bundle/datasets/orders.yaml"):
        assert "revenue" in (cafe.folder / path).read_text()
    cafe.loc("generate", "--check")


def test_the_project_keeps_its_name_and_packages_are_tracked(cafe: Clone):
    project = yaml.safe_load((cafe.folder / "dbt/dbt_project.yml").read_text())
    assert (project["name"], project["profile"]) == ("cafe", "proto_loc")
    assert project["seeds"]["cafe"] == {"+schema": "staging"}, "raw is the platform's catalogue"
    cafe.git("add", "--all")
    tracked = cafe.git("ls-files", "dbt").split()
    assert "dbt/packages/checks/macros/cents.sql" in tracked
    assert "dbt/macros/generate_schema_name.sql" not in tracked
    assert cafe.git("diff", "--cached", "--name-only", "upstream", "--", "proto_loc") == ""


def test_a_second_project_is_refused_and_a_refresh_keeps_the_snapshot(cafe: Clone):
    cafe.commit("a bistro")
    done = cafe.loc("init", "bistro", "--dbt", str(CAFE), check=False)
    assert done.returncode == 2 and "a dbt project of its own" in done.stderr
    seed = cafe.folder / "dbt/seeds/raw_orders.csv"
    seed.write_text(seed.read_text().replace("3,1,2025-01-04,open", "3,1,2025-01-04,served"))
    cafe.loc("refresh", "--direct")
    versions = "select count(*) from snapshots.order_statuses where order_id = 3"
    assert cafe.published(versions) == [[2]]


@pytest.mark.slow
def test_every_door_gives_the_figures_of_metricflow(cafe: Clone):
    done = cafe.python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-skips", "tests/parity"),
        PLATFORM_OF_TESTS=str(Path(cafe.variables["LOC_DATA"]).parent),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shutil.copytree(CAFE, tmp_path / "a cafe")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(project: Path) -> Refused:
    with pytest.raises(Refused) as error:
        dbt_project.check(dbt_project.read(project))
    assert str(project) in error.value.what
    return error.value


def test_a_folder_without_a_project_is_refused(tmp_path):
    assert "no dbt_project.yml" in refused(tmp_path).why


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("dbt_project.yml", "name: cafe\n", "name: [a\n", "cannot be read"),
        ("dbt_project.yml", "name: cafe\n", "title: cafe\n", "has no name"),
        ("dbt_project.yml", "[models]", "[../models]", "outside of the project"),
        ("profiles.yml", "type: duckdb", "type: snowflake", "for snowflake"),
        ("profiles.yml", "path: cafe.duckdb", "extensions: [httpfs]", "needs extensions"),
        ("packages.yml", "packages:", "packages:\n  - {package: a/b, version: 1}", "2 packages"),
        ("macros/days.sql", "{% macro", "{% macro ref() %}{% endmacro %}\n{% macro", "defines ref"),
    ],
)
def test_what_can_be_seen_without_dbt_is_named_with_its_file(project, file, old, new, reason):
    edit(project / file, old, new)
    error = refused(project)
    assert file in error.what and reason in error.why


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """dbt's manifest of the project, with a source that a model reads."""
    folder = shutil.copytree(CAFE, tmp_path_factory.mktemp("parsed") / "cafe")
    (folder / "models/staging/till.yml").write_text(
        "version: 2\nsources:\n  - {name: till, schema: main, tables: [{name: receipts}]}\n"
    )
    edit(folder / "models/staging/stg_orders.sql", "ref('raw_orders')", "source('till','receipts')")
    manifests = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_project, "check_manifest", lambda _, manifest: manifests.append(manifest))
        dbt_project.check(dbt_project.read(folder))
    return manifests[0]


def test_the_project_as_it_is_has_nothing_to_refuse(parsed):
    manifest = copy.deepcopy(parsed)
    del manifest["sources"]["source.cafe.till.receipts"]
    dbt_project.check_manifest(dbt_project.read(CAFE), manifest)


@pytest.mark.parametrize(
    ("kind", "node", "changes", "file", "reason"),
    [
        (
            "sources",
            "source.cafe.till.receipts",
            {},
            "staging/till.yml",
            "Nothing loads the source",
        ),
        (
            "sources",
            "source.cafe.till.receipts",
            {"identifier": "raw_orders"},
            "staging/till.yml",
            "is a seed, so that dbt would not know",
        ),
        (
            "sources",
            "source.cafe.till.receipts",
            {"config": {"meta": {"external_location": "read_csv('x.csv')"}}},
            "staging/till.yml",
            "reads files itself",
        ),
        (
            "nodes",
            "model.cafe.guests",
            {"config": {"materialized": "external"}},
            "marts/guests.sql",
            "external",
        ),
        ("nodes", "model.cafe.guests", {"schema": "raw"}, "marts/guests.sql", "raw.guests"),
        (
            "nodes",
            "model.cafe.guests",
            {"alias": "publication"},
            "marts/guests.sql",
            "marts.publication, a name of the platform",
        ),
    ],
)
def test_what_dbt_sees_is_named_with_its_file(parsed, kind, node, changes, file, reason):
    manifest = copy.deepcopy(parsed)
    manifest[kind][node].update(changes)
    with pytest.raises(Refused) as error:
        dbt_project.check_manifest(dbt_project.read(CAFE), manifest)
    assert f"{CAFE}/models/{file}" in error.value.what and reason in error.value.why


def test_a_source_that_the_fork_loads_is_taken(parsed, monkeypatch):
    manifest = copy.deepcopy(parsed)
    manifest["sources"]["source.cafe.till.receipts"].update(database="raw", schema="till")
    monkeypatch.setattr(dbt_project, "declared_columns", lambda: {"till.receipts": {}})
    dbt_project.check_manifest(dbt_project.read(CAFE), manifest)


def test_a_metric_that_no_door_can_show_is_named(parsed):
    manifest = copy.deepcopy(parsed)
    del manifest["sources"]["source.cafe.till.receipts"]
    manifest["semantic_models"]["semantic_model.cafe.orders"]["measures"][1]["agg"] = "percentile"
    with pytest.raises(MetricError, match="percentile"):
        dbt_project.check_manifest(dbt_project.read(CAFE), manifest)


def test_a_model_that_does_not_parse_is_named_by_dbt(project):
    edit(project / "models/marts/guests.sql", "ref('stg_guests')", "ref('stg_gusts')")
    with pytest.raises(BuildFailed, match="stg_gusts"):
        dbt_project.check(dbt_project.read(project))


def test_a_fork_with_models_of_its_own_is_refused(tmp_path):
    (tmp_path / "dbt/models").mkdir(parents=True)
    (tmp_path / "dbt/models/mine.sql").write_text("select 1")
    with pytest.raises(Refused, match=r"mine\.sql"):
        dbt_project.check_room(tmp_path)
