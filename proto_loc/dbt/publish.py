"""Builds, audits and publishes ``prod``."""

import shutil
import time
from collections.abc import Collection, Sequence

from proto_loc import warehouse
from proto_loc.dbt import program, publication, relations
from proto_loc.dbt.failures import BuildFailed
from proto_loc.dbt.fingerprints import fingerprints, marks_after, project_hash
from proto_loc.dbt.histories import keep_histories
from proto_loc.dbt.moving import Moving
from proto_loc.dbt.nodes import build_nodes, names_test
from proto_loc.dbt.outcomes import check_declarations, read_outcomes
from proto_loc.dbt.parse import session_manifest
from proto_loc.dbt.prepare import make_ready
from proto_loc.dbt.run import Report, Run, execute
from proto_loc.dbt.session import open_session, restore_views, views
from proto_loc.metrics.read import read
from proto_loc.warehouse import engine, ledger


def publish(
    *,
    who: str,
    arguments: Sequence[str] = (),
    forget: Collection[str] = (),
    timeout: float | None = None,
    report: Report | None = None,
    moving: Moving | None = None,
) -> warehouse.Version:
    """Build ``prod`` from the current ``raw``, audit it with every test, and publish it.

    Args:
        who: the builder's name for the history.
        arguments: further arguments of ``dbt build``. If they leave out a node, all tests run after
            the build, because the audit covers the whole file.
        forget: tables of deleted snapshots whose history may go; see :func:`keep_histories`.
        report: called after each node; without it, dbt's own log goes to the terminal.
        moving: the move to another engine that this build is a part of.

    Raises:
        BuildFailed: a model or test failed; the message names each, its file and why.
        MetricError: a metric is not supported, or cannot be computed.
        WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    start = time.perf_counter()
    onto = moving.engine if moving else None
    with open_session(who, timeout, onto) as (session, raw):
        if report:
            report("starting dbt", 0, 1)
        ledger.check(ledger.loads_of(raw))  # the files of the lake are as they were loaded
        project = project_hash()
        manifest = session_manifest(session)
        marks, metrics = fingerprints(manifest), read(manifest)
        check_declarations(manifest)
        base = session.base.facts if session.base else {}
        if moving:
            moving.begin(session, raw, manifest)
        keep_histories(session, manifest, forget)
        rebuilt = make_ready(session, manifest, marks, arguments)
        prepared = time.perf_counter()
        run = audit = execute(["build", *arguments], session, report)
        if not run.nodes:
            raise BuildFailed(
                "dbt built nothing.",
                "No node was selected.",
                "Nothing was published, prod is as it was.",
            )
        nodes = build_nodes(manifest)
        partial = not nodes <= run.nodes
        if partial:
            if base.get("load_ids") != raw.facts["load_ids"]:
                raise BuildFailed(
                    "A part of the models would be built from other loads than the rest.",
                    "Since prod was built, raw has changed.",
                    "Run `loc refresh` first, or build all: `loc dbt -- build --target prod`.",
                )
            audit = execute(["test"], session, report)
        if untested := sorted(node for node in nodes - audit.nodes if names_test(node)):
            raise BuildFailed(
                f"{len(untested)} of the dbt project's tests did not run.",
                f"dbt left out {untested[0]}.",
                "Nothing was published, prod is as it was: only what every test has seen is"
                " published.",
            )
        if project != project_hash():
            raise BuildFailed(
                "A file of the dbt project was changed during the build.",
                "What was built is neither the old project nor the new one.",
                "Nothing was published, prod is as it was. Run it again.",
            )
        session.checks = audit.checks
        session.facts = {
            "dbt_invocations": list(dict.fromkeys([run.invocation, audit.invocation])),
            "raw_version": raw.id,
            "load_ids": raw.facts["load_ids"],
            "project": None if partial else project,
            "models": marks_after(manifest, run.built, marks, base.get("models", {})),
            "rebuilt": rebuilt,
            "views": views(session, manifest),
            "outcomes": read_outcomes(session, manifest),
            "metrics": publication.record(session, raw, metrics),
            "seconds": {
                "prepare": prepared - start,
                "build and audit": time.perf_counter() - prepared,
            },
        }
        if moving:
            moving.compare(session)
        (session.folder / "dbt").mkdir()
        for name in ("manifest.json", "semantic_manifest.json", "run_results.json"):
            shutil.copy(program.target_path("prod") / name, session.folder / "dbt")
    return session.version


def publish_nothing(*, who: str, timeout: float | None = None) -> warehouse.Version:
    """Publish ``prod`` without a table, for a project that has no model any more.

    Raises:
        WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    with open_session(who, timeout) as (session, raw):
        with session.connect() as con:
            relations.remove(session, con, keep=set(), rebuild=set())
        session.facts = {
            "raw_version": raw.id,
            "load_ids": raw.facts["load_ids"],
            "project": project_hash(),
        }
    return session.version


def audit(*, who: str, timeout: float | None = None, report: Report | None = None) -> Run:
    """Run every test on the published version, and publish nothing.

    Raises:
        BuildFailed, WarehouseError: see :func:`publish`.
    """
    with open_session(who, timeout) as (session, _):
        session.discard()
        restore_views(session)
        return execute(["test"], session, report)


def is_current() -> bool:
    """Whether this project has built all of ``prod`` from this ``raw``, so no build is needed.

    Raises:
        WarehouseError: ``prod`` is kept by another engine than that of ``LOC_ENGINE``.
    """
    if warehouse.store.current_id("prod") is None or warehouse.store.current_id("raw") is None:
        return False
    prod, raw = warehouse.current("prod"), warehouse.current("raw")
    if prod.tables and prod.engine != engine.of("prod").name:
        raise engine.another(prod)
    return (
        bool(prod.tables)
        and prod.facts.get("load_ids") == raw.facts.get("load_ids")
        and prod.facts.get("project") == project_hash()
    )
