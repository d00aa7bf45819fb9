"""The dbt project as assets: a model or seed each, with its lineage and columns, and a check for every test.

dbt runs inside a publishing session, on a file that nobody sees yet. So nothing is reported while it runs: when the
version is published, every asset and check is, with the version's id; where a test fails, that check is, and no asset.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import dagster as dg

from pipelines import dbt
from pipelines.policies import progress, said_plainly, who, writes
from proto_loc import warehouse

# dbt is a program of its own here. Told that dbt-core is absent, as where dbt runs elsewhere, dagster-dbt does not
# import it, which spares every process and every run a second and 30 MB.
_dbt = sys.modules.get("dbt.version")
sys.modules["dbt.version"] = None
from dagster_dbt import DagsterDbtTranslator  # noqa: E402

if _dbt:
    sys.modules["dbt.version"] = _dbt
else:
    del sys.modules["dbt.version"]

FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=40), fail_window=timedelta(days=100))
"""As the dbt sources have it: TLC publishes by the month."""


class Translator(DagsterDbtTranslator):
    """Names after the folder and table; the seed of the zones stands for TLC's table of them."""

    def get_asset_key(self, dbt_resource_props) -> dg.AssetKey:
        if dbt_resource_props["unique_id"].endswith(".taxi_zones") and dbt_resource_props["resource_type"] == "seed":
            return dg.AssetKey(["taxi", "zones"])
        return super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props) -> str:
        return dbt_resource_props["fqn"][1] if dbt_resource_props["resource_type"] == "model" else "seeds"


MANIFEST = dbt.manifest()
_translator = Translator()


def _ancestors(node: str) -> set[str]:
    parents = MANIFEST["parent_map"].get(node, [])
    return set(parents).union(*map(_ancestors, parents))


def _specs() -> Iterator[tuple[str, dg.AssetSpec]]:
    # Parents first: Dagster wants what a step yields in that order.
    for unique_id, node in sorted(MANIFEST["nodes"].items(), key=lambda item: len(_ancestors(item[0]))):
        if node["resource_type"] in ("model", "seed", "snapshot"):
            spec = _translator.get_asset_spec(MANIFEST, unique_id, None)
            where = {"dbt file": dg.MetadataValue.text(f"dbt/{node['original_file_path']}")}
            # What only dagster-dbt's own runner reads, the whole manifest among it, stays out.
            kept = {name: value for name, value in spec.metadata.items() if name.startswith("dagster/")}
            policy = FRESH if spec.key.path[0] == "marts" else None
            yield unique_id, spec.replace_attributes(metadata=kept | where, freshness_policy=policy)


ASSETS = dict(_specs())
"""dbt's unique id of a model or seed → its asset."""


def _tested(test: dict) -> str:
    """The model that a test is a check of: what it is attached to, else the most downstream of those it reads."""
    attached = test.get("attached_node") or test.get("tested_node_unique_id")
    if attached in ASSETS:
        return attached
    return max((node for node in test["depends_on"]["nodes"] if node in ASSETS), key=lambda node: len(_ancestors(node)))


CHECKS = {
    unique_id: dg.AssetCheckSpec(
        name=test["name"],
        asset=ASSETS[_tested(test)].key,
        additional_deps=sorted(
            {ASSETS[node].key for node in test["depends_on"]["nodes"] if node in ASSETS} - {ASSETS[_tested(test)].key}
        ),
        description=test.get("description") or None,
        metadata={"dbt file": dg.MetadataValue.text(f"dbt/{test['original_file_path']}")},
    )
    for unique_id, test in (MANIFEST["nodes"] | MANIFEST["unit_tests"]).items()
    if test["resource_type"] in ("test", "unit_test")
}
"""dbt's unique id of a data test or unit test → its check."""


class Build(dg.Config):
    """How the models are built."""

    force: bool = True
    """Build and publish even if nothing has changed, as a click on an asset asks for; the job ``refresh`` does not."""


