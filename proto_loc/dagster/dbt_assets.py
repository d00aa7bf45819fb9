"""Makes an asset of each dbt model, seed and snapshot, and an asset check of each dbt test.

dbt builds a file that no reader sees yet, so nothing is reported while it runs. Once the version is
published, every asset and check is reported with the version's id. If a test fails, only the failed
checks are reported, and no asset.
"""

import hashlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache

import dagster as dg

from proto_loc import warehouse
from proto_loc.dagster.policies import progress, said_plainly, who, writes
from proto_loc.dbt import nodes, parse, publish
from proto_loc.dbt.nodes import names_test
from proto_loc.metrics.marts import marts
from proto_loc.metrics.read import file_of
from proto_loc.sources import declared_columns

# dbt runs in its own process. If dagster-dbt believes that dbt-core is not installed, it does not
# import it, which saves each process and run a second and 30 MB.
_dbt = sys.modules.get("dbt.version")
sys.modules["dbt.version"] = None
from dagster_dbt import DagsterDbtTranslator  # noqa: E402

if _dbt:
    sys.modules["dbt.version"] = _dbt
else:
    del sys.modules["dbt.version"]

log = logging.getLogger("proto_loc.dagster")
FRESH = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(days=40), fail_window=timedelta(days=100)
)
"""The same as the freshness of the dbt sources."""


MANIFEST = parse.manifest()

LEDGER = dg.AssetKey(["raw", "loads"])
RESERVED = {
    LEDGER,
    dg.AssetKey(["reports", "discovery"]),
    *(dg.AssetKey(name.split(".")) for name in declared_columns()),
}
"""Assets that are not dbt nodes."""


def _keys() -> dict[str, dg.AssetKey]:
    """Map dbt's unique id of each source and relation to an asset key.

    A key is schema and table, which are unique in dbt. Characters that Dagster does not allow are
    replaced; if the result is not unique, a hash is appended.
    """
    keys: dict[str, dg.AssetKey] = {}
    for unique_id, source in MANIFEST["sources"].items():
        if source["database"] == "raw":  # the source may have any name in dbt
            schema = "raw" if source["schema"] == "main" else source["schema"]
            keys[unique_id] = dg.AssetKey([schema, source["identifier"]])
        else:
            keys[unique_id] = dg.AssetKey([_plain(source["source_name"]), _plain(source["name"])])
    raw = {keys[i] for i, source in MANIFEST["sources"].items() if source["database"] == "raw"}
    taken = {key.to_python_identifier() for key in raw | RESERVED}
    relations = {
        unique_id: node for unique_id, node in MANIFEST["nodes"].items() if nodes.is_relation(node)
    }
    paths = {
        unique_id: [_plain(node["schema"]), _plain(node["alias"])]
        for unique_id, node in relations.items()
    }
    as_they_are = [
        i for i, node in relations.items() if paths[i] == [node["schema"], node["alias"]]
    ]
    for unique_id in dict.fromkeys([*sorted(as_they_are), *sorted(relations)]):
        # A user may declare a key as in dagster-dbt.
        stated = relations[unique_id]["config"].get("meta", {}).get("dagster", {}).get("asset_key")
        *folders, name = map(_plain, stated or paths[unique_id])
        if dg.AssetKey([*folders, name]).to_python_identifier() in taken:
            name += f"_{_mark(unique_id)}"
        keys[unique_id] = dg.AssetKey([*folders, name])
        taken.add(keys[unique_id].to_python_identifier())
    return keys


