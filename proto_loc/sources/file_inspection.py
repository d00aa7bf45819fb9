"""Looks at files and proposes the tables of a source: types, keys, partitions, and questions."""

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path

import duckdb

from proto_loc.errors import UsageError
from proto_loc.sources import Table
from proto_loc.sources.content import plain_name, prepare, refused
from proto_loc.sources.dialect import detect
from proto_loc.sources.files import ADDED, scratch_folder
from proto_loc.sources.formats import Format
from proto_loc.sources.inference import (
    NULL_TEXTS,
    STYLES,
    Guess,
    Texts,
    infer,
    is_plain,
    styles_of,
)
from proto_loc.sources.inspection import ColumnFacts, Inspection
from proto_loc.sources.keys import find_key, find_partition
from proto_loc.sources.reading import STORED_TEXT, partition_values, read, relation_of
from proto_loc.sql import exact_glob, identifier, literal, open_duckdb

SAMPLE = 200_000
"""Rows whose texts decide the types at first; then every row is read with them."""

TEXTS = 5_000
"""Different texts of a column that are looked at, the most frequent first."""


@dataclass
class _Look:
    """What is known of a table while it is looked at."""

    name: str
    paths: Sequence[Path]
    form: Format
    answers: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    questions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    """Header of the file, or name of a folder → column of the declaration."""
    types: dict[str, str] = field(default_factory=dict)
    """Column → type that the file has, in Parquet."""
    texts: dict[str, Texts] = field(default_factory=dict)

    def ask(self, question: str, answers: tuple[str, ...]) -> str:
        """Note a question, and return the answer: the caller's, or the first."""
        self.questions[question] = answers
        answer = self.answers.get(question, answers[0])
        if answer not in answers:
            raise UsageError(
                f"{answer!r} is no answer.", question, f"Answer one of {', '.join(answers)}."
            )
        return answer


def inspect_files(
    name: str,
    tables: Mapping[str, Sequence[Path]],
    kind: str = "",
    answers: Mapping[str, str] | None = None,
) -> Inspection:
    """Read the files of new tables whole, and propose how to declare the tables.

    What the data leaves open is a question, and its first answer changes no value: a date that can
    be read in two ways stays text until somebody answers. The proposal has no wrong value: every
    row was read with it, and rows that break it are counted in a note.

    Args:
        name: the name of the source.
        tables: table → its files; a file may be packed, and in folders such as ``year=2025``.
        kind: ``csv``, ``json``, ``parquet`` or ``excel``; empty: by their content.
        answers: question of an earlier inspection → one of its answers.

    Raises:
        LocError: a file cannot be read, or files of a table have different columns.
        UsageError: a table has no files, or an answer is none.
    """
    looks = [_inspect(table, [*paths], kind, answers or {}) for table, paths in tables.items()]
    return Inspection(
        tables=tuple(table for table, *_ in looks),
        rows={table.name: rows for table, rows, *_ in looks},
        columns={table.name: facts for table, _, facts, _ in looks},
        notes=tuple(note for *_, look in looks for note in look.notes),
        questions={question: a for *_, look in looks for question, a in look.questions.items()},
    )


def _inspect(
    name: str, paths: list[Path], kind: str, answers: Mapping[str, str]
) -> tuple[Table, int, dict[str, ColumnFacts], _Look]:
    if not paths:
        raise UsageError(f"The table {name} has no files.", "No file fits.", "Name its files.")
    form, notes = detect(paths[0], kind)
    look = _Look(name, paths, form, answers, [*notes])
    _choose_sheet(look)
    with scratch_folder() as scratch, open_duckdb(scratch / "texts.duckdb") as con:
        _read_texts(con, look, scratch)
        table = _propose(con, look)
        for _ in range(4):  # a value beyond the sample may change a type
            rows, misfits = _read_all(con, look, table, scratch)
            if not _widen(look, misfits):
                break
            table = _propose(con, look)
        table = _with_key_and_partition(con, look, table)
        facts = _facts(con, table, rows)
    return table, rows, facts, look


