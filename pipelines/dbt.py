"""dbt, run as a program: on ``dev`` as a person would, on ``prod`` inside a publishing session."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import publication, sources
from proto_loc import warehouse
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.read import read
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import lake, ledger
from proto_loc.warehouse.errors import block_is_damaged, disk_is_full, first_line, no_space
from proto_loc.warehouse.lock import writer_lock

PROJECT = ROOT / "dbt"
DBT = Path(sys.executable).parent / "dbt"
# A build lives for seconds and makes few cycles: to look for them costs it a tenth of its own time.
BUILDER = [sys.executable, "-c", "import gc; gc.disable(); from dbt.cli.main import cli; cli(prog_name='dbt')"]

UNAUDITED = {"run", "seed", "snapshot", "run-operation", "retry", "clone"}
OPTIONS = {
    *("select", "exclude", "selector", "resource_types", "exclude_resource_types", "indirect_selection"),
    *("full_refresh", "fail_fast", "threads", "single_threaded", "target", "warn_error", "warn_error_options"),
    *("quiet", "debug", "print", "printer_width", "use_colors", "log_format", "log_level", "log_level_file"),
}
"""Options of ``dbt build`` that change neither what a model's rows are nor where they go, by dbt's own names."""

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many of the nodes are done, and how many there are."""


class BuildFailed(LocError):
    """dbt did not build, or a test failed; nothing was published."""

    results: Sequence[dict] = ()
    """What became of each node that was reached, as in :attr:`Run.results`."""


@dataclass
class Run:
    """What one run of dbt did, by node."""

    results: list[dict] = field(default_factory=list)
    """``unique_id``, ``status``, ``message``, ``failures``, ``execution_time`` (seconds) of dbt's run_results.json."""

    @property
    def nodes(self) -> set[str]:
        """Nodes that dbt ran, whatever came of it."""
        return {result["unique_id"] for result in self.results}

    @property
    def checks(self) -> dict[str, int]:
        """Tests by status: ``pass``, ``warn``, ``fail``, ``error``."""
        counts: dict[str, int] = {}
        for result in self.results:
            if _is_test(result["unique_id"]):
                counts[result["status"]] = counts.get(result["status"], 0) + 1
        return counts

    @property
    def built(self) -> set[str]:
        """Models and seeds that were built."""
        return {r["unique_id"] for r in self.results if r["status"] == "success"}


