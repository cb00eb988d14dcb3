"""Converts office documents to Markdown with `#` headings, with anydoc and msoffcrypto.

Decisions
1. What anydoc is known to lose is rewritten into a form it reads (`word`, `workbook`, `slides`). What it loses all the
   same is appended to the text (`restoring`), and the coverage report counts the rest.
2. .doc, .ppt and .xls have no plain view, so their coverage is unknown: reading their binary records is as much work as
   the reader itself. anydoc reads their speaker notes and sheets.
3. Reading without a password is tried first: an unneeded one breaks files whose password is empty.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from vecver.model import Mark
from vecver.pipeline.parsers.coverage import Content
from vecver.pipeline.parsers.detection import media_types
from vecver.pipeline.parsers.detection.encodings import decode
from vecver.pipeline.parsers.detection.media_types import Unreadable, locked
from vecver.pipeline.parsers.mail import messages
from vecver.pipeline.parsers.office import open_formats, properties, rtf, slides, word, workbook
from vecver.pipeline.parsers.office.package import Package
from vecver.pipeline.parsers.properties import Fields, attempted
from vecver.pipeline.parsers.restoring import View, restored
from vecver.pipeline.parsers.web import html

DEEPEST: Final = 3  # levels of inserted documents that are read
_NAMES: Final = {**media_types.OFFICE, media_types.XLS: "xlsx"}  # as anydoc calls them
_EXTENT: Final = "max_grid_slots"  # anydoc's limit on the rows times the columns of a workbook
_SHEET_HEADING: Final = re.compile(r"^## (.+)$", re.M)
_DEFAULT_SHEET: Final = re.compile(r"\w+ ?\d+\Z")  # "Sheet1", "Tabelle 2": no real name
_EXCEL_DEFAULT: Final = "VelvetSweatshop"  # Excel encrypts "read-only" workbooks with it and opens them without asking


def read(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    """The document's text, with its parts to compare with. Raises Unreadable."""
    import anydoc

    for opened in _opened(data, passwords):
        try:
            return _read(opened, media_type)
        except anydoc.EncryptedError:
            continue
        except anydoc.ResourceLimitError as error:
            raise Unreadable("too_large", f"It unpacks to more than is read: {error}.") from error
    raise locked(passwords)


def _read(data: bytes, media_type: str, depth: int = 0) -> Content:
    """Read a document as its format needs; anydoc alone reads .doc, .ppt and broken packages."""
    if media_type == media_types.XLS and not data.startswith(b"PK"):
        return _old_excel(data, media_type)
    if media_type == media_types.RTF:
        return _rich_text(data, media_type)
    package = _zipped(data) if media_type in _PACKAGED else None
    if package is None:
        return Content(_markdown(data, media_type), metadata=attempted(_old_properties, data))
    if media_type == media_types.DOCX:
        return _word(package, media_type, depth)
    return _PACKAGED[media_type](package, media_type)


def _markdown(data: bytes, media_type: str) -> str:
    import anydoc

    return anydoc.to_markdown_bytes(data, _NAMES[media_type])  # type: ignore[arg-type]


def _zipped(data: bytes) -> Package | None:
    """The package, or None for a broken one, for which anydoc's error is better."""
    try:
        return Package(data)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None


def _content(
    package: Package, text: str, views: Sequence[View], notes: Sequence[str] = (), marks: Sequence[Mark] = ()
) -> Content:
    parts = [view.part() for view in views if view.paragraphs]
    fields = _properties(package)
    title = fields.get("title", "")
    title = title if isinstance(title, str) else ""
    return Content(restored(text, views), title, parts, marks, notes, fields)


def _properties(package: Package) -> Fields:
    if "meta.xml" in package.names:
        return attempted(properties.open_document, package)
    if "docProps/core.xml" in package.names or "docProps/app.xml" in package.names:
        return attempted(properties.ooxml, package)
    main = open_formats.main_of(package) if "META-INF/container.xml" in package.names else ""
    return attempted(lambda inside: properties.book(inside, main), package) if main else {}


# -- Word --------------------------------------------------------------------------------------


def _word(package: Package, media_type: str, depth: int = 0) -> Content:
    """`depth`: number of documents that it is inserted in."""
    document = word.prepared(package)
    text = _markdown(document.data, media_type)
    if document.chunks:
        texts = [_chunk(name, content, document.notes, depth) for name, content in document.chunks]
        text = word.TOKEN.sub(lambda token: _placed(token, texts[int(token[1])]), text)
    return _content(package, text, document.views, document.notes)


def _chunk(name: str, content: bytes, notes: list[str], depth: int) -> str:
    """The text of an inserted document, which may have any format."""
    media_type = media_types.media_type_of(content, name)
    try:
        if media_type in (media_types.HTML, media_types.XML):
            return html.html_text(decode(content) or "")
        if media_type in (media_types.DOCX, media_types.RTF) and depth < DEEPEST:
            read = _read(content, media_type, depth + 1)
            notes += read.notes
            return read.text
        if media_type in (media_types.EMAIL, media_types.TEXT) and content[:2000].lower().find(b"mime-version:") >= 0:
            read = messages.eml(content)
            notes += read.notes
            return read.text
        if media_type.startswith("text/") and (text := decode(content)) and text.strip():
            return text
    except Exception as error:  # what an inserted document raises must not cost the document around it
        notes.append(f"The inserted document '{name}' could not be read: {error}.")
        return ""
    notes.append(f"The inserted document '{name}' was not read: save it on its own and ingest it too.")
    return ""


