"""Turns one document's bytes into Markdown with `#` headings, with the reader for its media type.

Readers are plain functions in a dict. This module starts no process and sets no limit: for untrusted documents, use
`pool`.

Decisions
1. Markdown, plain text and source code are kept exactly as decoded (no byte-order mark, "\\n" line ends), so that a
   span counts characters of the file that its author sees. Source code is not fenced.
2. `Parsed.parser` names everything the text depends on: a library with its version, or one of our converters with a
   revision, which is raised when its output changes. An adapter that changes a library's output has a revision too.
3. `parse` alone turns a library's errors into `Unreadable`, because parsers raise anything on broken files. Adapters
   translate an error only if they can say more about it.
4. A reader's module is imported with the first document that needs it: `vecver status` only asks for the reader's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, Final

from vecver.model import Coverage, Parsed
from vecver.pipeline.parsers import properties
from vecver.pipeline.parsers.coverage import Content, coverage_of
from vecver.pipeline.parsers.detection import media_types
from vecver.pipeline.parsers.detection.encodings import decode
from vecver.pipeline.parsers.detection.media_types import Unreadable, media_type_of
from vecver.pipeline.parsers.markup import markdown
from vecver.pipeline.parsers.markup.front_matter import front_matter

__all__ = ["Unreadable", "is_plain", "parse", "parser_of"]

ROOMS: Final = (
    "html",
    "latex",
    "mail",
    "markup",
    "office",
    "pdf",
    "rst",
    "structured",
    "xml",
)  # of readers
LONGEST_TITLE: Final = 300  # characters
_SURROGATES: Final = re.compile("[\ud800-\udfff]")  # not text, and no UTF-8 file could hold them
_FILE_NAME: Final = re.compile(r"\.(?:pdf|docx?|odt|rtf|pptx?|xlsx?|indd|tex|dvi)\Z", re.I)
_PROGRAM: Final = re.compile(r"Microsoft \w++ - |PowerPoint Presentation\Z|Untitled", re.I)


@dataclass(frozen=True)
class Reader:
    """How one family of formats is read."""

    read: Callable[[bytes, str, Sequence[str]], Content]  # data, media type, passwords
    parsers: tuple[str, ...]  # distributions, and converters of ours as "name revision"
    plain: bool = False  # pure Python and quick: a worker reads many such documents in one batch
    titled: bool = True  # a first `#` heading is a title


def parse(data: bytes, name: str, passwords: Sequence[str] = ()) -> Parsed:
    """The document's text as Markdown. `name` is its path or id. Raises only `Unreadable`."""
    if not data:
        raise Unreadable("empty", "The file is empty.")
    media_type = media_type_of(data, name)
    reader = _reader(media_type)
    content = _errors_translated(reader, data, media_type, passwords)
    text, title = _without_surrogates(content.text), _without_surrogates(content.title)
    if not text.strip():
        raise Unreadable("no_text", "There is no text in it.")
    title = (markdown.title_of(text) if reader.titled else "") or _without_program_titles(title.strip())
    title = title or (markdown.title_of(text, deeper=True) if reader.titled else "")
    title = " ".join(title.split())[:LONGEST_TITLE]
    fields = {
        name: value
        for name, value in content.metadata.items()
        if name != "title" or _without_program_titles(str(value))
    }
    metadata, notes = properties.cleaned(fields, title)
    content = replace(content, notes=[*content.notes, *notes]) if notes else content
    return Parsed(
        text,
        title,
        media_type,
        parser_of(data, name),
        coverage=_coverage(content),
        marks=tuple(content.marks),
        metadata=metadata,
    )


def _without_surrogates(text: str) -> str:
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _coverage(content: Content) -> Coverage | None:
    """The coverage of the text. If computing it fails, the document is kept and a note says so."""
    try:
        return coverage_of(content)
    except Exception as error:
        note = f"Whether its text is complete could not be checked ({type(error).__name__}): compare it with the file."
        return Coverage(0, 0, 0, (*content.notes, note))


def _without_program_titles(title: str) -> str:
    """`title`, without values that programs fill in themselves: file names, "Untitled 1"."""
    last = title.rfind("\n") + 1
    if _FILE_NAME.search(title, last):
        return title[:last]
    match = _PROGRAM.search(title, last)
    return title[: match.start()] if match else title


def parser_of(data: bytes, name: str) -> str:
    """The reader for these bytes, with its version; "none" if there is none. Parses nothing."""
    media_type = media_type_of(data, name)
    if media_type == media_types.PDF and not _lazy("pdf.reader", "begins")(data):
        return _versioned("liteparse")  # every revision refuses it, so a new revision is no reason to try again
    reader = READERS.get(media_type)
    return " + ".join(map(_versioned, reader.parsers)) if reader else "none"


def is_current_parser(parser: str) -> bool:
    """Whether a name that `parser_of` gave earlier may be given now: its library and our converters are the same."""
    return parser in _current_parsers()


@cache
def _current_parsers() -> frozenset[str]:
    """Every name that `parser_of` can give in this process."""
    return frozenset(
        {"none", _versioned("liteparse"), *(" + ".join(map(_versioned, r.parsers)) for r in READERS.values())}
    )


def is_plain(data: bytes, name: str) -> bool:
    """Whether its format is text that is quick to read, or a format without a reader."""
    reader = READERS.get(media_type_of(data, name))
    return reader is None or reader.plain