def publish(
    *, who: str, arguments: Sequence[str] = (), timeout: float | None = None, report: Report | None = None
) -> warehouse.Version:
    """Build ``prod`` from the current ``raw``, audit it with every test, and publish it.

    Args:
        who: who builds, for the history.
        arguments: further arguments of ``dbt build``. If they leave out any node, all tests run after the build, since
            the audit is of the whole file.
        report: called after each node; without it dbt's own log goes to the terminal.

    Raises:
        BuildFailed: a model or test failed; the message names each, its file and why.
        MetricError: a metric is not supported, or cannot be computed.
        WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    start = time.perf_counter()
    with _session(who, timeout) as (session, raw):
        if report:
            report("starting dbt", 0, 1)
        ledger.check(ledger.loads_of(raw))  # what a table is built from is read as it was loaded
        project = project_hash()
        manifest = _manifest(session)
        wanted, metrics = fingerprints(manifest), read(manifest)
        base = session.base.facts if session.base else {}
        known = base.get("models", {})
        if arguments:
            _restore_views(session, report)
        rebuild = [manifest["nodes"][node]["name"] for node, mark in wanted.items() if known.get(node) != mark]
        prepared = time.perf_counter()
        run = audit = execute(["build", *arguments], session, report, LOC_REBUILD=",".join(rebuild))
        if not run.nodes:
            raise BuildFailed(
                "dbt built nothing.", "No node was selected.", "Nothing was published, prod is as it was."
            )
        nodes = _nodes(manifest)
        partial = not nodes <= run.nodes
        if partial:
            if base.get("load_ids") != raw.facts["load_ids"]:
                raise BuildFailed(
                    "A part of the models would be built from other loads than the rest.",
                    "Since prod was built, raw has changed.",
                    "Run `loc refresh` first, or build all: `loc dbt -- build --target prod`.",
                )
            audit = execute(["test"], session, report)
        if untested := sorted(node for node in nodes - audit.nodes if _is_test(node)):
            raise BuildFailed(
                f"{len(untested)} of the dbt project's tests did not run.",
                f"dbt left out {untested[0]}.",
                "Nothing was published, prod is as it was: only what every test has seen is published.",
            )
        if project != project_hash():
            raise BuildFailed(
                "A file of the dbt project was changed during the build.",
                "What was built is neither the old project nor the new one.",
                "Nothing was published, prod is as it was. Run it again.",
            )
        session.checks = audit.checks
        session.facts = {
            "raw_version": raw.id,
            "load_ids": raw.facts["load_ids"],
            "project": None if partial else project,
            "models": {node: mark if node in run.built else known.get(node) for node, mark in wanted.items()},
            "outcomes": _outcomes(session),
            "metrics": publication.record(session, raw, metrics),
            "seconds": {"prepare": prepared - start, "build and audit": time.perf_counter() - prepared},
        }
        (session.folder / "dbt").mkdir()
        for name in ("manifest.json", "semantic_manifest.json", "run_results.json"):
            shutil.copy(target_path("prod") / name, session.folder / "dbt")
    return session.version


def audit(*, who: str, timeout: float | None = None, report: Report | None = None) -> Run:
    """Run every test on what is published, and publish nothing.

    Raises:
        BuildFailed, WarehouseError: see :func:`publish`.
    """
    with _session(who, timeout) as (session, _):
        session.discard()
        _restore_views(session, report)
        return execute(["test"], session, report)


def is_current() -> bool:
    """Whether a build would change nothing: ``prod`` was built in full from this ``raw`` by this dbt project."""
    if warehouse.store.current_id("prod") is None or warehouse.store.current_id("raw") is None:
        return False
    prod, raw = warehouse.current("prod"), warehouse.current("raw")
    return (
        bool(prod.tables)
        and prod.facts.get("load_ids") == raw.facts.get("load_ids")
        and prod.facts.get("project") == project_hash()
    )


def passthrough(arguments: Sequence[str]) -> int:
    """Run dbt with a person's own arguments and return its exit code.

    On ``prod``, ``build`` publishes; commands that only read run on a private copy; those that would write without
    tests are refused.

    Raises:
        UsageError: the command would publish what no test has seen.
        BuildFailed, WarehouseError: see :func:`publish`.
    """
    command, rest, given = _parse(arguments)
    if given.get("target", os.environ.get("DBT_TARGET")) != "prod" or not command or "help" in given:
        lake.settle(sources.TABLES)
        warehouse.ensure("prod")
        return subprocess.run([DBT, *arguments], cwd=PROJECT, env=_environment("dev")).returncode
    if command in UNAUDITED:
        raise UsageError(
            f"`dbt {command}` does not write to prod.",
            "It runs no tests, and only tested data is published.",
            "Run `loc dbt -- build --target prod`, or use the target dev.",
        )
    if command == "build":
        if refused := sorted(given.keys() - OPTIONS):
            raise UsageError(
                f"`dbt build` on prod takes no --{refused[0].replace('_', '-')}.",
                "What is published is the whole project on all of raw, as any other build would make it.",
                "Leave it out, or use the target dev.",
            )
        publish(who="loc dbt -- build", arguments=rest)
        return 0
    with _session(f"loc dbt -- {command}", None) as (session, _):
        session.discard()
        if command == "test":
            _restore_views(session, None)
        return session.run(
            [DBT, *arguments, "--target", "prod"], cwd=session.folder, env=_environment("prod")
        ).returncode


def execute(arguments: Sequence[str], session: warehouse.Session, report: Report | None, **environment: str) -> Run:
    """Run dbt once on a session's file and read its results.

    Raises:
        BuildFailed: dbt ended with an error.
        OSError: the disk is full.
    """
    results = target_path("prod") / "run_results.json"
    results.unlink(missing_ok=True)
    command = [*BUILDER, *arguments, "--target", "prod"]
    options = {"cwd": session.folder, "env": _environment("prod", **environment)}
    if report is None:
        code, lines = session.run(command, **options).returncode, []
    else:
        command[len(BUILDER) : len(BUILDER)] = ["--log-format", "json", "--no-use-colors"]
        code, lines = _watch(command, session, report, options)
    run = Run(json.loads(results.read_text())["results"] if results.exists() else [])
    if code != 0:
        messages = [result["message"] or "" for result in run.results]
        if disk_is_full([*lines, *messages]):
            raise no_space(session.path)  # the session says what to do
        said = next((text for text in (*lines, *messages) if block_is_damaged(text)), None)
        if said and session.base:
            raise session.base.damaged(first_line(next(filter(block_is_damaged, said.splitlines()))))
        failure = _failure(run, lines)
        failure.results = run.results
        raise failure
    return run


def fingerprints(manifest: dict) -> dict[str, str]:
    """Incremental model → a hash of all that its rows depend on: SQL and configuration of it and of its ancestors, the
    seeds they read, and the project's macros, functions and variables. A table with another fingerprint has to be
    rebuilt in full.

    Args:
        manifest: of a parse; that of a run differs by what was run.
    """
    shared = sorted(_shared(manifest))
    return {
        node: hashlib.sha256("\n".join([*shared, *sorted(_ingredients(node, manifest))]).encode()).hexdigest()
        for node, content in manifest["nodes"].items()
        if content["resource_type"] == "model" and content["config"]["materialized"] == "incremental"
    }


def _shared(manifest: dict) -> Iterator[str]:
    """What any model may use without that its manifest says so: a macro in a branch that a parse does not take, too."""
    yield (PROJECT / "dbt_project.yml").read_text()
    own = manifest["metadata"]["project_name"]
    for content in (*manifest["macros"].values(), *manifest.get("functions", {}).values()):
        if content["package_name"] == own:
            yield json.dumps([content["unique_id"], content.get("macro_sql") or content.get("raw_code")])


def _ingredients(model: str, manifest: dict) -> Iterator[str]:
    waiting, seen = [model], set()
    while waiting:
        unique_id = waiting.pop()
        if unique_id in seen or unique_id not in manifest["nodes"]:  # a source, or what is shared
            continue
        seen.add(unique_id)
        content = manifest["nodes"][unique_id]
        types = {name: column["data_type"] for name, column in content["columns"].items()}
        names = ("materialized", "contract", "pre-hook", "post-hook", "column_types", "delimiter", "quote_columns")
        config = {name: content["config"].get(name) for name in names}
        file = PROJECT / content["original_file_path"]  # dbt's own checksum of a large seed is of its path
        yield json.dumps([unique_id, hashlib.sha256(file.read_bytes()).hexdigest(), types, config], sort_keys=True)
        waiting += content["depends_on"].get("nodes", [])


def project_hash() -> str:
    """A hash of every file of the dbt project, and of the lock that pins dbt and DuckDB."""
    digest = hashlib.sha256((ROOT / "locks" / "platform.txt").read_bytes())
    for path in sorted(PROJECT.rglob("*")):
        name = path.relative_to(PROJECT)
        if path.is_file() and name.parts[0] not in ("target", "logs", ".user.yml") and path.suffix != ".duckdb":
            digest.update(f"\0{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def target_path(target: str) -> Path:
    """dbt's target folder: one a data folder, as the lock is, and one a target, so that a parse for one does not spoil
    the partial parse of the other.
    """
    data = hashlib.sha256(os.fspath(settings().data).encode()).hexdigest()[:8]
    return settings().run / "dbt" / f"{target}-{data}"


@contextmanager
def _session(who: str, timeout: float | None) -> Iterator[tuple[warehouse.Session, warehouse.Version]]:
    """A write session of ``prod`` whose folder is ready to run dbt in: ``raw.duckdb`` there is the current ``raw``."""
    with warehouse.write("prod", who=who, timeout=timeout) as session:
        # Under the lock: what another writer loaded during the wait for it belongs to this build.
        raw = lake.settle(sources.TABLES)
        link = session.folder / "raw.duckdb"
        link.symlink_to(raw.path)
        try:
            yield session, raw
        except BuildFailed as failed:
            failed.fix += _way_back(session.base, raw)
            raise
        link.unlink()


def _way_back(base: warehouse.Version | None, raw: warehouse.Version) -> str:
    """How to undo a load that prod's audit refused, if there was one."""
    before = base.facts.get("raw_version") if base else None
    if before in (None, raw.id) or before not in warehouse.store.versions("raw"):
        return ""
    return (
        " What was loaded since stays in raw, and the next refresh builds it; "
        f"`loc db rollback {before} --database raw` takes it out (first move its file out of {settings().landing})."
    )