@dg.multi_asset(
    name="dbt",
    specs=list(ASSETS.values()),
    check_specs=list(CHECKS.values()),
    can_subset=True,
    allow_arbitrary_check_specs=True,
    **writes("prod"),
)
def models(context: dg.AssetExecutionContext, config: Build):
    """Build, audit, publish; then report."""
    if not config.force and dbt.is_current():
        version = warehouse.current("prod")
        context.log.info(f"nothing has changed: version {version.id} of prod stays")
        context.instance.add_run_tags(context.run_id, {"prod version": str(version.id), "published": "no"})
        yield from _reported(context, version, lambda key: _known(context, key) != version.id)
        return
    start = time.perf_counter()
    try:
        with said_plainly():
            if not context.selected_asset_keys:  # checks alone: they are made again, and nothing is built
                yield from _checked(context, dbt.audit(who=who(context), report=progress(context, "build")).results)
                return
            version = dbt.publish(who=who(context), arguments=_selection(context), report=progress(context, "build"))
    except dg.Failure as failure:
        results = getattr(failure.__cause__, "results", ())
        yield from _checked(context, [result for result in results if result["status"] in ("fail", "error")])
        raise
    seconds = time.perf_counter() - start - sum(version.facts["seconds"].values())
    tags = {"prod version": str(version.id), "published": "yes", "publish seconds": f"{seconds:.3f}"}
    context.instance.add_run_tags(context.run_id, tags)
    yield from _reported(context, version, lambda key: True)


def _reported(context: dg.AssetExecutionContext, version: warehouse.Version, wanted: Callable) -> Iterator:
    """A published version: its assets, as far as they are wanted, and every check of its audit."""
    with version.open() as con:
        columns = con.execute(
            "select schema_name, table_name, column_name, data_type from duckdb_columns() order by column_index"
        ).fetchall()
    for unique_id, spec in ASSETS.items():
        if spec.key in context.selected_asset_keys and wanted(spec.key):
            yield dg.MaterializeResult(spec.key, metadata=_described(unique_id, version, columns))
    yield from _checked(context, json.loads((version.folder / "dbt" / "run_results.json").read_text())["results"])


def _known(context: dg.AssetExecutionContext, key: dg.AssetKey) -> int | None:
    """The version of ``prod`` that Dagster last heard of; of what is published without it, the next run tells it."""
    event = context.instance.get_latest_materialization_event(key)
    found = event.asset_materialization.metadata.get("prod version") if event and event.asset_materialization else None
    return found.value if found else None


def _selection(context: dg.AssetExecutionContext) -> list[str]:
    """dbt's arguments for what is selected; none for all, so that the build counts as a full one."""
    chosen = {unique_id for unique_id, spec in ASSETS.items() if spec.key in context.selected_asset_keys}
    if len(chosen) == len(ASSETS):
        return []
    nodes = [MANIFEST["nodes"][unique_id] for unique_id in sorted(chosen)]
    return ["--select", *(".".join(node["fqn"]) for node in nodes)]


def _described(unique_id: str, version: warehouse.Version, columns: list[tuple[str, str, str, str]]) -> dict:
    """Version, rows, metrics, and columns with the types that they have in the published file."""
    node = MANIFEST["nodes"][unique_id]
    about: dict = {"prod version": version.id, "raw version": version.facts["raw_version"]}
    table = f"{node['schema']}.{node['alias']}"
    about |= {f"metric {name}": figure for name, figure in version.facts.get("metrics", {}).get(table, {}).items()}
    rows = version.tables.get(table)
    if rows is not None:
        about["dagster/row_count"] = rows
    found = [
        dg.TableColumn(name, kind, node["columns"].get(name, {}).get("description"))
        for schema, table, name, kind in columns
        if (schema, table) == (node["schema"], node["alias"])
    ]
    if found:  # a view over raw is not in the published file
        about["dagster/column_schema"] = dg.TableSchema(found)
    return about


def _checked(context: dg.AssetExecutionContext, results: list[dict]) -> Iterator[dg.AssetCheckResult]:
    """The results of tests as those of checks; what was not selected is reported beside the run."""
    for result in results:
        spec = CHECKS.get(result["unique_id"])
        if spec is None or result["status"] == "skipped":
            continue
        about = {"status": result["status"]}
        about |= {name: result[name] for name in ("failures", "message") if result.get(name) is not None}
        checked = {
            "passed": result["status"] == "pass",
            "asset_key": spec.asset_key,
            "check_name": spec.name,
            "severity": dg.AssetCheckSeverity.WARN if result["status"] == "warn" else dg.AssetCheckSeverity.ERROR,
            "metadata": about,
        }
        if spec.key in context.selected_asset_check_keys:
            yield dg.AssetCheckResult(**checked)
        else:
            context.instance.report_runless_asset_event(dg.AssetCheckEvaluation(**checked))
