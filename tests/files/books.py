"""Writes small Excel files for the tests."""

import zipfile
from pathlib import Path

TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
BOOK = {
    "[Content_Types].xml": """<Types
      xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>""",
    "_rels/.rels": """<Relationships
      xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
      <Relationship Id="r1" Target="xl/workbook.xml"
      Type="TYPES/officeDocument"/>
      </Relationships>""",
    "xl/_rels/workbook.xml.rels": """<Relationships
      xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
      <Relationship Id="r1" Target="worksheets/sheet1.xml" Type="TYPES/worksheet"/>
      <Relationship Id="r2" Target="worksheets/sheet2.xml" Type="TYPES/worksheet"/>
      <Relationship Id="r3" Target="styles.xml" Type="TYPES/styles"/></Relationships>""",
    "xl/workbook.xml": """<workbook
      xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
      xmlns:r="TYPES">
      <sheets><sheet name="Orders" sheetId="1" r:id="r1"/>
      <sheet name="More" sheetId="2" r:id="r2"/></sheets></workbook>""",
    "xl/styles.xml": """<styleSheet
      xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
      <cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/></cellXfs>
      </styleSheet>""",
}
"""The parts of an .xlsx file with two sheets; style 1 is a date, style 2 a time."""


def cell(place: str, value: object) -> str:
    """A cell of a sheet: text, or a number with its style or formula, as XML."""
    if isinstance(value, str) and not value.startswith("<"):
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
    if isinstance(value, str):
        return value.replace("<c", f'<c r="{place}"', 1)
    return f'<c r="{place}"><v>{value}</v></c>'


def book(path: Path, *rows: tuple, more: tuple = ()) -> Path:
    def sheet(rows: tuple) -> str:
        lines = "".join(
            f'<row r="{n}">{"".join(cell(f"{chr(65 + i)}{n}", v) for i, v in enumerate(row))}</row>'
            for n, row in enumerate(rows, 1)
            if row
        )
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        return f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'

    with zipfile.ZipFile(path, "w") as archive:
        for name, text in BOOK.items():
            archive.writestr(name, text.replace("TYPES", TYPES))
        archive.writestr("xl/worksheets/sheet1.xml", sheet(rows))
        archive.writestr("xl/worksheets/sheet2.xml", sheet(more))
    return path
