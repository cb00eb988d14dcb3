"""Prepares Excel workbooks (.xlsx, .xls) for anydoc, which leaves out hidden cells, and lists their texts.

Hidden rows, columns and sheets are unhidden in place. Formulas without a computed value are noted.

Decisions
1. The texts to compare with are strings and whole numbers without a number format, since other cells are read as the
   workbook shows them ("1.10", "25%") and not as it stores them.
2. An old workbook (.xls) has no such list: its strings are split into records in the middle of characters, and a second
   reader would be as large as the first.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, field
from typing import Final

from vecver.pipeline.parsers.office.package import Package, all_plain, attributes_of, paragraphs
from vecver.pipeline.parsers.office.word import drawings
from vecver.pipeline.parsers.restoring import View

WIDEST: Final = 2_000_000  # rows times columns above which `compacted` moves a sheet's cells together
_HIDDEN: Final = re.compile(rb"""(<(?:\w++:)?(?:row|col)\b[^<>]*?)\s(?:hidden|zeroHeight)=["'](?:1|true)["']""")
_HIDDEN_SHEET: Final = re.compile(rb"""\sstate=["'](?:hidden|veryHidden)["']""")
_INVISIBLE: Final = re.compile(rb"""formatCode=["'];;;+(?:@?)["']""")
_SHEET: Final = re.compile(rb"<(?:\w++:)?sheet\s([^<>]*+)>")
_SHARED: Final = re.compile(rb"<(?:\w++:)?si>(.*?)(?:</(?:\w++:)?si>|\Z)", re.S)
_READING: Final = re.compile(rb"<(?:\w++:)?rPh\b.*?(?:</(?:\w++:)?rPh>|\Z)", re.S)  # phonetic readings of Japanese
_SHARED_CELL: Final = re.compile(rb"""\st=["']s["'][^<>]*+>\s*+(?:<f[^<>]*+(?<=/)>)?+<(?:\w++:)?v>(\d++)<""")
_OTHER_CELL: Final = re.compile(
    rb"""<c(?:\sr="[A-Z]++\d++")?+(?:\ss="0")?+(?:\st="n")?+><v>(-?\d{1,11})</v>|\st="(?:str|inlineStr)"[^<>]*+>(?:<f\b[^<>]*+>[^<]*+</f>)?+(.*?)(?:</c>|\Z)""",
    re.S,
)
_UNCOMPUTED: Final = re.compile(
    rb"""<(?:\w++:)?c\b(?![^<>]*?\st="str")[^<>]*+>\s*+<(?:\w++:)?f(?:[^<>]*+(?<=/)>|[^<>]*+>[^<]*+</(?:\w++:)?f>)\s*+(?:<(?:\w++:)?v\s*+/>|<(?:\w++:)?v></(?:\w++:)?v>)?+\s*+</"""
)
_CELL_PLACE: Final = re.compile(rb"""<c\s(?:[^<>]*?\s)??r=["']([A-Z]{1,3})(\d{1,7})["']""")
_ROW_OR_CELL: Final = re.compile(rb"""<row\b[^<>]*+>|<c\b[^<>]*+>""")
_PLACE: Final = re.compile(rb"""\sr=["'][A-Z]*+\d++["']""")
_MERGED: Final = re.compile(rb"<mergeCells\b.*?(?:</mergeCells>|\Z)|<dimension\b[^<>]*+>", re.S)


@dataclass
class Workbook:
    """A workbook ready to be converted."""

    data: bytes
    sheets: list[str] = field(default_factory=list)  # names in the order of the workbook
    views: list[View] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parts: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # a sheet's name and XML, by part


def prepared(package: Package) -> Workbook:
    """The workbook with everything unhidden, and its texts to compare with."""
    kinds = package.kinds()
    main = next((name for name, kind in kinds.items() if kind.endswith(".main")), "xl/workbook.xml")
    book = package.read(main)
    relations = package.relations(main)
    done = Workbook(package.data)
    changed = {main: _HIDDEN_SHEET.sub(b"", book)} if _HIDDEN_SHEET.search(book) else {}
    shared = [] if (strings := _part(relations, "sharedStrings")) is None else _shared(package.read(strings))
    for attributes in map(attributes_of, _SHEET.findall(book)):
        id_of = next((value for key, value in attributes.items() if key.endswith(":id")), "")
        kind, part = relations.get(id_of, ("", ""))
        if kind == "worksheet":
            _prepare_sheet(done, changed, package.read(part), part, attributes.get("name", ""), shared)
    styles = package.read(_part(relations, "styles") or "")
    if _INVISIBLE.search(styles):
        changed[_part(relations, "styles") or ""] = _INVISIBLE.sub(b'formatCode="General"', styles)
    done.views += _around(package, kinds)
    done.data = package.replaced(changed)
    return done


def compacted(book: Workbook) -> bytes:
    """The workbook with the rows and cells of too large sheets moved together; a note names each sheet."""
    moved = {}
    for part, (name, xml) in book.parts.items():
        if _extent(xml) > WIDEST:
            shorn = _MERGED.sub(b"", xml)
            moved[part] = _ROW_OR_CELL.sub(lambda tag: _PLACE.sub(b"", tag[0]), shorn)
            book.notes.append(f"The sheet '{name}' spreads far: its empty rows and columns are left out.")
    return Package(book.data).replaced(moved)


def _extent(xml: bytes) -> int:
    """The number of rows times columns between the first and the last cell of a sheet."""
    places = _CELL_PLACE.findall(xml)
    rows = max((int(row) for _, row in places), default=0)
    return rows * max((_column(letters) for letters, _ in places), default=0)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _prepare_sheet(
    done: Workbook, changed: dict[str, bytes], xml: bytes, part: str, name: str, shared: list[str]
) -> None:
    done.sheets.append(name)
    if not xml:
        done.notes.append(f"The sheet '{name}' is too large to be checked for hidden rows.")
        return
    if b"idden=" in xml and (shown := _HIDDEN.sub(rb"\1", xml)) != xml:
        changed[part] = xml = shown
    done.parts[part] = name, xml
    done.views.append(View(f"the sheet '{name}'", "", _cells(xml, shared)))
    uncomputed = len(_UNCOMPUTED.findall(xml)) if b"<f" in xml else 0
    if uncomputed:
        done.notes.append(
            f"The sheet '{name}' has formulas without a computed value ({uncomputed:,}): "
            "open it in a spreadsheet program, save it and ingest it again."
        )


def _cells(xml: bytes, shared: list[str]) -> list[str]:
    size = len(shared)
    texts = [shared[at] for at in map(int, _SHARED_CELL.findall(xml)) if at < size]
    return texts + all_plain([number or text for number, text in _OTHER_CELL.findall(xml)])


def _shared(xml: bytes) -> list[str]:
    if b"rPh" in xml:
        xml = _READING.sub(b"", xml)
    return all_plain(_SHARED.findall(xml))


def _around(package: Package, kinds: dict[str, str]) -> list[View]:
    """The texts of comments, and of shapes and charts over the cells."""
    views = list(drawings(package, kinds, in_cells=True))
    for name, kind in kinds.items():
        if kind == "comments" or kind.endswith("threadedcomments"):
            views.append(
                View("the comments", "Comments", paragraphs(package.read(name), b"t|text", b"comment|threadedComment"))
            )
        elif kind.endswith("drawing"):
            views.append(View("the shapes", "Shapes", paragraphs(package.read(name))))
    return views


def _part(relations: dict[str, tuple[str, str]], kind: str) -> str | None:
    return next((target for name, target in relations.values() if name == kind), None)


# -- .xls --------------------------------------------------------------------------------------

_ROW, _COLUMNS, _SHEET_RECORD = 0x0208, 0x007D, 0x0085


def shown(data: bytes) -> tuple[bytes, list[str]]:
    """An old workbook (.xls) with everything unhidden, and its sheet names; unchanged if it is broken."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as box:
            name = next(name for name in ("Workbook", "Book") if box.exists(name))
            stream = bytearray(box.openstream(name).read())
    except (OSError, StopIteration, ValueError, IndexError):
        return data, []
    sheets, changed = _show(stream)
    if not changed:
        return data, sheets
    buffer = io.BytesIO(data)
    with olefile.OleFileIO(buffer, write_mode=True) as box:
        box.write_stream(name, bytes(stream))
        return buffer.getvalue(), sheets


def _show(stream: bytearray) -> tuple[list[str], bool]:
    """Clear the flags that hide rows, columns and sheets; returns the sheet names, and whether any flag was set."""
    sheets, changed, at, size = [], False, 0, len(stream)
    header = struct.Struct("<HH").unpack_from
    while at + 4 <= size:
        kind, length = header(stream, at)
        body, at = at + 4, at + 4 + length
        if at > size:
            break
        flag, mask = 0, 0
        if kind == _ROW and length >= 16:
            flag, mask = body + 12, 0x20
        elif kind == _COLUMNS and length >= 10:
            flag, mask = body + 8, 0x01
        elif kind == _SHEET_RECORD and length >= 8:
            flag, mask = body + 4, 0x03
            sheets.append(_sheet_name(bytes(stream[body + 6 : at])))
        if mask and stream[flag] & mask:
            stream[flag] &= ~mask & 0xFF
            changed = True
    return sheets, changed


def _sheet_name(field_: bytes) -> str:
    """A name after its length: one or two bytes a character since Excel 97, one byte before."""
    length = field_[0]
    if len(field_) == 1 + length:
        return field_[1:].decode("cp1252", "replace")
    wide = field_[1] & 1
    return field_[2 : 2 + length * (1 + wide)].decode("utf-16-le" if wide else "latin-1", "replace")
