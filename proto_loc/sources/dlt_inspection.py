"""Looks at databases, REST APIs and dlt sources, and proposes their declaration."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from proto_loc import credentials
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.sources.dlt import program
from proto_loc.sources.dlt.declaration import Code, DltTable, Rest, Sql
from proto_loc.sources.dlt.incoming import SEQUENCE
from proto_loc.sources.inspection import ColumnFacts, Inspection
from proto_loc.sql import exact_glob, identifier, literal, open_duckdb

PAGES = 4
"""Pages of an API, or chunks of 50,000 rows of a table, that are read."""
CHANGED = re.compile(r"(last_|.*_)?(updated|modified|changed)(_(at|on|time|date|ts))?")
"""Names of columns that tell when a row changed."""
SENSITIVE = re.compile(
    r"(?i)(api|app|subscription|private|access)[-_]?(key|id|token)|auth(?!ors?($|[-_]))"
    r"|secret|token|passw|pwd|(^|[-_])sig(nature)?$|^key$"
)
"""Names of parameters of a URL that are secrets."""


def inspect_sql(name: str, dsn: str, tables: Sequence[str] = ()) -> Inspection:
    """Look at tables of an SQL database, and keep its URL in the secret ``NAME-dsn``.

    Args:
        dsn: SQLAlchemy URL of PostgreSQL, MySQL or SQLite.
        tables: names of its tables; all of the default schema if empty.

    Raises:
        LocError: the database does not answer, or has no such table. No message has the DSN.
    """
    secret = f"{name}-dsn"
    where = Sql(secret, dict.fromkeys(tables, ""))
    look = _Look(name, where, {secret: dsn})
    where = Sql(secret, look.cursors())
    credentials.keep(secret, dsn)
    return look.inspection(where, "tables of an SQL database", f"The URL is the secret {secret}.")


def inspect_api(name: str, url: str) -> Inspection:
    """Look at an endpoint of a REST API.

    A key or a password in the URL is kept in the secret ``NAME-token``. Without one, that secret,
    if it exists, is sent as a bearer token.

    Raises:
        LocError: the API does not answer, or its answer has no list of records.
    """
    url, auth, secrets = _without_secret(name, url)
    secret = f"{name}-token"
    with _folder() as folder:
        job = {"source": name, "kind": "endpoint", "url": url, "auth": auth, "secret": secret}
        seen = program.run(job | {"secrets": secrets}, Path(folder), report=_quiet)
    parts = urlsplit(url)
    base, _, path = parts.path.rpartition("/")
    resource = {
        "name": _snake(path.partition(".")[0]) or name,
        "endpoint": {
            "path": path,
            **({"params": seen["params"]} if seen["params"] else {}),
            "data_selector": seen["selector"],
            "paginator": seen["paginator"],
        },
    }
    where = Rest(
        f"{parts.scheme}://{parts.netloc}{base}/",
        (resource,),
        token=secret if secrets and not auth else "",
        auth={**auth, **_placeholder(auth, secret)} if auth else {},
    )
    look = _Look(name, where, secrets)
    for kept, text in secrets.items():
        credentials.keep(kept, text)
    return look.inspection(where, "records of a REST API", *seen["notes"])


def inspect_dlt(name: str, module: str) -> Inspection:
    """Look at a dlt source.

    Args:
        module: ``MODULE:FUNCTION``, or a module with one ``@dlt.source``.

    Raises:
        LocError: there is no such source, it fails (the message names its file and line), or a
            secret that it needs is missing: the argument ``token`` is the secret ``NAME-token``.
    """
    with _folder() as folder:
        job = {"source": name, "kind": "module", "function": module, "secrets": {}}
        seen = program.run(job, Path(folder), report=_quiet)
    secrets = {argument: f"{name}-{argument.replace('_', '-')}" for argument in seen["secrets"]}
    where = Code(seen["function"], {}, secrets)
    look = _Look(name, where, program.secrets_of(where))
    return look.inspection(where, f"rows of the dlt source {seen['function']}")


class _Look:
    """The first rows of a source, and what they show."""

    def __init__(self, name: str, where: Sql | Rest | Code, secrets: dict[str, str]) -> None:
        self.name = name
        self.is_sql = isinstance(where, Sql)  # elsewhere, only the source itself can have a cursor
        self.rows: dict[str, int] = {}
        self.facts: dict[str, dict[str, ColumnFacts]] = {}
        with _folder() as folder, open_duckdb() as con:
            self.con = con
            result = program.fetch(
                name, where, (), Path(folder), {}, report=_quiet, limit=PAGES, secrets=secrets
            )
            if not result.tables:
                raise LocError(
                    f"{name} cannot be inspected.",
                    "No table has a row, so that the types of its columns are not known.",
                    "Try again when it has rows.",
                )
            self.hints = result.hints
            self.tables = [
                self._table(table, result, Path(folder))
                for table in sorted(result.tables, key=lambda t: (t.count("__"), t))
            ]

    def cursors(self) -> dict[str, str]:
        """Table → column by which it is fetched, with their names in the database."""
        columns = {}
        for table in self.tables:
            hint = self.hints[table.name]
            columns[hint["name"]] = hint["names"].get(table.newest, table.newest)
        return columns

    def inspection(self, where: Sql | Rest | Code, what: str, *notes: str) -> Inspection:
        """Return the inspection, with the text of the declaration."""
        notes = [*notes, *(_mode_note(table) for table in self.tables if not table.parent)]
        empty = sorted(set(self.hints) - set(self.rows))
        notes += [f"{name} is left out: it has no row yet." for name in empty]
        code = _format(_code(self.name, where, self.tables, what))
        return Inspection(tuple(self.tables), self.rows, self.facts, tuple(notes), code=code)

    def _table(self, name: str, result: program.Result, folder: Path) -> DltTable:
        listed = ", ".join(literal(exact_glob(folder / file)) for file in result.tables[name])
        rows = f"read_parquet([{listed}], union_by_name = true)"
        types = {
            column: kind
            for column, kind, *_ in self.con.execute(f"describe from {rows}").fetchall()
            if not column.startswith("_dlt_") and column != SEQUENCE
        }
        types |= {name: "DATE" for name in self._dates(rows, types)}
        self.rows[name] = self.con.execute(f"select count(*) from {rows}").fetchone()[0]
        self.facts[name] = {column: self._column(rows, column) for column in types}
        parent = result.parents.get(name, "")
        if parent:
            return DltTable(name, types, parent=parent)
        hints = result.hints.get(name, {})
        key = tuple(c for c in hints.get("key", ()) if c in types) or self._key(name)
        changed = hints.get("cursor", "")
        if not changed and self.is_sql:
            changed = self._changed(types)
        mode = "replace"
        if changed in types and (key or not self.is_sql):
            mode = "upsert" if key else "append"
        newest = changed if mode == "upsert" else ""
        return DltTable(name, types, key=key, mode=mode, newest=newest)

    def _dates(self, rows: str, types: dict[str, str]) -> list[str]:
        """The columns of texts that are all dates, as JSON and SQLite write them."""
        texts = [name for name, kind in types.items() if kind == "VARCHAR"]
        if not texts:
            return []
        checks = ", ".join(
            f"bool_and({identifier(name)} similar to '\\d{{4}}-\\d\\d-\\d\\d' and"
            f" try_cast({identifier(name)} as date) is not null)"
            for name in texts
        )
        results = self.con.execute(f"select {checks} from {rows}").fetchone()
        return [name for name, dates in zip(texts, results, strict=True) if dates]

    def _changed(self, types: dict[str, str]) -> str:
        """The column that is named as the time of a row's last change; empty if there is none."""
        times = (name for name, kind in types.items() if kind.startswith(("TIMESTAMP", "DATE")))
        return next(filter(CHANGED.fullmatch, times), "")

    def _key(self, name: str) -> tuple[str, ...]:
        """The first column that is named like a key, and has another value in each row."""
        one = re.escape(name.removesuffix("s"))
        for column, facts in self.facts[name].items():
            named = re.fullmatch(rf"_?(id|uuid|guid|key|code|{one}_?id)", column)
            if named and facts.distinct == self.rows[name] and not facts.nulls:
                return (column,)
        return ()

    def _column(self, rows: str, column: str) -> ColumnFacts:
        value = identifier(column)
        distinct, nulls, least, most = self.con.execute(
            f"select count(distinct {value}), count(*) - count({value}), min({value}), max({value})"
            f" from {rows}"
        ).fetchone()
        samples = self.con.execute(
            f"select distinct {value}::varchar from (from {rows} limit 1000) where {value} is not"
            " null order by 1 limit 5"
        ).fetchall()
        return ColumnFacts(distinct, nulls, least, most, tuple(row[0] for row in samples))


