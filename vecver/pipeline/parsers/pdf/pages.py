"""Reads the pages of a PDF with liteparse and PDFium: text in every direction, and what a page without text holds.

Decisions
1. liteparse 2.18 leaves turned text out of its Markdown and splits its words ("Ot her"). So a page with turned text is
   read once more for each right angle, set upright (`page_orientation_corrections`); other pages cost nothing more.
   Slanted text, and a few lines that run upwards in a margin (`FEW`), are taken line by line: liteparse spells these
   well, and reading arXiv's pages twice would take 1.6 times as long.
2. liteparse's Python wrapper copies twenty fields of each line and six are needed, so its native result is read
   directly (same names). That saves about as much as coverage costs.
3. Turned pages and pages without text are compared with PDFium's text, other pages with liteparse's. PDFium for every
   page would cost 40% more (54 ms beside 120 ms over messy/dev).
"""

from __future__ import annotations

import re
import zlib
from base64 import a85decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vecver.pipeline.parsers.pdf.layout import direction
from vecver.pipeline.parsers.pdf.tables import Item, Sheet
from vecver.pipeline.parsers.properties import Fields, keywords, moment, people

if TYPE_CHECKING:
    from liteparse import LayoutBlock, ParsedPage, ParseResult

_STREAM: Final = re.compile(
    rb"/Filter\s{0,9}+\[?\s{0,9}+(/ASCII85Decode\s{0,9}+)?+/FlateDecode[^<>/\]]{0,9}+\]?[^<>]{0,200}+"
    rb"(?:<<[^<>]{0,200}+>>[^<>]{0,200}+)?>>\s{0,9}+stream\r?\n"
)
FEW: Final = 0.2  # share of characters running upwards that does not cause a second reading of the page
COVER: Final = 0.7  # of a page's area, that of an image which is taken for the page's scan
_TRAILER: Final = 2048  # bytes at the end of a file among which %%EOF must stand
_INFLATED: Final = 1 << 16  # bytes at a time


@dataclass
class PageView:
    """One page, with a sheet for each direction of text, the one with most text first."""

    number: int  # from 1
    height: float  # points
    sheets: list[Sheet] = field(default_factory=list)
    slanted: Sheet = field(default_factory=lambda: Sheet((), ()))
    plain: str = ""  # PDFium's text, if it was needed

    @property
    def words(self) -> int:
        items = [item for sheet in (*self.sheets, self.slanted) for item in sheet.items]
        return sum(len(item.text.split()) for item in items)

    @property
    def empty(self) -> bool:
        return not self.slanted.items and not any(item.text.strip() for sheet in self.sheets for item in sheet.items)


def parse(
    data: bytes, password: str | None, numbers: Sequence[int] = (), corrections: Sequence[tuple[int, int]] = ()
) -> ParseResult:
    """liteparse's result for these pages (all pages by default). Raises liteparse.ParseError."""
    from liteparse import LiteParse, ParseError

    reader = LiteParse(
        ocr_enabled=False, output_format="markdown", image_mode="off", quiet=True, num_workers=1, password=password,
        extract_document_metadata=not numbers, keep_headers_footers=True, extract_blocks=True,
        continue_on_page_error=True, target_pages=",".join(map(str, numbers)) or None,
        page_orientation_corrections=list(corrections) or None,
    )  # fmt: skip
    native = getattr(reader, "_native", None)
    if native is None:
        return reader.parse(data)
    try:
        return native.parse_bytes(data)
    except Exception as error:
        raise ParseError(str(error)) from error


def views_of(data: bytes, password: str | None, pages: Sequence[ParsedPage]) -> list[PageView]:
    """Every page with its directions of reading."""
    views = {page.page_num: PageView(page.page_num, page.height) for page in pages}
    _add_sheets(views, data, password, pages)
    _add_plain(data, password, [view for view in views.values() if view.empty or len(view.sheets) > 1])
    return list(views.values())


def _add_sheets(views: Mapping[int, PageView], data: bytes, password: str | None, pages: Sequence[ParsedPage]) -> None:
    """Set each page's sheets, the direction with most text first."""
    turned: dict[int, list[int]] = {}
    weights: dict[int, dict[int, int]] = {}
    sheets: dict[tuple[int, int], Sheet] = {}
    for page in pages:
        weight = weights.setdefault(page.page_num, {})
        items = _items(page)
        if not any(item.rotation for item in items):
            sheets[page.page_num, 0] = Sheet(items, page.blocks or ())
            weight[0] = 1
            continue
        spelt = {270}  # directions in which no word can be split
        for item in items:
            angle = direction(item)
            if angle is not None:
                weight[angle] = weight.get(angle, 0) + len(item.text)
        if not any(" " in item.text for item in items if direction(item) == 90):
            spelt.add(90)
        for angle in spelt & weight.keys():
            if weight[angle] < FEW * sum(weight.values()):
                del weight[angle]
        sheets[page.page_num, 0] = _upright(items, page.blocks)
        slanted = [item for item in items if direction(item) not in (0, *weight) and item.text.strip()]
        views[page.page_num].slanted = Sheet(slanted, ())
        for angle in weight:
            if angle:
                turned.setdefault(angle, []).append(page.page_num)
    for angle, page_numbers in turned.items():
        for page in parse(data, password, page_numbers, [(number, angle) for number in page_numbers]).pages:
            sheets[page.page_num, angle] = _upright(_items(page), page.blocks)
    for number, weight in weights.items():
        angles = sorted(weight, key=lambda angle: (-weight[angle], angle))
        views[number].sheets = [sheets[number, angle] for angle in angles if (number, angle) in sheets]