def _choose_sheet(look: _Look) -> None:
    from proto_loc.sources.sheets import sheet_names

    with scratch_folder() as scratch:
        content = prepare(look.paths[0], look.form, scratch)
        sheets = sheet_names(content.path) if content.kind == "excel" else []
    if len(sheets) > 1:
        sheet = look.ask(f"{look.name}: which sheet of {look.paths[0].name}?", tuple(sheets))
        look.form = changed(look.form, sheet=sheet)


def _read_texts(con: duckdb.DuckDBPyConnection, look: _Look, scratch: Path) -> None:
    """Count the texts of each column in a sample of the files."""
    for place, path in enumerate(look.paths):
        folder = scratch / f"file-{place}"
        folder.mkdir()
        relation, content, empty = relation_of(con, path, look.form, folder)
        folders = partition_values(path)
        headers = [header for header in relation.fields if header not in empty]
        if not place:
            look.columns = _column_names(headers, folders)
            kinds = {look.columns[h]: relation.fields[h][1] for h in headers}
            if content.kind == "parquet":
                look.types = {c: _stored_type(k) for c, k in kinds.items()}
        elif set(headers) | set(folders) != set(look.columns):
            different = set(headers) ^ (set(look.columns) - set(folders))
            raise refused(
                path,
                f"Its columns differ from those of {look.paths[0]}:"
                f" {', '.join(sorted(different))}.",
                "Make a table of files with the same columns.",
            )
        sample = max(SAMPLE // len(look.paths), 1000)
        fields = [
            f"{relation.fields[header][0]}::varchar as {identifier(look.columns[header])}"
            for header in headers
        ]
        fields += [
            f"{literal(value)}::varchar as {identifier(look.columns[folder])}"
            for folder, value in folders.items()
            if folder not in headers
        ]
        query = f"select {', '.join(fields)} from {relation.sql} using sample {sample} rows"
        con.execute(f"{'insert into texts' if place else 'create table texts as'} {query}")
    for column in look.columns.values():
        if column not in look.types:
            look.texts[column] = Texts(column, dict(_texts(con, column)))
    con.execute("drop table texts")


def _texts(con: duckdb.DuckDBPyConnection, column: str) -> list[tuple[str, int]]:
    return con.execute(
        f"select trim({identifier(column)}) as text, count(*) from texts"
        f" where {identifier(column)} is not null group by text order by 2 desc, 1 limit {TEXTS}"
    ).fetchall()


def _column_names(headers: Sequence[str], folders: Mapping[str, str]) -> dict[str, str]:
    """Name columns in lower case and ASCII, with underscores; names of the lake get none."""
    names: dict[str, str] = {}
    used = set(ADDED)
    for header in dict.fromkeys([*headers, *folders]):
        text = unicodedata.normalize("NFKD", header.replace("ß", "ss")).encode("ascii", "ignore")
        words = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", text.decode())
        base = re.sub(r"[\W_]+", "_", words.lower()).strip("_") or "column"
        base = f"_{base}" if base[0].isdigit() else base
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}_{number}"
        used.add(name)
        names[header] = name
    return names