def _placed(token: re.Match[str], text: str) -> str:
    """The text for a token: as separate blocks, or on one line if the token shares its line."""
    document = token.string
    alone = document[token.start() - 1 : token.start()] in ("", "\n") and document[token.end() : token.end() + 1] in (
        "",
        "\n",
    )
    return text.strip("\n") if alone else " ".join(text.split()).replace("|", "\\|")


# -- Excel -------------------------------------------------------------------------------------


def _excel(package: Package, media_type: str) -> Content:
    if "xl/workbook.bin" in package.names:
        raise Unreadable("unsupported", "Binary workbooks (.xlsb) are not read: save it as .xlsx.")
    book = workbook.prepared(package)
    text = _spread(book, media_type)
    text, marks = _by_sheets(text, book.sheets)
    return _content(package, text, book.views, book.notes, marks)


def _spread(book: workbook.Workbook, media_type: str) -> str:
    import anydoc

    try:
        return _markdown(book.data, media_type)
    except anydoc.ResourceLimitError as error:
        if error.limit != _EXTENT:
            raise
    return _markdown(workbook.compacted(book), media_type)


def _old_excel(data: bytes, media_type: str) -> Content:
    opened, sheets = workbook.shown(data)
    text, marks = _by_sheets(_markdown(opened, media_type), sheets)
    return Content(text, marks=marks, metadata=attempted(_old_properties, data))


def _old_properties(data: bytes) -> Fields:
    return properties.ole(data) if data.startswith(media_types.OLE) else {}


def _by_sheets(text: str, sheets: Sequence[str]) -> tuple[str, list[Mark]]:
    """The text, with a heading for a single sheet, and where each sheet begins."""
    if not _SHEET_HEADING.search(text) and len(sheets) == 1:
        heading = "" if _DEFAULT_SHEET.match(sheets[0]) else f"## {' '.join(sheets[0].split())}\n\n"
        return heading + text, [Mark(0, "sheet", sheets[0])]
    marks, at = [], 0
    for heading_line in _SHEET_HEADING.finditer(text):
        name = " ".join(heading_line[1].replace("\\", "").split())
        later = next((n for n in range(at, len(sheets)) if " ".join(sheets[n].replace("\\", "").split()) == name), None)
        if later is not None:
            marks.append(Mark(heading_line.start(), "sheet", sheets[later]))
            at = later + 1
    return text, marks


def _rich_text(data: bytes, media_type: str) -> Content:
    opened, views = rtf.prepared(data)
    text = restored(_markdown(opened, media_type), views)
    parts = [view.part() for view in views if view.paragraphs]
    return Content(text, parts=parts, metadata=attempted(properties.rtf, data))


# -- the others --------------------------------------------------------------------------------


def _slides(package: Package, media_type: str) -> Content:
    deck = slides.prepared(package)
    pieces, marks, length = [], [], 0
    tokens = slides.TOKEN.split(_markdown(deck.data, media_type))
    for number, piece in zip(["", *tokens[1::2]], tokens[::2], strict=True):
        if number:
            marks.append(Mark(length, "page", int(number)))
        pieces.append(piece)
        length += len(piece)
    return _content(package, "".join(pieces), deck.views, marks=marks)


def _open_document(package: Package, media_type: str) -> Content:
    opened, views = open_formats.open_document(package)
    return _content(package, _markdown(opened, media_type), views)


def _epub(package: Package, media_type: str) -> Content:
    opened, views = open_formats.book(package)
    return _content(package, _markdown(opened, media_type), views)


_PACKAGED: Final[dict[str, Callable[[Package, str], Content]]] = {
    media_types.DOCX: _word,
    media_types.XLSX: _excel,
    media_types.XLS: _excel,  # a .xlsx with the wrong suffix
    media_types.PPTX: _slides,
    media_types.ODT: _open_document,
    media_types.ODS: _open_document,
    media_types.ODP: _open_document,
    media_types.EPUB: _epub,
}


# -- passwords ---------------------------------------------------------------------------------


def _opened(data: bytes, passwords: Sequence[str]) -> Iterator[bytes]:
    """The document itself (unless it is encrypted), then decrypted with each password that fits."""
    if not media_types.is_encrypted_office(data):
        yield data
    for password in (_EXCEL_DEFAULT, *passwords):
        opened = _decrypted(data, password)
        if opened is not None:
            yield opened


def _decrypted(data: bytes, password: str) -> bytes | None:
    import msoffcrypto
    from msoffcrypto.exceptions import (
        DecryptionError,
        FileFormatError,
        InvalidKeyError,
    )

    opened = io.BytesIO()
    try:
        document = msoffcrypto.OfficeFile(io.BytesIO(data))
        document.load_key(password=password)
        document.decrypt(opened)
    except (DecryptionError, FileFormatError, InvalidKeyError):
        return None
    return opened.getvalue()