def _plain(name: str) -> str:
    """Replace the characters that Dagster does not allow in names."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _mark(unique_id: str) -> str:
    return hashlib.sha256(unique_id.encode()).hexdigest()[:8]


KEYS = _keys()


class Translator(DagsterDbtTranslator):
    """Names keys after schema and table, and groups after the folder."""

    def get_asset_key(self, dbt_resource_props) -> dg.AssetKey:
        found = KEYS.get(dbt_resource_props["unique_id"])
        return found or super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props) -> str:
        if dbt_resource_props["resource_type"] != "model":
            return "seeds"
        folders = dbt_resource_props["fqn"][1:-1]  # empty for a model in the top folder
        return _plain((folders or ["models"])[0])

    def get_owners(self, dbt_resource_props) -> list[str]:
        """Keep the owners that Dagster accepts: mail addresses and teams."""
        return [
            o for o in super().get_owners(dbt_resource_props) or [] if re.fullmatch(OWNER, str(o))
        ]


OWNER = r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}|team:[A-Za-z0-9_]+"
_translator = Translator()


@cache
def _parents(node: str) -> frozenset[str]:
    """The sources and relations that a node reads, directly or through ephemeral models."""
    parents = MANIFEST["parent_map"].get(node, [])
    return frozenset().union(
        *({parent} if parent in KEYS else _parents(parent) for parent in parents)
    )


@cache
def _ancestors(node: str) -> frozenset[str]:
    return _parents(node).union(*map(_ancestors, _parents(node)))


def _reads_raw() -> set[str]:
    """The nodes that wait for the ledger, because they read a source in the raw catalogue.

    If no node declares such a source, these are the nodes without any parent, as one of them may
    name raw tables in its SQL: a build must not overtake a load.
    """
    ids = [unique_id for unique_id in KEYS if unique_id not in MANIFEST["sources"]]
    raw = {
        unique_id
        for unique_id, source in MANIFEST["sources"].items()
        if source["database"] == "raw"
    }
    return {i for i in ids if _parents(i) & raw} or {i for i in ids if not _parents(i)}


MARTS = marts(MANIFEST)


def _specs() -> Iterator[tuple[str, dg.AssetSpec]]:
    after_load = _reads_raw()
    own = {KEYS[unique_id] for unique_id in KEYS if unique_id not in MANIFEST["sources"]}
    # Parents come first, because Dagster expects a step's results in that order.
    for unique_id in sorted(
        KEYS.keys() - MANIFEST["sources"].keys(), key=lambda node: (len(_ancestors(node)), node)
    ):
        node = MANIFEST["nodes"][unique_id]
        spec = _translator.get_asset_spec(MANIFEST, unique_id, None)
        where = {"dbt file": dg.MetadataValue.text(file_of(node))}
        # Leave out what only dagster-dbt's own runner reads, such as the whole manifest.
        kept = {name: value for name, value in spec.metadata.items() if name.startswith("dagster/")}
        policy = FRESH if unique_id in MARTS else None
        # A source that is a relation of this project could create a cycle.
        sources = {
            KEYS[parent] for parent in _parents(unique_id) & MANIFEST["sources"].keys()
        } - own
        deps = sources | {
            KEYS[parent] for parent in _parents(unique_id) - MANIFEST["sources"].keys()
        }
        deps |= {LEDGER} if unique_id in after_load else set()
        yield (
            unique_id,
            spec.replace_attributes(
                metadata=kept | where, freshness_policy=policy, deps=sorted(deps)
            ),
        )


ASSETS = dict(_specs())
"""dbt's unique id of a model, seed or snapshot → its asset."""


def _tested(test: dict) -> str | None:
    """Find the relation whose check a test becomes; None if no relation is connected to it.

    It is the node that the test is attached to, or else the most downstream relation that the test
    reads. For a test of a source or an ephemeral model, it is the first relation that reads those.
    """
    attached = test.get("attached_node") or test.get("tested_node_unique_id")
    if attached in ASSETS:
        return attached
    nodes = test["depends_on"]["nodes"]
    if found := [node for node in nodes if node in ASSETS]:
        return max(found, key=lambda node: len(_ancestors(node)))
    readers = (node for node in ASSETS if any(_is_read(by=node, what=read) for read in nodes))
    return next(readers, None)


