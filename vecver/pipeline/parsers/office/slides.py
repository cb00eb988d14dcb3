"""Prepares PowerPoint decks (.pptx) for anydoc, with a token at the head of each slide that marks where it begins.

Decisions
1. anydoc's Markdown does not show where an untitled slide begins. Searching for its first words fails on repeated
   slides, so a shape that holds a token is put into each slide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from vecver.pipeline.parsers.office.package import Package, attributes_of, paragraphs
from vecver.pipeline.parsers.office.word import drawings
from vecver.pipeline.parsers.restoring import View

TOKEN: Final = re.compile("\ue7d0slide([0-9]++)\ue7d1\n*+")
_SHAPE: Final = (
    '<p:sp xmlns:p="{p}" xmlns:a="{a}"><p:nvSpPr><p:cNvPr id="4294967{n:03}" name="t"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr>'
    "<p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>\ue7d0slide{n}\ue7d1</a:t></a:r></a:p></p:txBody></p:sp>"
)
_HEAD: Final = re.compile(rb"<p:grpSpPr\b[^<>]*+(?<=/)>|</p:grpSpPr>")
_MAIN: Final = re.compile(rb"""xmlns:p=["']([^"']++)["']""")
_DRAWING: Final = re.compile(rb"""xmlns:a=["']([^"']++)["']""")
_SLIDE: Final = re.compile(rb"<p:sldId\s([^<>]*+)>")
_FIELD: Final = re.compile(rb"<a:fld\b.*?(?:</a:fld>|\Z)", re.S)  # slide numbers and dates


@dataclass
class Deck:
    """A deck ready to be converted."""

    data: bytes
    views: list[View] = field(default_factory=list)


def prepared(package: Package) -> Deck:
    """The deck with tokens, and each slide's texts to compare with."""
    kinds = package.kinds()
    main = next((name for name, kind in kinds.items() if kind.endswith(".main")), "ppt/presentation.xml")
    relations = package.relations(main)
    done = Deck(package.data)
    changed = {}
    for number, tag in enumerate(_SLIDE.findall(package.read(main)), start=1):
        id_of = next((value for key, value in attributes_of(tag).items() if key.endswith(":id")), "")
        part = relations.get(id_of, ("", ""))[1]
        xml = package.read(part)
        done.views.append(_view(package, part, xml, number))
        tokened = _with_token(xml, number)
        if tokened:
            changed[part] = tokened
    done.views += drawings(package, kinds)
    for name, kind in kinds.items():
        if kind.endswith("comments") or kind == "comment":
            done.views.append(
                View("the comments", "Comments", paragraphs(package.read(name), b"p:text|a:t", b"p:cm|a:p"))
            )
    done.data = package.replaced(changed)
    return done


def _view(package: Package, part: str, xml: bytes, number: int) -> View:
    notes = [name for kind, name in package.relations(part).values() if kind == "notesSlide"]
    texts = [
        text for name in [None, *notes] for text in paragraphs(_FIELD.sub(b"", package.read(name) if name else xml))
    ]
    return View(f"slide {number}", f"Slide {number}, other text", texts)


def _with_token(xml: bytes, number: int) -> bytes:
    """The slide with the token's shape before its shapes; b"" if its XML has an unknown structure."""
    head, main, drawing = _HEAD.search(xml), _MAIN.search(xml), _DRAWING.search(xml)
    if not (head and main and drawing) or b"<p:sld" not in xml[:2000]:
        return b""
    shape = _SHAPE.format(n=number, p=main[1].decode(), a=drawing[1].decode()).encode()
    return xml[: head.end()] + shape + xml[head.end() :]
