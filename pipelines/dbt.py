"""dbt, run as a program: on ``dev`` as a person would, on ``prod`` inside a publishing session."""

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb

from pipelines import publication, relations, sources
from proto_loc import warehouse
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.read import read
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import lake, ledger
from proto_loc.warehouse.errors import block_is_damaged, disk_is_full, explained, first_line, no_space
from proto_loc.warehouse.lock import writer_lock

log = logging.getLogger("proto_loc.dbt")
PROJECT = ROOT / "dbt"
DBT = Path(sys.executable).parent / "dbt"
# A build lives for seconds and makes few cycles: to look for them costs it a tenth of its own time.
BUILDER = [sys.executable, "-c", "import gc; gc.disable(); from dbt.cli.main import cli; cli(prog_name='dbt')"]

UNAUDITED = {"run", "seed", "snapshot", "run-operation", "clone"}
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
        marks, metrics = fingerprints(manifest), read(manifest)
        base = session.base.facts if session.base else {}
        rebuilt = _make_ready(session, manifest, marks, arguments)
        prepared = time.perf_counter()
        run = audit = execute(["build", *arguments], session, report)
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
            "models": _marks(manifest, run.built, marks, base.get("models", {})),
            "rebuilt": rebuilt,
            "views": _views(session),
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
        _restore_views(session)
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
        environment = _environment("dev", deferred=command != "retry")
        return subprocess.run([DBT, *arguments], cwd=PROJECT, env=environment).returncode
    if command == "retry":
        raise UsageError(
            "`dbt retry` has nothing to go on with on prod.",
            "Of a build that failed nothing is kept.",
            "Run `loc dbt -- build --target prod`, or use the target dev.",
        )
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
            _restore_views(session)
        environment = _environment("prod", **_state(session))
        return session.run([DBT, *arguments, "--target", "prod"], cwd=session.folder, env=environment).returncode


def execute(arguments: Sequence[str], session: warehouse.Session, report: Report | None) -> Run:
    """Run dbt once on a session's file and read its results.

    Raises:
        BuildFailed: dbt ended with an error.
        OSError: the disk is full.
    """
    results = target_path("prod") / "run_results.json"
    results.unlink(missing_ok=True)
    command = [*BUILDER, *arguments, "--target", "prod"]
    options = {"cwd": session.folder, "env": _environment("prod", **_state(session))}
    if report is None:
        code, lines = session.run(command, **options).returncode, []
    else:
        command[len(BUILDER) : len(BUILDER)] = ["--log-format", "json", "--no-use-colors"]
        code, lines = _watch(command, session, report, options)
    run = Run(json.loads(results.read_text())["results"] if results.exists() else [])
    if code != 0:
        messages = [result["message"] or "" for result in run.results]
        if disk_is_full([*lines, *messages]):
            raise no_space(session.path, target_path("prod"))  # the session says what to do
        said = next((text for text in (*lines, *messages) if block_is_damaged(text)), None)
        if said and session.base:
            raise session.base.damaged(first_line(next(filter(block_is_damaged, said.splitlines()))))
        _add_rows(session, run)
        failure = _failure(run, lines)
        failure.results = run.results
        raise failure
    return run


def fingerprints(manifest: dict) -> dict[str, str]:
    """Relation → a hash of all that its rows depend on beside the loads: what it and its ancestors say of themselves in
    the manifest, the content of seeds, the columns of raw tables, and what any node may use.

    Args:
        manifest: of a parse; that of a run differs by what was run.
    """
    shared = sorted(_shared(manifest))
    return {
        node: hashlib.sha256("\n".join([*shared, *sorted(_ingredients(node, manifest))]).encode()).hexdigest()
        for node, content in manifest["nodes"].items()
        if is_relation(content)
    }


def _shared(manifest: dict) -> Iterator[str]:
    """What any node may use without that its manifest says so: a macro in a branch that a parse does not take, too."""
    for name, path in _files():
        if path.name in ("dbt_project.yml", "profiles.yml"):
            yield json.dumps([name, path.read_text(errors="replace")])
    yield json.dumps(_variables())
    for content in (*manifest["macros"].values(), *manifest.get("functions", {}).values()):
        yield _essence(content)