def _reader(media_type: str) -> Reader:
    reader = READERS.get(media_type)
    if reader is None:
        advice = next(advice for prefix, advice in _UNSUPPORTED if media_type.startswith(prefix))
        raise Unreadable("unsupported", f"{media_type} is not read: {advice}.")
    return reader


def _errors_translated(reader: Reader, data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    try:
        return reader.read(data, media_type, passwords)
    except Unreadable:
        raise
    except MemoryError as error:
        raise Unreadable("out_of_memory", "Reading it took more memory than allowed.") from error
    except ModuleNotFoundError as error:
        raise Unreadable("missing_extra", "To read this format: pip install 'vecver[documents]'.") from error
    except Exception as error:
        raise media_types.malformed(media_type, error) from error


@cache
def _versioned(parser: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    if " " in parser:
        return parser
    try:
        return f"{parser} {version(parser)}"
    except PackageNotFoundError:
        return f"{parser} missing"


def _lazy(room: str, function: str) -> Callable[..., Any]:
    """A function of a reader's module, which is imported on the first call."""
    return lambda *arguments: getattr(import_module(f"vecver.pipeline.parsers.{room}"), function)(*arguments)


# -- text formats ------------------------------------------------------------------------------


def _decoded(data: bytes) -> str:
    text = decode(data)
    if text is None:
        raise Unreadable("binary", "It is binary and of no known format.")
    return text


def _text(
    parser: str,
    convert: Callable[[str], str] = lambda text: text,
    *,
    titled: bool = True,
    fields: Callable[[str], properties.Fields] = lambda text: {},
) -> Reader:
    def read(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
        text = _decoded(data)
        return Content(convert(text), metadata=properties.attempted(fields, text))

    return Reader(read, (parser,), True, titled)


def _html(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    return _lazy("web.html", "html_content")(_decoded(data))


def _xml(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    return _lazy("web.xml", "xml_content")(_decoded(data))


def _mail(read: Callable[[bytes], Content], *parsers: str, titled: bool = True) -> Reader:
    return Reader(lambda data, media_type, passwords: read(data), parsers, titled=titled)


# -- readers by media type -----------------------------------------------------------------------

_HEADER_FIELDS: Final = {name: _lazy("markup.header_fields", f"{name}_fields") for name in ("rst", "adoc", "org")}
_SOURCE: Final = _text("vecver-text 1", titled=False)
_OFFICE: Final = Reader(_lazy("office.reader", "read"), ("vecver-office 2", "firecrawl-anydoc"))
READERS: Final[dict[str, Reader]] = {
    media_types.MARKDOWN: _text("vecver-text 1", fields=front_matter),
    media_types.TEXT: _SOURCE,
    media_types.RST: _text("vecver-rst 2", _lazy("markup.rst", "rst"), fields=_HEADER_FIELDS["rst"]),
    media_types.ASCIIDOC: _text(
        "vecver-asciidoc 2", _lazy("markup.asciidoc_org", "asciidoc"), fields=_HEADER_FIELDS["adoc"]
    ),
    media_types.ORG: _text("vecver-org 2", _lazy("markup.asciidoc_org", "org"), fields=_HEADER_FIELDS["org"]),
    media_types.LATEX: _text("vecver-latex 2", _lazy("markup.latex", "latex")),
    media_types.CSV: _text("vecver-table 2", _lazy("structured", "delimited"), titled=False),
    media_types.TSV: _text("vecver-table 2", _lazy("structured", "delimited"), titled=False),
    media_types.JSON: _text("vecver-json 2", _lazy("structured", "json_text"), titled=False),
    media_types.JSONL: _text("vecver-json 2", _lazy("structured", "json_lines"), titled=False),
    media_types.NOTEBOOK: _text("vecver-notebook 1", _lazy("structured", "notebook")),
    media_types.CAPTIONS: _text("vecver-captions 1", _lazy("structured", "captions"), titled=False),
    media_types.HTML: Reader(_html, ("vecver-html 2", "lxml", "html-to-markdown")),
    media_types.XML: Reader(_xml, ("vecver-xml 2", "lxml", "html-to-markdown")),
    media_types.EMAIL: _mail(_lazy("mail.messages", "eml"), "vecver-mail 2", "html-to-markdown"),
    media_types.MBOX: _mail(_lazy("mail.messages", "mbox"), "vecver-mail 2", "html-to-markdown", titled=False),
    media_types.MSG: _mail(_lazy("mail.messages", "msg"), "vecver-mail 2", "python-oxmsg", "html-to-markdown"),
    media_types.PDF: Reader(_lazy("pdf.reader", "read"), ("vecver-pdf 2", "liteparse")),
    **dict.fromkeys(media_types.OFFICE, _OFFICE),
    media_types.RTF: Reader(_lazy("office.reader", "read"), ("vecver-rtf 1", "firecrawl-anydoc")),
    **dict.fromkeys(media_types.SOURCE_CODE, _SOURCE),
}
_UNSUPPORTED: Final = (
    ("image/", "run OCR on the image and ingest the text"),
    ("audio/", "transcribe it and ingest the text"),
    ("video/", "transcribe it and ingest the text"),
    ("application/x-ole-storage", "save it in a current format"),
    ("application/", "unpack it and ingest the folder"),
)