def _is_read(*, by: str, what: str) -> bool:
    parents = MANIFEST["parent_map"].get(by, [])
    return what in parents or any(
        _is_read(by=node, what=what) for node in parents if node not in KEYS
    )


def _checks() -> Iterator[tuple[str, dg.AssetCheckSpec]]:
    taken: set[str] = set()
    for unique_id, test in (MANIFEST["nodes"] | MANIFEST["unit_tests"]).items():
        if not nodes.is_test(test) or (tested := _tested(test)) is None:
            continue
        key = ASSETS[tested].key
        others = {ASSETS[node].key for node in test["depends_on"]["nodes"] if node in ASSETS} - {
            key
        }
        name = _plain(test["name"])
        if f"{key.to_python_identifier()}_{name}" in taken:
            name += f"_{_mark(unique_id)}"
        taken.add(f"{key.to_python_identifier()}_{name}")
        yield (
            unique_id,
            dg.AssetCheckSpec(
                name=name,
                asset=key,
                additional_deps=sorted(others),
                description=test.get("description") or None,
                blocking=str(test["config"].get("severity") or "error").lower() != "warn",
                metadata={"dbt file": dg.MetadataValue.text(file_of(test))},
            ),
        )


CHECKS = dict(_checks())
"""dbt's unique id of a data test or unit test → its check."""

UNSHOWN = sorted(
    f"{test['name']} ({file_of(test)})"
    for unique_id, test in MANIFEST["nodes"].items()
    if nodes.is_test(test) and unique_id not in CHECKS
)
"""Tests that are not a check of any asset; they run and count like any other."""

if UNSHOWN:
    log.warning(
        "run with each build, but no check here, since no model has to do with it: %s",
        ", ".join(UNSHOWN),
    )


FAILED = 10
"""Failed tests that a tag of the run names."""


class Build(dg.Config):
    """How the models are built."""

    force: bool = True
    """Build even if nothing has changed: true for a click on an asset, false in the job."""


@dg.multi_asset(
    name="dbt",
    specs=list(ASSETS.values()),
    check_specs=list(CHECKS.values()),
    can_subset=True,
    allow_arbitrary_check_specs=True,
    **writes("prod"),
)
def models(context: dg.AssetExecutionContext, config: Build):
    """Build, audit and publish; then report the assets and checks."""
    if not config.force and publish.is_current():
        version = warehouse.current("prod")
        context.log.info(f"nothing has changed: version {version.id} of prod stays")
        context.instance.add_run_tags(
            context.run_id, {"prod version": str(version.id), "published": "no"}
        )
        yield from _reported(context, version, lambda key: _known(context, key) != version.id)
        return
    if UNSHOWN:
        context.log.info(f"run with each build, but no check: {', '.join(UNSHOWN)}")
    start = time.perf_counter()
    try:
        with said_plainly(context):
            if not context.selected_asset_keys:  # checks alone: audit again, and build nothing
                yield from _checked(
                    context,
                    publish.audit(who=who(context), report=progress(context, "build")).results,
                )
                return
            version = publish.publish(
                who=who(context), arguments=_selection(context), report=progress(context, "build")
            )
    except dg.Failure as failure:
        results = getattr(failure.__cause__, "results", ())
        failed = [result for result in results if result["status"] in ("fail", "error")]
        if names := failed_checks(failed):
            context.instance.add_run_tags(context.run_id, {"failed checks": " ".join(names)})
        yield from _checked(context, failed)
        raise
    seconds = time.perf_counter() - start - sum(version.facts["seconds"].values())
    tags = {
        "prod version": str(version.id),
        "published": "yes",
        "publish seconds": f"{seconds:.3f}",
        "dbt invocation": " ".join(version.facts.get("dbt_invocations", ())),
    }
    context.instance.add_run_tags(context.run_id, tags)
    yield from _reported(context, version, lambda key: True)