def _ingredients(node: str, manifest: dict) -> Iterator[str]:
    waiting, seen = [node], set()
    while waiting:
        unique_id = waiting.pop()
        content = manifest["nodes"].get(unique_id) or manifest["sources"].get(unique_id)
        if unique_id in seen or content is None:  # what is shared
            continue
        seen.add(unique_id)
        yield _essence(content)
        if content["resource_type"] == "source":
            yield json.dumps(sources.TABLES.get(f"{content['schema']}.{content['identifier']}"))
        elif content["resource_type"] == "seed":  # dbt's own checksum of a large one is of its path
            yield hashlib.sha256(_seed(content, manifest).read_bytes()).hexdigest()
        waiting += content.get("depends_on", {}).get("nodes", [])


DESCRIPTIVE = {
    *("description", "docs", "doc_blocks", "tags", "owner", "group", "access", "patch_path", "created_at", "root_path"),
    *("source_description", "loader", "freshness", "loaded_at_field", "loaded_at_query", "persist_docs", "checksum"),
    *("build_path", "unrendered_config", "unrendered_config_call_dict", "supported_languages", "static_analysis"),
    *("depends_on", "metrics", "primary_key", "time_spine", "deprecation_date", "full_refresh"),
}
"""Fields of a manifest's entry that say nothing about rows."""


def _essence(content: dict) -> str:
    """An entry of a manifest as text, without what describes it only."""

    def kept(entry: dict) -> dict:
        config = {"config": kept(entry["config"])} if isinstance(entry.get("config"), dict) else {}
        return {name: value for name, value in entry.items() if name not in DESCRIPTIVE} | config

    columns = content.get("columns") or {}
    return json.dumps(kept(content) | {"columns": {n: kept(each) for n, each in columns.items()}}, sort_keys=True)


def _seed(content: dict, manifest: dict) -> Path:
    """A seed's file, looked for as dbt does: in the project, or in its package's folder."""
    package, file = content["package_name"], content["original_file_path"]
    if package == manifest["metadata"]["project_name"]:
        return PROJECT / file
    installed = PROJECT / "dbt_packages" / package / file
    return installed if installed.exists() else Path(content["root_path"], file)


def project_hash() -> str:
    """A hash of all that a build depends on beside the loads: every file of the dbt project and of its packages, the
    environment variables that they read, and the lock that pins dbt and DuckDB.
    """
    digest = hashlib.sha256((ROOT / "locks" / "platform.txt").read_bytes())
    for name, path in _files():
        digest.update(f"\0{name}\0".encode() + path.read_bytes())
    digest.update(json.dumps(_variables()).encode())
    return digest.hexdigest()