def _restore_views(session: warehouse.Session, report: Report | None) -> None:
    """Make the views of staging again, which a published file does not hold, for a build or test of a part."""
    if session.base and session.base.tables:
        execute(["run", "--select", "config.materialized:view"], session, report)


def manifest() -> dict:
    """dbt's manifest of the project as it is now, in a target folder of its own, so that no session is waited for.

    Raises:
        BuildFailed: the project does not parse; the message has dbt's words, which name the file and the line.
    """
    folder = target_path("dagster")
    with writer_lock(folder / "parse.lock", timeout=settings().lock_timeout):
        return _parsed(folder, subprocess.run, cwd=PROJECT)


def _manifest(session: warehouse.Session) -> dict:
    own, dagsters = target_path("prod"), target_path("dagster")
    if not own.exists() and dagsters.exists():  # a first build need not parse what Dagster has parsed to start
        with writer_lock(dagsters / "parse.lock", timeout=settings().lock_timeout):
            shutil.copytree(dagsters, own, ignore=shutil.ignore_patterns("parse.lock"))
    return _parsed(own, session.run, cwd=session.folder)


def _parsed(folder: Path, run: Callable[..., subprocess.CompletedProcess], cwd: Path) -> dict:
    """dbt's manifest of the project as it is now; parsed only when a file of the project has changed.

    It is kept beside dbt's own, which each run writes anew, with what that run alone has seen.
    """
    stamp, path = folder / "project.sha256", folder / "parsed.json"
    now = project_hash()
    if not path.exists() or not stamp.exists() or stamp.read_text() != now:
        stamp.unlink(missing_ok=True)
        done = run(
            [DBT, "--quiet", "--no-use-colors", "parse", "--target", "prod"],
            cwd=cwd,
            env=_environment("prod", DBT_TARGET_PATH=str(folder)),
            capture_output=True,
            text=True,
        )
        if disk_is_full(done.stdout + done.stderr):
            raise no_space(folder)
        if done.returncode != 0:
            raise BuildFailed(
                "The dbt project does not parse.",
                (done.stdout + done.stderr).strip(),
                "Mend that file, then run it again; prod is as it was.",
            )
        shutil.copy(folder / "manifest.json", path)
        stamp.write_text(now)
    return json.loads(path.read_text())


