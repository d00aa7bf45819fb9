"""Sheets of Excel and OpenDocument files as CSV; python-calamine reads them."""

import csv
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from proto_loc.sources.content import refused
from proto_loc.sources.formats import Format

UNPACKED_LIMIT = 4 << 30
"""Greatest unpacked size of a book in bytes: it is read into memory as a whole."""


def sheet_names(path: Path) -> list[str]:
    """The names of the visible sheets.

    Raises:
        LocError: the file is damaged, or needs a password.
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
        LocError: there is no such sheet, it has no header, or a cell has no right value: an error
            such as ``#DIV/0!``, or a formula whose result is not stored. The message names the row.
    """
    names = sheet_names(book)
    sheet = form.sheet or (names[0] if names else "")
    if sheet not in names:
        raise refused(
            path, f"It has no visible sheet {sheet!r}; its sheets: {', '.join(names) or 'none'}."
        )
    _check_formulas(path, book, sheet)
    header: list[str] = []
    width = 0
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for number, row in enumerate(_rows(path, book, sheet), 1):
            cells = [_text(path, sheet, number, place, cell) for place, cell in enumerate(row)]
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
            writer.writerow([*cells[:width], *[""] * (width - len(cells)), number])
    if form.header and not header:
        raise refused(path, f"The sheet {sheet} is empty: it has not even a header.")
    return header or [f"column_{place}" for place in range(1, width + 1)]


def _book(path: Path, book: Path):
    import python_calamine

    if zipfile.is_zipfile(book):
        with zipfile.ZipFile(book) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > UNPACKED_LIMIT:
            raise refused(
                path, f"It unpacks to {size:,} bytes, which is too much.", "Export it as CSV."
            )
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


def _text(path: Path, sheet: str, row: int, place: int, cell: object) -> str:
    """A cell as text: numbers and dates as DuckDB reads them."""
    if isinstance(cell, str):
        if re.fullmatch(r"#(DIV/0!|N/A|NAME\?|NULL!|NUM!|REF!|VALUE!|GETTING_DATA)", cell):
            raise refused(
                path,
                f"Row {row:,} of the sheet {sheet}, column {_letter(place)}: its formula failed,"
                f" {cell}.",
            )
        return cell
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


def _check_formulas(path: Path, book: Path, sheet: str) -> None:
    """Refuse formulas without a stored result, which the library reads as empty cells."""
    if not zipfile.is_zipfile(book):
        return
    with zipfile.ZipFile(book) as archive:
        member = _sheet_member(archive, sheet)
        if member is None:
            return
        text = archive.read(member).decode("utf-8", "replace")
    for cell in re.finditer(r'<c\b[^>]*?\br="([A-Z]+\d+)"[^>]*>(.*?)</c>', text, re.DOTALL):
        if "<f" in cell[2] and not re.search(r"<v>[^<]|<v [^>]*>[^<]|<is>", cell[2]):
            if 't="str"' in cell[0].partition(">")[0] and "<v" in cell[2]:
                continue
            raise refused(
                path,
                f"The formula in {cell[1]} of the sheet {sheet} has no stored result.",
                "Open the file in Excel or LibreOffice and save it there, then load it again.",
            )


def _sheet_member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part of an .xlsx that has a sheet; None in other books."""
    import xml.etree.ElementTree as ElementTree

    names = archive.namelist()
    if "xl/workbook.xml" not in names:
        return None
    relations = {
        node.get("Id"): node.get("Target", "")
        for node in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    }
    for node in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter():
        if node.tag.endswith("}sheet") and node.get("name") == sheet:
            ids = [value for key, value in node.attrib.items() if key.endswith("}id")]
            target = relations.get(ids[0] if ids else "", "").lstrip("/")
            member = target if target.startswith("xl/") else f"xl/{target}"
            return member if member in names else None
    return None