def _files() -> Iterator[tuple[str, Path]]:
    """The files of the dbt project by their names in it; a package is often a link to a folder elsewhere."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(PROJECT, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        made = {"target", "logs", ".user.yml", ".git"} if "dbt_project.yml" in names else set()
        folders[:] = sorted(set(folders) - made)
        for name in sorted(set(names) - made):
            path = Path(folder, name)
            if path.is_file() and path.suffix != ".duckdb":
                yield os.fspath(path.relative_to(PROJECT)), path


_VARIABLE = re.compile(rb"""env_var\s*\(\s*['"]([^'"]+)['"]""")


def _variables() -> dict[str, str | None]:
    """The environment variables that the project's files read; the platform's own say only where a build runs."""
    texts = (path.read_bytes() for _, path in _files() if path.suffix in (".sql", ".yml", ".yaml", ".py"))
    names = {name.decode(errors="replace") for text in texts for name in _VARIABLE.findall(text)}
    return {name: os.environ.get(name) for name in sorted(names - {"LOC_DATA", "LOC_SESSION"})}


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


def _make_ready(
    session: warehouse.Session, manifest: dict, marks: dict[str, str], arguments: Sequence[str]
) -> list[str]:
    """Have the session's file hold what the project says, before dbt builds on it.

    What is no relation of the project leaves, as do tables that grow and were built as the project no longer says;
    for a build of a part, the views are there.

    Args:
        marks: of :func:`fingerprints`.
        arguments: of ``dbt build``.

    Returns:
        Unique ids of the tables to build in full, beside those that every build makes anew.
    """
    if not (session.base and session.base.tables):
        return []
    known = session.base.facts.get("models", {})
    names = {i: (node["schema"].lower(), node["alias"].lower()) for i, node in manifest["nodes"].items() if i in marks}
    old = [node for node, mark in marks.items() if known.get(node) != mark and _grows(manifest["nodes"][node])]
    keep = {*names.values(), *publication.TABLES}
    rebuilt = old
    if selection := _selection(arguments):
        _restore_views(session, keep)
        selected = _selected(selection, session) if old else set()
        rebuilt = [node for node in old if node in selected]
    with session.connect() as con:
        gone = relations.remove(con, keep=keep, rebuild={names[node] for node in rebuilt})
    if gone:
        log.warning("no longer in the dbt project, so no longer in prod: %s", ", ".join(gone))
    return [node for node in rebuilt if node in known]


def _grows(node: dict) -> bool:
    """Whether dbt adds to a table that is there: a seed's keeps its columns. A snapshot's cannot be made anew."""
    return node["resource_type"] != "snapshot" and node["config"]["materialized"] not in ("view", "table")


def _marks(manifest: dict, built: set[str], marks: dict[str, str], known: dict[str, str]) -> dict[str, str | None]:
    """Relation → the fingerprint that its rows are of; None where they are of a project in between.

    What was built on a table that was not is of no fingerprint: the next build makes it anew.
    """
    graph = {i: node.get("depends_on", {}).get("nodes", []) for i, node in manifest["nodes"].items()}
    current: dict[str, bool] = {}
    done: dict[str, str | None] = {}
    for node in TopologicalSorter(graph).static_order():
        current[node] = all(current[parent] for parent in graph.get(node, []))
        if node in marks:
            done[node] = known.get(node) if node not in built else marks[node] if current[node] else None
            current[node] = done[node] == marks[node]
    return done


NARROWING = ("select", "exclude", "selector", "resource_types", "exclude_resource_types")


def _selection(arguments: Sequence[str]) -> list[str]:
    """Those arguments of ``dbt build`` that select a part of the project, as ``dbt ls`` takes them; none for all."""
    given = _read(["build", *arguments])[2] if arguments else {}
    if not given.keys() & set(NARROWING):
        return []
    options: list[str] = []
    for name in (*NARROWING, "indirect_selection"):
        if values := given.get(name):
            option = "--" + name.replace("_", "-").removesuffix("s")
            options += [option, *([values] if isinstance(values, str) else values)]
    return options


def _selected(selection: list[str], session: warehouse.Session) -> set[str]:
    """What such a build makes, by unique id.

    Raises:
        BuildFailed: dbt does not take them.
    """
    command = [DBT, "--quiet", "--no-use-colors", "ls", "--output", "json", "--output-keys", "unique_id", *selection]
    environment = _environment("prod", **_state(session))
    done = session.run(
        [*command, "--target", "prod"], cwd=session.folder, env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = relations.printable((done.stdout + done.stderr).strip())
        raise BuildFailed("dbt cannot tell what to build.", said, "Nothing was published, prod is as it was.")
    return {json.loads(line)["unique_id"] for line in done.stdout.splitlines() if line.startswith("{")}


def _state(session: warehouse.Session) -> dict[str, str]:
    """What ``state:modified`` compares with: the project as the current version was built from it."""
    published = session.base.folder / "dbt" if session.base else None
    return {"DBT_STATE": str(published)} if published and published.exists() else {}


def _restore_views(session: warehouse.Session, keep: set[relations.Name] | None = None) -> None:
    """Make the views of staging again, which a published file does not hold, for a build or test of a part.

    Args:
        keep: the only ones to make; None for all.
    """
    if session.base:
        found = session.base.facts.get("views", {})
        names = {f"{schema}.{name}" for schema, name in keep or ()}
        with session.connect() as con:
            _attach_raw(con, session)
            relations.restore(con, {name: sql for name, sql in found.items() if keep is None or name.lower() in names})


def _views(session: warehouse.Session) -> dict[str, str]:
    with session.connect() as con:
        return relations.views(con)


def _attach_raw(con: duckdb.DuckDBPyConnection, session: warehouse.Session) -> None:
    path = os.fspath(session.folder / "raw.duckdb").replace("'", "''")
    con.execute(f"attach '{path}' as raw (read_only)")


def _add_rows(session: warehouse.Session, run: Run) -> None:
    """Add to each data test that failed the first of the rows that it found, as ``rows``."""
    failed = [r for r in run.results if r["status"] == "fail" and r.get("compiled_code")]
    if not failed:
        return
    with suppress(duckdb.Error, warehouse.WarehouseError), session.connect() as con:  # the failure itself counts
        _attach_raw(con, session)
        for result in failed:
            result["rows"] = relations.failing_rows(con, result["compiled_code"])


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
            with explained("Parsing the dbt project", folder):
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


def _environment(target: str, *, deferred: bool = True, **extra: str) -> dict[str, str]:
    """The environment of dbt; on ``dev``, what is not built there is read from prod, by default.

    Args:
        deferred: False for a retry, which looks for the run to go on with where dbt's state is.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "LOC_SESSION"}
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
    defer = {"DBT_DEFER": "true", "DBT_STATE": str(published)} if deferred and published.exists() else {}
    return defer | inherited | own


def _parse(arguments: Sequence[str]) -> tuple[str, list[str], dict[str, object]]:
    """A command line of dbt as dbt itself reads it: the command, the arguments without it, the options given by name.

    The command is empty where there is none that dbt knows, and where nothing speaks of prod or of a retry: to import
    dbt for this takes over a second.
    """
    if not any("prod" in text or text == "retry" for text in (*arguments, os.environ.get("DBT_TARGET", ""))):
        return "", [], {}
    return _read(arguments)


def _read(arguments: Sequence[str]) -> tuple[str, list[str], dict[str, object]]:
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


def is_relation(node: dict) -> bool:
    """Whether a node of dbt's manifest becomes a table or a view: a model that is not ephemeral, seed, snapshot."""
    return node["resource_type"] in ("model", "seed", "snapshot") and node["config"]["materialized"] != "ephemeral"


def is_test(node: dict) -> bool:
    """Whether dbt runs a node of its manifest as a test; it keeps those of a disabled model, and leaves them out."""
    return node["resource_type"] in ("test", "unit_test") and node["config"].get("enabled", True)


def _nodes(manifest: dict) -> set[str]:
    """What a full build runs: every relation and test."""
    nodes = manifest["nodes"] | manifest["unit_tests"]
    return {unique_id for unique_id, node in nodes.items() if is_relation(node) or is_test(node)}


def _failure(run: Run, lines: list[str]) -> BuildFailed:
    failed = [result for result in run.results if result["status"] in ("error", "fail", "runtime error")]
    if not failed:
        return BuildFailed("dbt failed.", "\n".join(lines[-20:]), f"See {settings().run / 'dbt' / 'logs' / 'dbt.log'}.")
    manifest = json.loads((target_path("prod") / "manifest.json").read_text())
    lines = []
    for result in failed:
        lines.append(f"  {_named(result['unique_id'], manifest)}: {_said(result['message'] or result['status'])}")
        rows = result.get("rows", [])
        if len(rows) < (result["failures"] or 0):
            rows = [f"the first {len(rows)} of {result['failures']:,} rows:", *rows] if rows else []
        lines += [f"      {row}" for row in rows]
    return BuildFailed(
        f"{len(failed)} of {len(run.results)} dbt nodes failed:",
        "\n" + relations.printable("\n".join(lines)) + "\n",
        "Nothing was published, prod is as it was. Mend the model or the data, then run it again.",
    )


def _said(message: str) -> str:
    """What dbt says of a failure; of a Python model's, the error and the line of the model in place of a traceback.

    dbt runs a copy of the model's file, whose lines are the same.
    """
    _, python, traceback = message.rpartition("Traceback (most recent call last):\n")
    places = re.findall(r'File "[^"]*[/\\]tmp\w+\.py", line (\d+)', traceback)
    error = re.search(r"^ {0,2}\S.*", traceback, re.MULTILINE | re.DOTALL)
    if not (python and places and error):
        return message.strip()
    return f"line {places[-1]}: {error[0].strip()}"


def _named(unique_id: str, manifest: dict) -> str:
    """A node's name and file, of whatever kind it is."""
    kinds = ("nodes", "unit_tests", "functions", "saved_queries", "exposures", "sources")
    node = next((manifest[kind][unique_id] for kind in kinds if unique_id in manifest.get(kind, {})), None)
    if node is None:
        return unique_id
    own = node["package_name"] == manifest["metadata"]["project_name"]
    folder = PROJECT.name if own else f"{PROJECT.name}/dbt_packages/{node['package_name']}"
    return f"{node['name']} ({folder}/{node['original_file_path']})"


def _outcomes(session: warehouse.Session) -> dict[str, dict[str, int]]:
    """Rows by load and outcome, for the history and the closing table; none of a project without such a mart."""
    with session.connect() as con:
        (columns,) = con.execute(
            "select count(*) from duckdb_columns() where schema_name = 'marts' and table_name = 'mart_data_quality' "
            "and column_name in ('load_id', 'outcome', 'rows_loaded')"
        ).fetchone()
        if columns < 3:
            return {}
        found = con.execute("select load_id, outcome, rows_loaded from marts.mart_data_quality order by all").fetchall()
    outcomes: dict[str, dict[str, int]] = {}
    for load_id, outcome, rows in found:
        outcomes.setdefault(str(load_id), {})[outcome] = rows
    return outcomes