def _environment(target: str, **extra: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("LOC_SESSION", "LOC_REBUILD")}
    own = {
        "LOC_DATA": str(settings().data),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(target_path(target)),
        "DBT_LOG_PATH": str(settings().run / "dbt" / "logs"),
        # dbt's default, debug, costs over half a second a run; `loc dbt -- --log-level-file debug ...` has it.
        "DBT_LOG_LEVEL_FILE": "info",
        **extra,
    }
    if target == "prod":
        # Every option of dbt can be set by a variable; what is published depends on none that a person has about.
        kept = {name: value for name, value in inherited.items() if not name.startswith("DBT_") or "DBT_ENV_" in name}
        return kept | own | {"LOC_SESSION": "1"}
    published = warehouse.current("prod").folder / "dbt"
    deferred = {"DBT_DEFER": "true", "DBT_STATE": str(published)} if published.exists() else {}
    return deferred | inherited | own


def _parse(arguments: Sequence[str]) -> tuple[str, list[str], dict[str, object]]:
    """A command line of dbt as dbt itself reads it: the command, the arguments without it, the options given by name.

    The command is empty where there is none that dbt knows, and where nothing speaks of prod: to import dbt for this
    takes over a second.
    """
    if not any("prod" in text for text in (*arguments, os.environ.get("DBT_TARGET", ""))):
        return "", [], {}
    import click
    from click.core import ParameterSource
    from dbt.cli.main import cli

    command, context, rest, names, given = cli, None, list(arguments), [], {}
    while True:
        context = command.make_context("dbt", list(rest), parent=context, resilient_parsing=True)
        for option in command.get_params(context):
            if context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
                name = "help" if "--help" in option.opts else option.name
                given[name] = context.params.get(option.name)
        position = len(rest) - len(context.args) - 1
        if not isinstance(command, click.Group) or position < 0 or rest[position] not in command.commands:
            break
        names.append(rest[position])
        command, rest = command.commands[rest[position]], context.args
    first = len(arguments) - len(rest) - 1
    return " ".join(names), [a for i, a in enumerate(arguments) if not names or i != first], given


