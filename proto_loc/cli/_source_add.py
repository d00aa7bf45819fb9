"""``loc source add``: inspects, proposes, writes, builds, publishes."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer
from rich.markup import escape

from proto_loc import credentials
from proto_loc.cli import _content
from proto_loc.cli._console import out, progress, table
from proto_loc.errors import LocError, UsageError
from proto_loc.scaffold import names, tables, writing
from proto_loc.scaffold.plan import Mart, plan
from proto_loc.scaffold.staged import Staged, stage
from proto_loc.scaffold.texts import texts
from proto_loc.scaffold.values import joins_by_value
from proto_loc.settings import ROOT
from proto_loc.sources.formats import Format
from proto_loc.sources.inspection import Inspection

WHO = "loc source add"


@dataclass(frozen=True)
class Origin:
    """Where the data of a source comes from, as the command line says it."""

    kind: str
    """``csv``, ``parquet``, ``json``, ``excel``, ``sql``, ``api``, ``dlt``; empty for any file."""
    address: str = ""
    """DSN, URL or module."""
    patterns: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    """Table → pattern of its files."""
    tables: tuple[str, ...] = ()
    """Tables of the database."""

    @classmethod
    def of(
        cls,
        kinds: Mapping[str, Sequence[str] | None],
        files: Sequence[str],
        listed: Sequence[str],
        **addresses: str,
    ) -> "Origin":
        """Read the options.

        Raises:
            UsageError: they say nothing, or contradict each other.
        """
        chosen = [kind for kind, patterns in kinds.items() if patterns]
        remote = [kind for kind, address in addresses.items() if address]
        named = pairs([entry for entry in listed if "=" in entry], "--table")
        if len(chosen) + len(remote) > 1:
            both = " and ".join(f"--{kind}" for kind in (*chosen, *remote))
            raise UsageError(
                f"{both} contradict.", "A source has one kind of data.", "Make two sources."
            )
        if remote:
            if files or named:
                raise UsageError(
                    "Files and an address contradict.",
                    f"--{remote[0]} reads no files.",
                    "Make two sources.",
                )
            return cls(remote[0], addresses[remote[0]], tables=tuple(listed))
        if bad := [entry for entry in listed if "=" not in entry]:
            raise UsageError(
                f"--table {bad[0]} names no files.",
                "A table of files is given with the pattern of its files.",
                f"Write --table {bad[0]}='{bad[0]}*.csv'.",
            )
        patterns = tuple(pattern for kind in chosen for pattern in kinds[kind] or ())
        if not (patterns or named or files):
            raise UsageError(
                "It is not said where the data is.",
                "A source is made from a look at data.",
                "Give one of --csv, --parquet, --json, --excel, --sql, --api, --dlt.",
            )
        return cls("".join(chosen), patterns=(*patterns, *files), named=named)


def pair(text: str, option: str) -> tuple[str, str]:
    """Split ``TABLE=VALUE``.

    Raises:
        UsageError: there is no table before an equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{option} {text} is incomplete.", "", f"Write {option} TABLE=VALUE.")
    return name.strip(), value


def pairs(entries: Sequence[str], option: str) -> dict[str, str]:
    """Split each ``TABLE=VALUE``.

    Raises:
        UsageError: one is incomplete, or two are of the same table.
    """
    values: dict[str, str] = {}
    given_as: dict[str, str] = {}
    for entry in entries:
        name, value = pair(entry, option)
        other = given_as.setdefault(names.clean(name, "table"), entry)
        if other != entry or name in values:
            raise UsageError(
                f"{option} {other} and {option} {entry} are of one table.",
                f"Its name is {names.clean(name, 'table')}, and the first would be lost.",
                f"Write one {option} for it"
                + (", with a pattern that matches all its files." if option == "--table" else "."),
            )
        values[name] = value
    return values


def secrets_of(name: str) -> list[Path]:
    """The files in which an inspection keeps the secrets of a source."""
    return [credentials.path(f"{name}-{kind}") for kind in ("dsn", "token")]


@contextmanager
def _secrets_return(name: str) -> Iterator[None]:
    """If the block fails, put the secrets back that an inspection replaced, and drop new ones."""
    before = {path: path.read_bytes() for path in secrets_of(name) if path.exists()}
    try:
        yield
    except BaseException:
        for path in secrets_of(name):
            if path not in before:
                path.unlink(missing_ok=True)
            elif not path.exists() or path.read_bytes() != before[path]:
                credentials.keep(path.name, before[path].decode())
        raise


