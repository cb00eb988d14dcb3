"""Converts PDF to Markdown with `#` headings: pages in order, running lines removed, unreadable pages noted.

Decisions
1. Reading without a password is tried first: an unneeded one breaks files whose password is empty.
2. A running line is removed where it repeats an earlier page's line: alone at the edge of the page, no larger than the
   text, the same on `MOST` pages of a document of at least `LONG` pages, and without digits except the page's number in
   a usual form. Its first copy stays, so no words are lost; "Step 2", dates, totals and invoice numbers stay
   everywhere. liteparse's own rule (digits masked, two pages enough) removed table rows.
3. A page without text is noted if it holds images or drawings; blank pages are not. A document without text is
   `needs_ocr`, or `malformed` if it is damaged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vecver.model import Mark
from vecver.pipeline.parsers.coverage import Content, Part
from vecver.pipeline.parsers.detection.media_types import Unreadable, locked, malformed
from vecver.pipeline.parsers.pdf import layout
from vecver.pipeline.parsers.pdf import pages as pdf_pages
from vecver.pipeline.parsers.pdf.layout import Piece
from vecver.pipeline.parsers.pdf.pages import PageView
from vecver.pipeline.parsers.properties import attempted

if TYPE_CHECKING:
    from liteparse import ParseResult

LONG: Final = 5  # pages a document needs before running lines are removed
MOST: Final = 0.6  # share of pages that must have the line
EDGE: Final = 0.12  # share of the page's height that counts as its top and its bottom
FEW_WORDS: Final = 3  # words on a page that only PDFium sees; fewer are no page text (labels of an image, for example)
STAMP: Final = 12  # with at most this many words over a full-page image, the page counts as a stamped scan
REPEATED_HEADINGS: Final = 3  # pages with the same first heading, above which it is a running line

_PDF_TITLE: Final = re.compile(r"<dc:title>.{0,200}?<rdf:li[^>]*>([^<]+)</rdf:li>", re.S)
_PAGE_NUMBER: Final = re.compile(
    r"(?:\b(?:page|pages|seite|p\.|pag\.|p\u00e1gina|pagina|strana|sivu|side|\u0441\u0442\u0440\.)\s*(\d{1,5})(?:\s*(?:of|von|de|di|/)\s*\d{1,5})?"
    r"|^[-\u2013\s]*(\d{1,5})(?:\s*(?:of|/)\s*\d{1,5})?[-\u2013\s]*$)",
    re.I,
)  # fmt: skip
_TURNED: Final = "turned"


def begins(data: bytes) -> bool:
    """Whether it begins like a PDF; liteparse would read anything else as another format."""
    return b"%PDF-" in data[:1024]


def read(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    """The document, page by page. Raises Unreadable with the reason why there is no text."""
    from liteparse import ParseError

    if not begins(data):
        raise Unreadable("malformed", "It is called PDF and does not begin like one.")
    for password in (None, *passwords):
        try:
            result = pdf_pages.parse(data, password)
        except ParseError as error:
            if "password" in str(error).lower():
                continue
            raise malformed(media_type, error) from error
        return _content(data, password, result)
    raise locked(passwords)


def _content(data: bytes, password: str | None, result: ParseResult) -> Content:
    if not result.pages:
        raise Unreadable("malformed", "It is broken: none of its pages can be found.")
    views = pdf_pages.views_of(data, password, result.pages)
    textless = [view.number for view in views if view.empty and len(view.plain.split()) < FEW_WORDS]
    if len(textless) == len(views):
        raise _without_text(data, password, textless)
    pages, plain = _written(views)
    furniture = _furniture(pages, views)
    pages = _without_running_headings(pages)
    parts, marks, texts, start = [], [], [], 0
    for view, pieces in zip(views, pages, strict=True):
        left_out = furniture[view.number]
        text = "\n\n".join(piece.markdown for n, piece in enumerate(pieces) if n not in left_out)
        marks.append(Mark(start, "page", view.number))
        parts.append(
            Part(
                f"page {view.number}", plain[view.number], "\n".join(" ".join(pieces[n].text.split()) for n in left_out)
            )
        )
        if text:
            texts.append(text)
            start += len(text) + 2
    title = _PDF_TITLE.search((result.doc_meta and result.doc_meta.xmp) or "")
    few = [view.number for view in views if not view.empty and view.words <= STAMP]
    stamped = pdf_pages.covered(data, password, few) if few else []
    notes = list(_notes(data, password, textless, stamped, result))
    fields = attempted(lambda file: pdf_pages.properties_of(file, password), data)
    return Content("\n\n".join(texts), title[1] if title else "", parts, marks, notes, fields)


def _written(views: Sequence[PageView]) -> tuple[list[list[Piece]], dict[int, str]]:
    """The pieces of each page, and its plain view by its number."""
    breaks = {(v.number, n): layout.breaks_of(s.items) for v in views for n, s in enumerate(v.sheets)}
    vocabulary: Counter[str] = Counter()
    if any(breaks.values()):
        vocabulary = layout.vocabulary_of(i.text for v in views for s in v.sheets for i in s.items)
        vocabulary.subtract(word_break.second.casefold() for broken in breaks.values() for word_break in broken)
    pages, plain = [], {}
    for view in views:
        pieces: list[Piece] = []
        seen: list[str] = []
        for n, sheet in enumerate(view.sheets):
            broken = breaks[view.number, n]
            seen += layout.view_of(sheet, broken, vocabulary)
            pieces += layout.pieces_of(sheet, broken, vocabulary)
        slanted = layout.aslant(view.slanted.items)
        pieces += [replace(piece, kind=_TURNED) for piece in layout.lost(slanted, pieces)]
        if view.plain:
            pieces += layout.lost(view.plain.split("\n"), pieces)
        pages.append(pieces)
        plain[view.number] = "\n".join([*seen, *slanted])
    return pages, plain


# -- running lines -----------------------------------------------------------------------------


def _furniture(pages: Sequence[Sequence[Piece]], views: Sequence[PageView]) -> dict[int, list[int]]:
    """For each page number, the indices of pieces that repeat running lines of earlier pages."""
    running: dict[int, list[int]] = {view.number: [] for view in views}
    if len(pages) < LONG:
        return running
    lines: dict[tuple[str, str, int | None], list[tuple[int, int]]] = {}
    for pieces, view in zip(pages, views, strict=True):
        for n, place in _edges(pieces, view):
            text, number = _unnumbered(pieces[n].text)
            offset = None if number is None else view.number - number
            if not any(char.isdigit() for char in text):
                lines.setdefault((place, text, offset), []).append((view.number, n))
    for (_, text, _), places in lines.items():
        if len({number for number, _ in places}) >= MOST * len(pages):
            for number, n in places[1 if text else 0 :]:
                running[number].append(n)
    return running


def _edges(pieces: Sequence[Piece], view: PageView) -> Iterator[tuple[int, str]]:
    """The indices of pieces alone at the top or bottom of the page, and of slanted ones."""
    sizes = sorted(item.height for sheet in view.sheets for item in sheet.items)
    size = sizes[len(sizes) // 2] if sizes else 0.0
    for n, piece in enumerate(pieces):
        if piece.kind == _TURNED:
            yield n, _TURNED
        if piece.kind != "paragraph" or not 0 < piece.height <= 1.3 * size:
            continue
        bottom = piece.top + piece.height
        if bottom <= EDGE * view.height and all(p.top >= bottom + size or p is piece or not p.height for p in pieces):
            yield n, "top"
        elif piece.top >= (1 - EDGE) * view.height and all(
            p.top + p.height <= piece.top - size or p is piece or not p.height for p in pieces
        ):
            yield n, "bottom"


def _unnumbered(text: str) -> tuple[str, int | None]:
    """A line without its page number, and the number."""
    match = _PAGE_NUMBER.search(text)
    if not match:
        return " ".join(text.split()), None
    remaining = f"{text[: match.start()]} {text[match.end() :]}"
    return " ".join(remaining.split()), int(match[1] or match[2])


def _without_running_headings(pages: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
    """The pages with headings that come first on most pages turned into paragraphs: they title no section."""
    firsts = Counter(pieces[0].text for pieces in pages if pieces and pieces[0].kind == "heading")
    running = {text for text, count in firsts.items() if count >= max(REPEATED_HEADINGS, MOST * len(pages))}
    return [
        [replace(p, kind="paragraph") if p.kind == "heading" and p.text in running else p for p in pieces]
        for pieces in pages
    ]


# -- what is missing ---------------------------------------------------------------------------


def _without_text(data: bytes, password: str | None, numbers: Sequence[int]) -> Unreadable:
    contents = pdf_pages.contents_of(data, password, numbers)
    if not any(contents.values()) and pdf_pages.damaged(data):
        return Unreadable("malformed", "It is broken: its pages came out empty, and its end or part of it is missing.")
    if any(contents.values()):
        return Unreadable("needs_ocr", "Its pages hold no text, only images or drawings: run OCR on it first "
                                       "(ocrmypdf does).")  # fmt: skip
    return Unreadable("needs_ocr", "Its pages hold no text, nor images that were found: if you see text in it, "
                                   "run OCR on it first (ocrmypdf does).")  # fmt: skip


def _notes(
    data: bytes, password: str | None, textless: Sequence[int], stamped: Sequence[int], result: ParseResult
) -> Iterator[str]:
    contents = pdf_pages.contents_of(data, password, textless) if textless else {}
    scanned = [number for number in textless if contents[number]]
    blank = [number for number in textless if not contents[number]]
    if scanned:
        yield f"{_pages(scanned)} no text, perhaps only images: run OCR on the file to have them (ocrmypdf does)."
    if stamped:
        yield (
            f"{_pages(stamped)} few words over an image of the whole page: "
            "if it is a scan, run OCR on the file to have its text (ocrmypdf --force-ocr does)."
        )
    if blank and pdf_pages.damaged(data):
        yield f"{_pages(blank)} nothing that could be read, and the file is damaged: get a whole copy of it."
    elif pdf_pages.cut_short(data):
        yield "The file ends early (it has no %%EOF), so pages may be missing: get a whole copy of it."
    for error in result.page_errors[:5]:
        yield f"Page {error.page_num} could not be read: {' '.join(error.message.split())[:200]}."


def _pages(numbers: Sequence[int]) -> str:
    """ "Page 3 holds", "Pages 2, 3 and 5 hold", with runs as "4-9"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    names: list[str] = []
    for first, last in runs:
        names += [str(first), str(last)][: last - first + 1] if last - first < 2 else [f"{first}-{last}"]
    if len(numbers) == 1:
        return f"Page {names[0]} holds"
    return f"Pages {', '.join(names[:-1])}{' and ' if names[:-1] else ''}{names[-1]} hold"
