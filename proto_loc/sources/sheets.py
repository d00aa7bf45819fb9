"""Writes a sheet of an Excel file as CSV; python-calamine reads it."""

import csv
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from pathlib import Path

from proto_loc.sources.content import LINE_LIMIT, refused
from proto_loc.sources.formats import Format

UNPACKED_LIMIT = 4 << 30
"""Greatest unpacked size of a book in bytes: it is read into memory as a whole."""

ROW_LIMIT = LINE_LIMIT - 100_000
"""Greatest size of a row in bytes: DuckDB reads it with its marks and its number as one line."""


def sheet_names(path: Path) -> list[str]:
    """The names of the visible sheets.

    Raises:
        LocError: the file is damaged, needs a password, or is no .xlsx.
    """
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    return [
        sheet.name
        for sheet in _book(path, path).sheets_metadata
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible
    ]


def write_csv(path: Path, book: Path, form: Format, target: Path) -> list[str]:
    """Write the rows of a sheet with their number in the sheet, and return the headers.

    A row without values is left out. Numbers have the 15 digits that Excel keeps.

    Args:
        path: the file, for messages.
        book: the file, unpacked.

    Raises:
        LocError: there is no such sheet, it has no header, a row is too long, or a cell has no
            right value: an error such as ``#DIV/0!``, or a formula whose result is not stored.
            The message names it.
    """
    names = sheet_names(book)
    sheet = form.sheet or (names[0] if names else "")
    if sheet not in names:
        raise refused(
            path, f"It has no visible sheet {sheet!r}; its sheets: {', '.join(names) or 'none'}."
        )
    _check_cells(path, book, sheet)
    header: list[str] = []
    width = 0
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for number, row in enumerate(_rows(path, book, sheet), 1):
            cells = [_text(cell) for cell in row]
            if number <= form.skip or not any(cells):
                continue
            if form.header and not header:
                header = cells
                while header and not header[-1].strip():
                    header.pop()
                width = len(header)
                continue
            width = width or len(cells)
            if any(cells[width:]):
                place = next(place for place in range(width, len(cells)) if cells[place])
                raise refused(
                    path,
                    f"Row {number:,} of the sheet {sheet} has a value in column {_letter(place)},"
                    " which has no header.",
                )
            if sum(len(cell.encode()) + cell.count('"') + 3 for cell in cells) > ROW_LIMIT:
                raise refused(
                    path,
                    f"Row {number:,} of the sheet {sheet} is longer than {ROW_LIMIT:,} bytes.",
                    "Cut its texts; nothing was loaded.",
                )
            writer.writerow([*cells[:width], *[""] * (width - len(cells)), number])
    if form.header and not header:
        raise refused(path, f"The sheet {sheet} is empty: it has not even a header.")
    return header or [f"column_{place}" for place in range(1, width + 1)]


def _book(path: Path, book: Path):
    import python_calamine

    if zipfile.is_zipfile(book):
        with zipfile.ZipFile(book) as archive:
            size = sum(member.file_size for member in archive.infolist())
            names = archive.namelist()
    else:
        size, names = 0, []
    if "xl/workbook.xml" not in names:
        raise refused(
            path, "It is no .xlsx, but an older or another form of sheet.", "Save it as .xlsx."
        )
    if size > UNPACKED_LIMIT:
        raise refused(path, f"It unpacks to {size:,} bytes: too much.", "Export it as CSV.")
    try:
        return python_calamine.load_workbook(str(book))
    except python_calamine.PasswordError as error:
        raise refused(path, "It needs a password.", "Save it without one.") from error
    except python_calamine.CalamineError as error:
        raise refused(path, f"It cannot be read as Excel: {error}.") from error


def _rows(path: Path, book: Path, sheet: str) -> Iterator[list]:
    import python_calamine

    try:
        yield from _book(path, book).get_sheet_by_name(sheet).to_python(skip_empty_area=False)
    except python_calamine.CalamineError as error:
        raise refused(path, f"The sheet {sheet} cannot be read: {error}.") from error


def _text(cell: object) -> str:
    """A cell as text: numbers and dates as DuckDB reads them."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return f"{cell:.15g}"
    return "" if cell is None else str(cell)  # dates and times as in ISO 8601


def _letter(place: int) -> str:
    """The name of a column of a sheet: A, B, ..., AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _check_cells(path: Path, book: Path, sheet: str) -> None:
    """Refuse errors, and formulas without a stored result: the library reads both as empty cells.

    Raises:
        LocError: there is one; the message names its cell.
    """
    with zipfile.ZipFile(book) as archive:
        text = archive.read(_sheet_member(archive, sheet)).decode("utf-8", "replace")
    for cell in re.finditer(
        r"<(?:\w+:)?c\b((?:[^>/]|/(?!>))*)>(.*?)</(?:\w+:)?c>", text, re.DOTALL
    ):
        place = (re.search(r'\br="(\w+)"', cell[1]) or ["", "a cell"])[1]
        result = re.search(r"<(?:\w+:)?v\b[^>/]*>(.*?)</", cell[2])
        if 't="e"' in cell[1]:
            error = result[1] if result else "an error"
            raise refused(path, f"{place} of the sheet {sheet} has {error} in place of a value.")
        has_result = result and (result[1] or 't="str"' in cell[1])  # an empty text is one
        if re.search(r"<(\w+:)?f\b", cell[2]) and not has_result:
            raise refused(
                path,
                f"The formula in {place} of the sheet {sheet} has no stored result.",
                "Open the file in Excel or LibreOffice and save it there, then load it again.",
            )


def _sheet_member(archive: zipfile.ZipFile, sheet: str) -> str:
    """The part of a book that has a sheet."""
    relations = {
        node.get("Id"): node.get("Target", "").lstrip("/")
        for node in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    }
    targets = [
        relations.get(value, "")
        for node in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter()
        if node.tag.endswith("}sheet") and node.get("name") == sheet
        for key, value in node.attrib.items()
        if key.endswith("}id")
    ]
    return targets[0] if targets[0].startswith("xl/") else f"xl/{targets[0]}"