def add(name: str, origin: Origin, options: Mapping[str, Sequence[str]], *, ask: bool) -> None:
    """Make a source; see the command.

    Raises:
        LocError: a step failed; nothing of it remains.
    """
    source = names.source_name(name)
    if source != name:
        out.print(f"The source is called {source}: {name} is no name of a Python package.")
    writing.refuse_existing(ROOT, {f"pipelines/{source}": ""})
    with _secrets_return(source):
        paths = _add(source, origin, options, ask)
    _content.tell_services()
    _links(source, paths, origin)


def _add(
    source: str, origin: Origin, options: Mapping[str, Sequence[str]], ask: bool
) -> dict[str, list[Path]]:
    from proto_loc.sources.files import label

    inspection, paths = _inspect(source, origin, {})
    answers = _answers(inspection) if ask and sys.stdin.isatty() else {}
    if answers:
        inspection, paths = _inspect(source, origin, answers)
    keys, partitions = (pairs(options[o], o) for o in ("--key", "--partition"))
    if inspection.code and (keys or partitions):
        raise UsageError(
            f"--key and --partition are for files, and {source} fetches its rows.",
            "Its declaration has the key and the mode of each table.",
            "Leave them out, and edit the declaration afterwards.",
        )
    chosen = tables.overridden(inspection.tables, keys, partitions)
    inspection = replace(inspection, tables=chosen)
    staged = stage(source, inspection)
    joins = joins_by_value(staged, paths) if paths else {}
    staged, marts = plan(source, inspection, joins)
    if not marts:
        raise LocError(
            "The data has no table with a column.", "", "Name files or tables that have rows."
        )
    show(staged, marts, inspection, answers)
    made = texts(
        source,
        staged,
        marts,
        code=inspection.code,
        owner=os.environ.get("USER", "me"),
        root=ROOT,
        files={name: label(listed[0]) for name, listed in paths.items()},
    )
    made |= writing.note(source, made)
    writing.refuse_existing(ROOT, made)
    out.print(f"\n{len(made)} new files in {', '.join(_folders(made))}", markup=False)
    if ask:
        _content.confirm("Write them, build, load and publish?")
    with _undone(source), _content.generated_files_return(), writing.written(ROOT, made):
        _content.generate()
        _load(source, paths)
    return paths


def _answers(inspection: Inspection) -> dict[str, str]:
    """Ask what the data leaves open; return the answers that are not the proposed ones."""
    answers = {}
    for question, choices in inspection.questions.items():
        out.print(question, markup=False)
        for number, choice in enumerate(choices, 1):
            out.print(f"  {number}: {choice}", markup=False)
        number = typer.prompt("Number", default=1, type=int, err=True)
        if 1 < number <= len(choices):
            answers[question] = choices[number - 1]
    return answers


def _inspect(
    name: str, origin: Origin, answers: Mapping[str, str]
) -> tuple[Inspection, dict[str, list[Path]]]:
    """Look at the data; return the paths of each table's files too."""
    if origin.kind in ("sql", "api", "dlt"):
        from proto_loc.sources import dlt_inspection as remote

        look: Callable[[], Inspection] = {
            "sql": lambda: remote.inspect_sql(name, origin.address, origin.tables),
            "api": lambda: remote.inspect_api(name, origin.address),
            "dlt": lambda: remote.inspect_dlt(name, origin.address),
        }[origin.kind]
        return look(), {}
    from proto_loc.sources.file_inspection import inspect_files

    paths = tables.tables_of(name, origin.patterns, origin.named)
    inspection = inspect_files(name, paths, origin.kind, answers)
    made = tuple(
        replace(entry, partition="file")
        if len(paths[entry.name]) > 1 and not entry.partition
        else entry
        for entry in inspection.tables
    )
    return replace(inspection, tables=made), paths


