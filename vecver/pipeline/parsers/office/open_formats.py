"""Lists the text of OpenDocument files and EPUB books, to check anydoc's result against."""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import unquote

from vecver.pipeline.parsers.office.package import Package, all_plain, attributes_of, plain
from vecver.pipeline.parsers.restoring import View

_UNSEEN: Final = re.compile(
    rb"<(text:tracked-changes|text:note-citation|dc:creator|dc:date|office:scripts|office:forms|svg:title|svg:desc"
    rb"|office:automatic-styles|text:ruby-text|meta:date-string)\b[^<>]*+(?:(?<=/)>|>.*?(?:</\1>|\Z))",
    re.S,
)
_SPACE: Final = re.compile(rb"<(?:text:(?:s|tab|line-break|note|a)|draw:\w++)\b[^<>]*+>|</text:a>")
_END: Final = re.compile(rb"</text:(?:p|h)>")
_PAGE_ENDS: Final = re.compile(rb"<style:(header|footer)\b[^<>]*+>(.*?)(?:</style:\1>|\Z)", re.S)
_GLUED: Final = re.compile(rb"</(?:dt|dd|summary|details|nav|header|footer|form|figcaption|svg)>|<ruby\b", re.I)
_COMMENT: Final = re.compile(rb"<office:annotation\b[^<>]*+(?:(?<=/)>|>.*?(?:</office:annotation>|\Z))", re.S)
_RUBY_TEXT: Final = re.compile(rb"<text:ruby-text\b[^<>]*+(?:(?<=/)>|>.*?(?:</text:ruby-text>|\Z))", re.S)
_ITEM: Final = re.compile(rb"<(?:\w++:)?(item|itemref)\s([^<>]*+)>")
_ROOT: Final = re.compile(rb"""full-path=["']([^"']++)["']""")
_NO_TEXT: Final = re.compile(
    rb"<(script|style|head|rt|rp|math|svg)\b[^<>]*+(?:(?<=/)>|>.*?(?:</\1>|\Z))|<!--.*?(?:-->|\Z)", re.S | re.I
)
_BLOCK_END: Final = re.compile(
    rb"</(?:p|div|h[1-6]|li|td|th|dt|dd|pre|section|summary|nav|header|footer|aside|caption|details|form|dl|figure|figcaption|article)>|<br\b[^<>]*+>",
    re.I,
)


def open_document(package: Package) -> tuple[bytes, list[View]]:
    """The file without ruby readings and comments, which anydoc joins to the words around them; and its texts."""
    content = package.read("content.xml")
    comments = b"".join(match[0] for match in _COMMENT.finditer(content))
    changed = _RUBY_TEXT.sub(b"", _COMMENT.sub(b" ", content))
    data = package.replaced({"content.xml": changed}) if changed != content else package.data
    ends = b"".join(match[2] for match in _PAGE_ENDS.finditer(package.read("styles.xml")))
    views = [
        View("", "Other text", _texts(changed)),
        View("the comments", "Comments", _texts(comments)),
        View("the page headers and footers", "Page headers and footers", _texts(ends)),
    ]
    return data, views


def _texts(xml: bytes) -> list[str]:
    xml = _SPACE.sub(b" ", _UNSEEN.sub(b"", xml))
    return [text for text in all_plain(_END.split(xml)) if text.strip()]


def main_of(package: Package) -> str:
    """The name of the part that lists a book's other parts and its properties."""
    root = _ROOT.search(package.read("META-INF/container.xml"))
    return plain(root[1]) if root else ""


def book(package: Package) -> tuple[bytes, list[View]]:
    """The book with spaces between blocks that anydoc would join, and the texts of the documents in its spine."""
    main = main_of(package)
    items, spine = {}, []
    for kind, tag in _ITEM.findall(package.read(main)):
        values = attributes_of(tag)
        if kind == b"item":
            items[values.get("id", "")] = values.get("href", "")
        else:
            spine.append(values.get("idref", ""))
    views, changed = [], {}
    for name in dict.fromkeys(items.get(id_of, "") for id_of in spine):
        part = posixpath.normpath(posixpath.join(posixpath.dirname(main), unquote(name.partition("#")[0])))
        page = package.read(part)
        spaced = _GLUED.sub(rb" \g<0>", page)
        if spaced != page:
            changed[part] = spaced
        texts = all_plain(_BLOCK_END.split(_NO_TEXT.sub(b"", page)))
        views.append(View(f"'{name}'", f"Other text of {posixpath.basename(name)}", [t for t in texts if t.strip()]))
    return package.replaced(changed), views