def _items(page: ParsedPage) -> list[Item]:
    return [Item(i.text, i.x, i.y, i.width, i.height, i.rotation) for i in page.text_items]


def _upright(items: Sequence[Item], blocks: Sequence[LayoutBlock] | None) -> Sheet:
    """The page's upright lines, with the blocks that hold no others."""
    others = [item for item in items if direction(item) == 180]
    upright = [item for item in items if direction(item) == 0]
    blocks = blocks or []
    if others:
        centres = [(item.x + item.width / 2, item.y + item.height / 2) for item in others[:500]]
        blocks = [
            block
            for block in blocks
            if not (box := block.bbox)
            or not any(box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height for x, y in centres)
        ]
    return Sheet(upright, blocks)


# -- PDFium ------------------------------------------------------------------------------------


def _add_plain(data: bytes, password: str | None, views: Sequence[PageView]) -> None:
    """Set PDFium's text of these pages."""
    if not views:
        return
    import pypdfium2

    with pypdfium2.PdfDocument(data, password=password) as document:
        for view in views:
            if view.number <= len(document):
                page = document[view.number - 1]
                text = page.get_textpage()
                view.plain = _readable(text.get_text_range())
                text.close()
                page.close()


_PROPERTIES: Final = {"Title": "title", "Author": "author", "Subject": "subject", "Creator": "creator"}
_DATE: Final = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:(Z)|([-+])(\d\d)'?(\d\d)?'?)?)?")


def properties_of(data: bytes, password: str | None) -> Fields:
    """The document's properties: title, author, subject, keywords, producing program, date of creation."""
    import pypdfium2

    with pypdfium2.PdfDocument(data, password=password) as document:
        metadata = document.get_metadata_dict(skip_empty=True)
    properties: dict[str, object] = {name: metadata.get(key, "").strip() or None for key, name in _PROPERTIES.items()}
    properties["author"] = people(metadata.get("Author", ""))
    properties["keywords"] = keywords(metadata.get("Keywords", ""))
    properties["created"] = _moment(metadata.get("CreationDate", ""))
    return properties


def _moment(text: str) -> object:
    """A date as PDF writes it: D:20240501100000+02'00'."""
    match = _DATE.match(text)
    if not match:
        return moment(text)
    year, month, day, hour, minute, second, utc, sign, hours, minutes = match.groups()
    date = f"{year}-{month or '01'}-{day or '01'}"
    zone = "+00:00" if utc else f"{sign}{hours}:{minutes or '00'}" if sign else ""
    return moment(f"{date}T{hour}:{minute}:{second or '00'}{zone}" if hour and zone else date)


def _readable(text: str) -> str:
    """PDFium's text without its control characters: U+FFFE or U+0002 at joined words, NUL for unknown glyphs."""
    lines = text.replace("\r\n", "\n").replace("\ufffe", "-").replace("\x02", "-")
    return "".join(char for char in lines if char in "\n\t" or char >= " ")


def contents_of(data: bytes, password: str | None, numbers: Sequence[int]) -> dict[int, set[str]]:
    """The kinds of objects on these pages: "image", "drawing", "text"; none on blank pages."""
    import pypdfium2
    from pypdfium2 import raw

    kinds = {raw.FPDF_PAGEOBJ_IMAGE: "image", raw.FPDF_PAGEOBJ_TEXT: "text"}
    kinds_by_page: dict[int, set[str]] = {}
    with pypdfium2.PdfDocument(data, password=password) as document:
        for number in numbers:
            page = document[number - 1]
            kinds_by_page[number] = {kinds.get(object_.type, "drawing") for object_ in page.get_objects(max_depth=3)}
            page.close()
    return kinds_by_page


def covered(data: bytes, password: str | None, numbers: Sequence[int]) -> list[int]:
    """Those of these pages that a single image covers, as in scans."""
    import pypdfium2
    from pypdfium2 import raw

    covered_pages = []
    with pypdfium2.PdfDocument(data, password=password) as document:
        for number in numbers:
            page = document[number - 1]
            width, height = page.get_size()
            for image in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=1):
                left, bottom, right, top = image.get_bounds()
                if (right - left) * (top - bottom) >= COVER * width * height:
                    covered_pages.append(number)
                    break
            page.close()
    return covered_pages


# -- damage ------------------------------------------------------------------------------------


def cut_short(data: bytes) -> bool:
    """Whether the file's end is missing."""
    return b"%%EOF" not in data[-_TRAILER:]


def damaged(data: bytes) -> bool:
    """Whether the file ends early or holds a compressed stream that cannot be unpacked."""
    if cut_short(data):
        return True
    if b"/Encrypt" in data:
        return False
    return any(not _inflates(data, stream.end(), ascii85=bool(stream[1])) for stream in _STREAM.finditer(data))


def _inflates(data: bytes, start: int, *, ascii85: bool) -> bool:
    end = data.find(b"endstream", start)
    if end < 0:
        return False
    unpacking, packed = zlib.decompressobj(), data[start:end]
    try:
        if ascii85:
            packed = a85decode(packed.strip().removesuffix(b"~>"))
        for _ in range(1000):  # a larger stream is assumed to be complete
            if not unpacking.decompress(packed, _INFLATED) or unpacking.eof:
                return unpacking.eof
            packed = unpacking.unconsumed_tail
    except (zlib.error, ValueError):
        return False
    return True
