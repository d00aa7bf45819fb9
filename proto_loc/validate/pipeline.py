"""Steps on the data: it is loaded through Dagster, built, audited, published, and fresh."""

import logging
from collections import Counter
from collections.abc import Iterator

from proto_loc import fork_file, warehouse
from proto_loc.dagster import client
from proto_loc.doctor import look
from proto_loc.doctor.finding import Finding, ok
from proto_loc.refresh.request import Request
from proto_loc.sources import find_sources
from proto_loc.validate import figures
from proto_loc.validate.proof import Proof, fail, skip
from proto_loc.warehouse import lake

WHO = "loc validate"
SOAK = "loc soak"
"""The writer's name in a soak, which makes the sample smaller for a while."""


def ingest(proof: Proof) -> Iterator[Finding]:
    """Load through Dagster's API, then build, audit and publish in the same run."""
    if hint := fork_file.first_step():
        yield skip("Nothing was loaded: there is no source and no model yet", "", hint)
        return
    if not proof.publish:
        yield skip("Nothing was loaded or published, as --read-only is given")
        return
    if proof.started and (run := _first_load(proof)):
        yield ok(
            f"The first load of this platform was a run of Dagster: {run['runId']} has published"
            f" version {proof.prod.id} of prod"
        )
        return
    before = warehouse.store.current_id("prod")
    proof.say("waiting for Dagster")
    logging.getLogger("proto_loc.dagster").setLevel(logging.ERROR)  # the step reports it
    dagster = client.find()
    if dagster is None:
        yield fail(
            "Dagster is not up, or cannot load the project's code.",
            "Nothing was loaded.",
            "./loc logs dagster-code, ./loc status; `loc refresh --direct` shows the error.",
        )
        return
    request = request_of_all()
    done = dagster.refresh(
        request,
        who=WHO,
        report=lambda step, what, number, total: proof.say(f"{step}: {what}, {number} of {total}"),
    )
    loaded = [outcome.load for outcome in done.outcomes if outcome.load and not outcome.skipped]
    refused = [outcome for outcome in done.outcomes if outcome.skipped and not outcome.load]
    for outcome in refused:
        yield Finding("warn", f"{outcome.input} was not loaded: {outcome.skipped}")
    rows = sum(load.rows for load in loaded)
    yield ok(f"A run of Dagster has loaded {len(loaded)} files or partitions, {rows:,} rows")
    seconds = ", ".join(f"{step} {value:.1f} s" for step, value in done.seconds.items())
    yield ok(f"It took: {seconds}")
    if done.prod.id == before:
        yield fail(
            f"Version {before} of prod stays, although the run was to publish one.",
            "The run ended with success, and published nothing.",
            "See the run on Dagster's page.",
        )
    else:
        yield ok(f"Version {done.prod.id} of prod was published, by {done.prod.who}")


def _first_load(proof: Proof) -> dict | None:
    """The run of Dagster that has filled this platform while it started, if there is one."""
    runs = client.last_runs(1) or []
    number = proof.prod.id
    return next(
        (
            run
            for run in runs
            if number > (proof.before or 0)
            and proof.prod.tables
            and run["status"] == "SUCCESS"
            and run["tags"].get("prod version") == str(number)
        ),
        None,
    )


def request_of_all() -> Request:
    """What a run loads: the sample again if nothing else is loaded, else what is new.

    A sample that a soak has made smaller, and could not make whole again, is made whole.
    """
    loads = lake.loads()
    sampled = {load.source for load in loads if load.origin == "synthetic"}
    if len(sampled) == 1 and all(load.origin == "synthetic" for load in loads):
        (name,) = sampled
        source = find_sources().get(name)
        rows = sum(load.rows for load in loads)
        whole = source.sample_rows if source is not None else None
        if whole and (rows == whole or (rows < whole and warehouse.current("raw").who == SOAK)):
            return Request(rows=whole, source=name, force=True)
    return Request(force=True)


def audit(proof: Proof) -> Iterator[Finding]:
    """Check the published version: its checks, its files, and that no row is lost."""
    if not (version := _published(proof)):
        yield _no_data()
        return
    failed = {status: n for status, n in version.checks.items() if status in ("fail", "error")}
    counts = ", ".join(f"{number} {status}" for status, number in sorted(version.checks.items()))
    if failed:
        yield fail(f"Version {version.id} of prod was published with failed checks: {counts}.")
    else:
        yield ok(f"Version {version.id} has passed its audit: {counts or 'no dbt test'}")
    proof.say("comparing checksums")
    yield from (finding for _, finding in look(["warehouse"]))
    yield from _accounts(version)


def _accounts(version: warehouse.Version) -> Iterator[Finding]:
    """Check that every row of the loads is accepted, rejected, or not audited."""
    active = [
        load for load in lake.loads(active=False) if load.load_id in version.facts["load_ids"]
    ]
    rows: Counter[int] = Counter()
    for load_id, outcomes in version.facts.get("outcomes", {}).items():
        rows[int(load_id)] += sum(outcomes.values())
    audited = [load for load in active if load.load_id in rows]
    lost = [load for load in audited if rows[load.load_id] != load.rows]
    for load in lost:
        yield fail(
            f"{load.source}.{load.table_name}, {load.input}: {load.rows:,} rows were loaded, and"
            f" {rows[load.load_id]:,} are accepted or rejected.",
            "The models of the project lose rows, or count them twice.",
            "docs/declaration.md shows how a model says which rows it accepts.",
        )
    total = sum(load.rows for load in active)
    if not lost:
        yield ok(
            f"No row is lost: of {total:,} loaded rows, {sum(load.rows for load in audited):,} are"
            " accepted or rejected with a reason, and no model audits the others"
        )


def computed(proof: Proof) -> Iterator[Finding]:
    """Compute every figure from the marts, and compare it with the one that was recorded."""
    if not (version := _published(proof)):
        yield _no_data()
        return
    proof.models = figures.models(version)
    with version.open() as con:
        proof.say("computing the figures")
        proof.expected = figures.compute(con, version.id, proof.models)
        if not proof.expected.figures:
            yield skip(
                "There is no metric to compare",
                "The dbt project defines none.",
                "Define one: `loc metric add`, docs/metrics.md.",
            )
            return
        try:
            recorded = figures.recorded(con, proof.expected)
        except version.keeper.missing:
            recorded = {}
    proof.record("warehouse", proof.expected.totals())
    wrong = figures.differences(proof.expected, recorded)
    if wrong:
        yield fail(
            "The recorded figures are not those of the marts.",
            figures.listed(wrong),
            "./loc refresh --force publishes them again.",
        )
    else:
        metrics = len(proof.expected.totals())
        yield ok(
            f"{len(proof.expected.figures):,} figures of {metrics} metrics are those that the"
            " publish recorded"
        )


def fresh(proof: Proof) -> Iterator[Finding]:
    """Check the age and the size of each table's loads, as doctor does."""
    if not find_sources():
        yield skip("There is no source whose loads could be old", "", fork_file.first_step())
        return
    yield from (finding for _, finding in look(["sources"]))


def _published(proof: Proof) -> warehouse.Version | None:
    """The current version; None if nothing was built yet."""
    if warehouse.store.current_id("prod") is None:
        return None
    version = proof.prod
    return version if version.tables and "load_ids" in version.facts else None


def _no_data() -> Finding:
    hint = fork_file.first_step() or "`loc refresh` publishes what is loaded."
    return skip("There is no published data yet", "", hint)