def failed_checks(results: list[dict]) -> list[str]:
    """Names of the failed tests among dbt's results, the first :data:`FAILED` of them."""
    tests = MANIFEST["nodes"] | MANIFEST["unit_tests"]
    ids = [result["unique_id"] for result in results if names_test(result["unique_id"])]
    return [_plain(tests[unique_id]["name"]) for unique_id in ids[:FAILED] if unique_id in tests]


def _reported(
    context: dg.AssetExecutionContext, version: warehouse.Version, wanted: Callable
) -> Iterator:
    """Report a published version: the wanted assets, and all checks of its audit."""
    columns = [
        (*table.split(".", 1), column, kind)
        for table, columns in version.columns().items()
        for column, kind in columns.items()
    ]
    for unique_id, spec in ASSETS.items():
        if spec.key in context.selected_asset_keys and wanted(spec.key):
            yield dg.MaterializeResult(spec.key, metadata=_described(unique_id, version, columns))
    yield from _checked(
        context, json.loads((version.folder / "dbt" / "run_results.json").read_text())["results"]
    )


def _known(context: dg.AssetExecutionContext, key: dg.AssetKey) -> int | None:
    """Return the version of an asset that Dagster knows; `loc` also publishes without Dagster."""
    event = context.instance.get_latest_materialization_event(key)
    found = (
        event.asset_materialization.metadata.get("prod version")
        if event and event.asset_materialization
        else None
    )
    return found.value if found else None


def _selection(context: dg.AssetExecutionContext) -> list[str]:
    """Return dbt's arguments for the selected assets; empty for all assets (a full build)."""
    chosen = {
        unique_id for unique_id, spec in ASSETS.items() if spec.key in context.selected_asset_keys
    }
    if len(chosen) == len(ASSETS):
        return []
    nodes = [MANIFEST["nodes"][unique_id] for unique_id in sorted(chosen)]
    return ["--select", *(".".join(node["fqn"]) for node in nodes)]


def _described(
    unique_id: str, version: warehouse.Version, columns: list[tuple[str, str, str, str]]
) -> dict:
    """An asset's metadata: version, rows, metrics, and the columns of the published file."""
    node = MANIFEST["nodes"][unique_id]
    about: dict = {"prod version": version.id, "raw version": version.facts["raw_version"]}
    table = f"{node['schema']}.{node['alias']}"
    about |= {
        f"metric {name}": figure
        for name, figure in version.facts.get("metrics", {}).get(table, {}).items()
    }
    rows = version.tables.get(table)
    if rows is not None:
        about["dagster/row_count"] = rows
    found = [
        dg.TableColumn(name, kind, node["columns"].get(name, {}).get("description"))
        for schema, table, name, kind in columns
        if (schema, table) == (node["schema"], node["alias"])
    ]
    if found:  # the published file has no views over raw
        about["dagster/column_schema"] = dg.TableSchema(found)
    return about


def _checked(
    context: dg.AssetExecutionContext, results: list[dict]
) -> Iterator[dg.AssetCheckResult]:
    """Turn test results into check results, or into runless events if not selected."""
    for result in results:
        spec = CHECKS.get(result["unique_id"])
        if spec is None or result["status"] == "skipped":
            continue
        about = {"status": result["status"]}
        about |= {
            name: result[name] for name in ("failures", "message") if result.get(name) is not None
        }
        if rows := result.get("rows"):
            about["first rows"] = dg.MetadataValue.md("```\n" + "\n".join(rows) + "\n```")
        checked = {
            "passed": result["status"] == "pass",
            "asset_key": spec.asset_key,
            "check_name": spec.name,
            "severity": (
                dg.AssetCheckSeverity.WARN
                if result["status"] == "warn"
                else dg.AssetCheckSeverity.ERROR
            ),
            "metadata": about,
        }
        if spec.key in context.selected_asset_check_keys:
            yield dg.AssetCheckResult(**checked)
        else:
            context.instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(**checked, blocking=spec.blocking)
            )