def show(
    staged: Sequence[Staged],
    marts: Sequence[Mart],
    inspection: Inspection,
    answers: Mapping[str, str],
) -> None:
    """Print what was inferred, and what the data leaves open."""
    for one in staged:
        shown = table(
            f"{one.name}: {one.rows:,} rows{' were looked at' if inspection.code else ''}",
            "column", "type", "empty", "different", "for example",
            numbers=("empty", "different"),
        )  # fmt: skip
        for column in one.columns:
            facts = column.facts
            example = ", ".join(facts.samples[:2])
            shown.add_row(
                column.name, column.type, f"{facts.nulls:,}", f"{facts.distinct:,}",
                escape(example[:40]),
            )  # fmt: skip
        out.print(shown)
        for line in _facts(one):
            out.print(f"  {line}", markup=False)
    for mart in marts:
        joined = ", ".join(
            f"{join.staged.name} by {', '.join(here for here, _ in join.on)}" for join in mart.joins
        )
        words = f"{mart.model}: {mart.staged.name}{f' with {joined}' if joined else ''}"
        metrics = ", ".join(measure.name for measure in mart.measures)
        out.print(f"\n{words}\n  by the time {mart.time.name}; metrics {metrics}", markup=False)
    for sentence in inspection.notes:
        out.print(f"note: {sentence}", markup=False)
    for question, (first, *others) in inspection.questions.items():
        answer = answers.get(question, f"{first}, or else {', or '.join(others)}")
        out.print(f"open: {question} {answer}", markup=False)


def _facts(one: Staged) -> Iterator[str]:
    entry, form = one.table, one.table.format
    yield f"key: {', '.join(one.key) or 'none, so rows may repeat'}"
    yield f"a load replaces: {_replaces(entry.partition)}"
    if set(form.nulls) - {""}:
        yield f"text that means empty: {', '.join(repr(text) for text in form.nulls if text)}"
    if form.decimal != "." or form.thousands:
        yield f"numbers: decimal mark {form.decimal!r}, thousands {form.thousands or 'none'!r}"
    if form.time_zone:
        yield f"time zone: {form.time_zone}"
    for option in ("encoding", "delimiter", "quote", "sheet"):
        if getattr(form, option) != getattr(Format(), option):
            yield f"{option}: {getattr(form, option)!r}"
    for column, pattern in form.dates.items():
        yield f"dates of {column}: {pattern}"


def _replaces(partition: str) -> str:
    unit, _, column = partition.partition(":")
    return {
        "": "the whole table",
        "file": "what the file of the same name had",
    }.get(unit, f"each {unit} of {column} that it has")


def _folders(made: Mapping[str, str]) -> list[str]:
    return sorted({f"{Path(path).parent}/" for path in made})


@contextmanager
def _undone(name: str) -> Iterator[None]:
    """If the block fails, take back the loads of a source whose files are gone.

    Loads that an earlier source of that name has left are as before.
    """
    from proto_loc import sources
    from proto_loc.warehouse import lake

    before = [load for load in lake.loads() if load.source == name]
    try:
        yield
    except BaseException:
        _content.forget(name)
        after = [load for load in lake.loads() if load.source == name]
        if after != before:
            with sources.loading(who=f"{WHO}, taken back") as session:
                session.retire(load for load in after if load not in before)
                session.restore(load for load in before if load not in after)
        raise


def _load(name: str, paths: Mapping[str, Sequence[Path]]) -> None:
    """Load the data, build the models on dev, and publish."""
    from proto_loc import sources
    from proto_loc.refresh import job

    source = sources.find_source(name)
    files = [path for listed in paths.values() for path in listed]

    def loading(report):
        if isinstance(source, sources.FetchingSource):
            return source.fetch(who=WHO, report=report)
        return source.load_files(files, who=WHO, report=report)

    with progress() as report:
        outcomes = job.load(loading, who=WHO, report=lambda *state: report("load", *state))
    if not any(outcome.load for outcome in outcomes):
        raise LocError(
            f"No row of {name} was loaded.",
            "; ".join(o.skipped for o in outcomes if o.skipped) or "There is no data yet.",
            "Mend that, then run it again.",
        )
    out.print(_content.build_on_dev(f"source:{name}+"), markup=False)
    _content.publish(lambda report: outcomes, WHO)


def _links(name: str, paths: Mapping[str, Sequence[Path]], origin: Origin) -> None:
    from proto_loc import services

    out.print(f"\nThe source {name} is published.", markup=False)
    for title, url in {
        "dashboard": _content.address_of(name.replace("_", "-")),
        "notebook": f"notebooks/{name}.ipynb",
        **{title.lower(): url for title, url in services.urls().items()},
    }.items():
        out.print(f"  {title:<10} {url}", markup=False, soft_wrap=True)
    if paths:
        example = shlex.quote(next(iter(paths.values()))[0].name)
        out.print(
            f"New files: put them into data/landing/{name}/ and run `loc refresh`, or"
            f" `loc source load {name} {example}`.",
            markup=False,
        )
    out.print("Services that are down: `loc up -d`. Commit what was written.", markup=False)