def _stored_type(kind: str) -> str:
    """The type by which a column of Parquet is declared."""
    if kind in ("TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"):
        return "TIMESTAMP"
    return {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ", STORED_TEXT: "VARCHAR"}.get(kind, kind)


def _propose(con: duckdb.DuckDBPyConnection, look: _Look) -> Table:
    """Declare the table by the texts that are known, and by the answers."""
    kept = [note for note in look.notes if not note.startswith(f"{look.name}.")]
    sheets = {q: a for q, a in look.questions.items() if ": which sheet" in q}
    look.notes, look.questions = kept, sheets
    style = _style(look)
    guesses: dict[str, Guess] = {}
    for column in look.columns.values():
        if column in look.types:
            guesses[column] = Guess(look.types[column])
            continue
        guesses[column] = _answered(con, look, look.texts[column], style)
        look.notes += guesses[column].notes
    used = dict.fromkeys(text for guess in guesses.values() for text in guess.nulls)
    nulls, text_nulls = ("", *used), None
    spoken = [
        column
        for column, guess in guesses.items()
        if guess.kind == "VARCHAR" and used.keys() & look.texts.get(column, Texts("", {})).counts
    ]
    if spoken and used:
        marks, places = ", ".join(used), ", ".join(spoken)
        question = f"{look.name}: does {marks} mean null in the text columns too ({places})?"
        if look.ask(question, ("null", "text")) == "text":
            text_nulls = ("",)
    if used:
        look.notes.append(f"{look.name}: {', '.join(used)} is read as null.")
    decimal, thousands = style or (".", "")
    dates = {
        column: guess.dates[0] if len(guess.dates) == 1 else guess.dates
        for column, guess in guesses.items()
        if guess.dates
    }
    form = changed(
        look.form,
        decimal=decimal,
        thousands=thousands,
        nulls=nulls,
        text_nulls=text_nulls,
        dates=dates,
        headers={
            header: column
            for header, column in look.columns.items()
            if header != column and header not in partition_values(look.paths[0])
        }
        if look.form.header
        else {},
    )
    return Table(
        look.name,
        {column: guess.kind for column, guess in guesses.items()},
        files=_pattern(look.paths),
        rejects=True,
        format=form,
    )


def _answered(
    con: duckdb.DuckDBPyConnection, look: _Look, texts: Texts, style: tuple[str, str] | None
) -> Guess:
    """Infer a column, and ask what its texts leave open."""
    guess = infer(con, look.name, texts, style)
    for question, answers in guess.questions.items():
        answer = look.ask(question, answers)
        if answer == "text":
            return Guess(notes=guess.notes)
        if answer != "reject":
            kind = "TIMESTAMP" if "%H" in answer or "%I" in answer else "DATE"
            nulls = tuple(text for text in NULL_TEXTS if text and text in texts.counts)
            return Guess(kind, (answer,), nulls)
    return guess


def _style(look: _Look) -> tuple[str, str] | None:
    """The style of a table's numbers; None if it stays open."""
    styles = {c: s for c, texts in look.texts.items() if (s := styles_of(texts))}
    marked = {c: s for c, s in styles.items() if not is_plain(look.texts[c])}
    if not marked:
        return STYLES[0]
    common = [style for style in STYLES if all(style in fits for fits in marked.values())]
    if not common:
        best = max(STYLES, key=lambda style: sum(style in fits for fits in marked.values()))
        others = [column for column, fits in marked.items() if best not in fits]
        look.notes.append(
            f"{look.name}.{others[0]} writes numbers in another way than the other columns, so it"
            " stays text."
        )
        return best
    marks = {decimal for decimal, _ in common}
    usual = STYLES[0] in common and look.form.delimiter != ";"
    if len(marks) == 1 or usual:
        style = STYLES[0] if usual else common[0]
        if style != STYLES[0]:
            thousands = f", thousands by {style[1]!r}" if style[1] else ""
            look.notes.append(f"{look.name}: the decimal mark is {style[0]!r}{thousands}.")
        return style
    column = next(iter(marked))
    sample = next(t for t in look.texts[column].without(NULL_TEXTS).counts if re.search(r"\D", t))
    point = next(style for style in common if style[0] == ".")
    comma = next(style for style in common if style[0] == ",")
    question = f"{look.name}.{column}: which mark in {sample} is the decimal mark?"
    answer = look.ask(question, ("text", "point", "comma"))
    return {"point": point, "comma": comma}.get(answer)


def _read_all(
    con: duckdb.DuckDBPyConnection, look: _Look, table: Table, scratch: Path
) -> tuple[int, dict[str, dict[str, int]]]:
    """Read every row as the runner does, into ``all_rows``.

    Returns:
        The number of good rows, and the texts that do not fit, by column.
    """
    con.execute("drop view if exists all_rows")
    counted, misfits, reasons = 0, {}, 0
    files = []
    for place, path in enumerate(look.paths):
        folder = scratch / f"file-{place}"
        target = folder / "rows.parquet"
        with open_duckdb(folder / f"{len(os.listdir(folder))}.duckdb") as own:
            read(own, changed(table, min_rows=0), path, folder)
            counted += own.execute(
                f"copy (select *, {place} as _file from rows) to {literal(target)} (format parquet)"
            ).fetchone()[0]
            bad = own.execute(
                "select column_name, _record->>column_name, count(*) from (select *,"
                " regexp_extract(_reason, '^column (.*?): ''', 1) as column_name from rejects)"
                " group by 1, 2 order by 3 desc limit 1000"
            ).fetchall()
            first = own.execute(
                "select _line, _reason, count(*) over () from rejects order by _row limit 1"
            ).fetchone()
        for column, text, count in bad:
            if column:
                misfits.setdefault(column, {})[(text or "").strip()] = count
        if first:
            reasons += first[2]
            line = f", line {first[0]:,}" if first[0] else ""
            note = f"{look.name}: {first[2]:,} rows of {path.name} are rejects; {first[1]}{line}."
            look.notes.append(note)
        files.append(literal(exact_glob(target)))
    con.execute(f"create view all_rows as from read_parquet([{', '.join(files)}])")
    return counted, misfits


def _widen(look: _Look, misfits: Mapping[str, Mapping[str, int]]) -> bool:
    """Add texts that did not fit to those that decide the types; False if all are known."""
    grown = False
    for column, counts in misfits.items():
        texts = look.texts.get(column)
        new = {text: n for text, n in counts.items() if texts and text not in texts.counts}
        if new:
            look.texts[column] = Texts(column, {**texts.counts, **new})
            grown = True
    return grown


def _with_key_and_partition(con: duckdb.DuckDBPyConnection, look: _Look, table: Table) -> Table:
    key = find_key(con, table)
    if key:
        look.notes.append(f"{look.name}: the key is {', '.join(key)}; no two rows have the same.")
    else:
        look.notes.append(f"{look.name} has no key: no column tells its rows apart.")
    choices = find_partition(con, table, look.paths)
    answers = {"the whole table": "", "the rows of the file of its name": "file"} | {
        f"the months of {choice.partition(':')[2]} that it has": choice
        for choice in choices
        if choice.startswith("month:")
    }
    shown = {partition: answer for answer, partition in answers.items()}
    question = f"{look.name}: what does a new file replace?"
    choice = choices[0]
    if len(choices) > 1:
        choice = answers[look.ask(question, tuple(shown[choice] for choice in choices))]
    return changed(table, key=key, partition=choice)


def _facts(con: duckdb.DuckDBPyConnection, table: Table, rows: int) -> dict[str, ColumnFacts]:
    """Count and show the values of each column."""
    distinct = "count(distinct {0})" if rows <= 1_000_000 else "approx_count_distinct({0})"
    facts = {}
    for column, kind in table.columns.items():
        name = identifier(column)
        nested = re.search(r"(?i)struct|map|\[|json|union", kind)
        ends = "null, null" if nested else f"min({name}), max({name})"
        number, nulls, low, high = con.execute(
            f"select {distinct.format(name)}, count(*) - count({name}), {ends} from all_rows"
        ).fetchone()
        samples = con.execute(
            f"select distinct {name}::varchar from all_rows where {name} is not null limit 5"
        ).fetchall()
        facts[column] = ColumnFacts(number, nulls, low, high, tuple(text for (text,) in samples))
    return facts


def _pattern(paths: Sequence[Path]) -> str:
    """A pattern of the names of these files, and of later ones: digits that change are ``*``."""
    if folders := partition_values(paths[0]):
        return "/".join([*(f"{folder}=*" for folder in folders), "*" + _ending(paths)])
    names = sorted({plain_name(path.name) for path in paths})
    ending = _ending(paths)
    if len(names) == 1:
        return re.sub(r"\d[\d_.-]*\d|\d", "*", names[0].removesuffix(ending)) + ending
    letters = enumerate(zip(*names, strict=False))
    same = next((place for place, column in letters if len({*column}) > 1), 0)
    return re.sub(r"\d[\d_.-]*$", "", names[0][:same]) + "*" + ending


def _ending(paths: Sequence[Path]) -> str:
    """The ending that all files have, without that of their packing."""
    endings = {Path(plain_name(path.name)).suffix for path in paths}
    return endings.pop() if len(endings) == 1 else ""