def _watch(command, session, report, options) -> tuple[int, list[str]]:
    """Run dbt with its JSON log and report each node as it ends; returns the exit code and the errors logged."""
    errors, done, total = [], 0, 1
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, pass_fds=(session.lock_fd,), **options
    ) as process:
        try:
            for line in process.stdout:
                try:
                    event = json.loads(line)
                    name, data = event["info"]["name"], event["data"]
                except (ValueError, KeyError):
                    errors.append(line.rstrip())
                    continue
                if event["info"]["level"] == "error":
                    errors.append(event["info"]["msg"])
                info = data.get("node_info") or {}
                if name == "LogStartLine":
                    total = max(total, data.get("total", 1))
                elif (
                    info and name.startswith("Log") and name.endswith("Result")
                ):  # NodeFinished is below the log's level
                    done += 1
                    report(info.get("node_name", ""), done, max(total, done + 1))
        except BaseException:
            process.terminate()  # what interrupts this one, as the end of a run does, need not reach its child
            raise
    report("dbt has ended", total, total)
    return process.returncode, errors


def _is_test(node: str) -> bool:
    return node.startswith(("test.", "unit_test."))


def _nodes(manifest: dict) -> set[str]:
    """What a full build runs: every model that becomes a relation, seed, snapshot and test."""
    built = {
        node
        for node, content in manifest["nodes"].items()
        if content["resource_type"] in ("model", "seed", "snapshot", "test")
        and content["config"]["materialized"] != "ephemeral"
    }
    return built | manifest["unit_tests"].keys()


def _failure(run: Run, lines: list[str]) -> BuildFailed:
    failed = [result for result in run.results if result["status"] in ("error", "fail", "runtime error")]
    if not failed:
        return BuildFailed("dbt failed.", "\n".join(lines[-20:]), f"See {settings().run / 'dbt' / 'logs' / 'dbt.log'}.")
    manifest = json.loads((target_path("prod") / "manifest.json").read_text())
    nodes = manifest["nodes"] | manifest["unit_tests"]
    what = [
        f"  {nodes[result['unique_id']]['name']} ({PROJECT.name}/{nodes[result['unique_id']]['original_file_path']}): "
        f"{(result['message'] or result['status']).strip()}"
        for result in failed
    ]
    return BuildFailed(
        f"{len(failed)} of {len(run.results)} dbt nodes failed:",
        "\n" + "\n".join(what) + "\n",
        "Nothing was published, prod is as it was. Mend the model or the data, then run it again.",
    )


def _outcomes(session: warehouse.Session) -> dict[str, dict[str, int]]:
    """Rows by load and outcome, for the history and the closing table."""
    with session.connect() as con:
        found = con.execute("select load_id, outcome, rows_loaded from marts.mart_data_quality order by all").fetchall()
    outcomes: dict[str, dict[str, int]] = {}
    for load_id, outcome, rows in found:
        outcomes.setdefault(str(load_id), {})[outcome] = rows
    return outcomes