def _mode_note(table: DltTable) -> str:
    if table.mode == "upsert":
        return (
            f"{table.name} is fetched by {table.newest}: only new and changed rows, of which the"
            f" newest of each {', '.join(table.key)} stays. A row that is deleted there stays here."
        )
    if table.mode == "append":
        return f"{table.name} is fetched by its cursor, and each fetch adds its rows."
    return f"{table.name} is fetched as a whole each time, and replaces what was there."


def _without_secret(name: str, url: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Take a key or a password out of a URL: the URL, the way to authenticate, the secret.

    Raises:
        LocError: it is no URL of an API, or has a secret that cannot be kept apart from it.
    """
    parts, secret = urlsplit(url), f"{name}-token"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LocError(
            "That is no URL of a REST API.", "It must start with https:// or http://.", "Mend it."
        )
    user, at, host = parts.netloc.rpartition("@")
    parts = parts._replace(netloc=host, fragment="")
    query = parse_qsl(parts.query, keep_blank_values=True)
    sensitive = [pair for pair in query if pair[1] and SENSITIVE.search(pair[0])]
    user, _, password = user.partition(":")
    if at and not password:
        raise LocError(
            "The URL has a user and no password.",
            "What is before the @ may be a token, and would be written into the declaration.",
            f"Leave it out of the URL, and write the token to {credentials.path(secret)}:"
            " it is sent as a bearer token.",
        )
    if len(sensitive) + bool(at) > 1:
        suspects = [*(["a password"] if at else []), *(key for key, _ in sensitive)]
        raise LocError(
            "The URL has more than one secret.",
            f"{' and '.join(suspects)} may be secret, and a source of an API keeps one.",
            "Leave all but one out of the URL, and write them into the declaration afterwards as"
            " secrets of their own.",
        )
    if at:
        auth = {"type": "http_basic", "username": unquote(user)}
        return parts.geturl(), auth, {secret: unquote(password)}
    for parameter, value in sensitive:
        rest = urlencode([pair for pair in query if pair[0] != parameter])
        auth = {"type": "api_key", "name": parameter, "location": "query"}
        return parts._replace(query=rest).geturl(), auth, {secret: value}
    if credentials.path(secret).exists():
        return parts.geturl(), {}, {secret: credentials.given(secret)}
    return parts.geturl(), {}, {}


def _placeholder(auth: dict[str, str], secret: str) -> dict[str, str]:
    argument = "password" if auth["type"] == "http_basic" else "api_key"
    return {argument: f"secret:{secret}"}


def _code(name: str, where: Sql | Rest | Code, tables: list[DltTable], what: str) -> str:
    """The text of ``pipelines/NAME/__init__.py``, not yet formatted."""
    lines = [
        f'"""{name}: {what}."""',
        "",
        f"from proto_loc.sources.dlt import DltSource, DltTable, {type(where).__name__}",
        "",
        *(f"{table.name.upper()} = {table.columns!r}" for table in tables),
        "",
        "SOURCE = DltSource(",
        f"name={name!r},",
        f"fetch={_call(where)},",
        "tables=(",
    ]
    for table in tables:
        options = {
            field: getattr(table, field)
            for field in ("key", "mode", "newest", "parent")
            if getattr(table, field) and (field != "mode" or not table.parent)
        }
        listed = "".join(f", {field}={value!r}" for field, value in options.items())
        lines.append(f"DltTable({table.name!r}, {table.name.upper()}{listed}),")
    return "\n".join([*lines, "),", ")", ""])


def _call(where: Sql | Rest | Code) -> str:
    set_fields = {field.name: getattr(where, field.name) for field in fields(where)}
    listed = ", ".join(f"{name}={value!r}" for name, value in set_fields.items() if value)
    return f"{type(where).__name__}({listed})"


def _format(code: str) -> str:
    """The text as the project's formatter writes it."""
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "format", "--stdin-filename", "pipelines/source.py", "-"],
        cwd=ROOT, input=code, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else code


def _snake(name: str) -> str:
    """A name as dlt writes it."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"\W+", "_", name).strip("_").lower()


def _folder() -> tempfile.TemporaryDirectory:
    base = private_folder(settings().run / "tmp")
    return tempfile.TemporaryDirectory(prefix="look-", dir=base)


def _quiet(step: str, done: int, total: int) -> None:
    """Report nothing: an inspection takes seconds."""
