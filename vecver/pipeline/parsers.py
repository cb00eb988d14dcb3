"""One document's bytes to Markdown with `#` headings: which reader takes which media type, and the office readers.

Readers are plain functions in a dict. This room knows liteparse, anydoc and msoffcrypto; it starts
no process and sets no limit, so whoever parses what strangers wrote goes through `workers`.

Decisions
- 2026-11-21 Markdown, plain text and source code are kept exactly as decoded (no byte-order mark,
  "\\n" line ends): a span counts in the file that the author sees. Source code is not fenced.
- 2026-11-21 `Parsed.parser` names what the text depends on: a library with its version, or a
  converter of ours with a revision, to be raised when its output changes. When an adapter here
  changes what it makes of a library's output, its entry gets a name of ours as well.
- 2026-11-21 Every foreign error becomes `Unreadable` in one place, the door `parse`, because parsers
  of broken files raise anything; the adapters translate only what they can say more about.
- 2026-11-21 Passwords are tried after none: a needless one breaks files whose password is empty.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from vecver.model import Parsed
from vecver.pipeline import latex, mail, markdown, markup, media, structured, web
from vecver.pipeline.encodings import decode
from vecver.pipeline.media import Unreadable, media_type_of

__all__ = ["Unreadable", "is_plain", "parse", "parser_of"]

Content = tuple[str, str]  # Markdown, and the title to use where the Markdown itself shows none

LONGEST_TITLE: Final = 300  # characters
_SURROGATES: Final = re.compile("[\ud800-\udfff]")  # not text, and no UTF-8 file could hold them
_FILE_NAME: Final = re.compile(r"\.(?:pdf|docx?|odt|rtf|pptx?|xlsx?|indd|tex|dvi)\Z", re.I)
_PROGRAM: Final = re.compile(r"Microsoft \w++ - |PowerPoint Presentation\Z|Untitled", re.I)


@dataclass(frozen=True)
class Reader:
    """How one family of formats is read."""

    read: Callable[[bytes, str, Sequence[str]], Content]  # data, media type, passwords
    parsers: tuple[str, ...]  # distributions, and converters of ours as "name revision"
    plain: bool = False  # pure Python, and so quick that a process reads many of them at once
    titled: bool = True  # a first `#` heading is a title


def parse(data: bytes, name: str, passwords: Sequence[str] = ()) -> Parsed:
    """The document's text as Markdown. `name` is its path or id. Raises `Unreadable`, and nothing else."""
    if not data:
        raise Unreadable("empty", "The file is empty.")
    media_type = media_type_of(data, name)
    reader = _reader(media_type)
    text, title = _guarded(reader, data, media_type, passwords)
    text, title = _SURROGATES.sub("\ufffd", text), _SURROGATES.sub("\ufffd", title)
    if not text.strip():
        raise Unreadable("no_text", "There is no text in it.")
    title = (markdown.title_of(text) if reader.titled else "") or _meant(title.strip())
    return Parsed(text, " ".join(title.split())[:LONGEST_TITLE], media_type, parser_of(data, name))


def _meant(title: str) -> str:
    """A title without what programs write into that property by themselves: file names, "Untitled 1"."""
    last = title.rfind("\n") + 1
    if _FILE_NAME.search(title, last):
        return title[:last]
    found = _PROGRAM.search(title, last)
    return title[: found.start()] if found else title


def parser_of(data: bytes, name: str) -> str:
    """Who would read it, with version; "none" for what nobody can. Costs a look at the bytes."""
    reader = READERS.get(media_type_of(data, name))
    return " + ".join(map(_versioned, reader.parsers)) if reader else "none"


def is_plain(data: bytes, name: str) -> bool:
    """Whether it is a text format that is quick to read, or nothing that is read at all."""
    reader = READERS.get(media_type_of(data, name))
    return reader is None or reader.plain


def _reader(media_type: str) -> Reader:
    reader = READERS.get(media_type)
    if reader is None:
        advice = next(advice for prefix, advice in _UNSUPPORTED if media_type.startswith(prefix))
        raise Unreadable("unsupported", f"{media_type} is not read: {advice}.")
    return reader


def _guarded(reader: Reader, data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    try:
        return reader.read(data, media_type, passwords)
    except Unreadable:
        raise
    except MemoryError as error:
        raise Unreadable("out_of_memory", "Reading it took more memory than allowed.") from error
    except ModuleNotFoundError as error:
        raise Unreadable("missing_extra", "To read this format: pip install 'vecver[documents]'.") from error
    except Exception as error:
        raise _malformed(media_type, error) from error


def _malformed(media_type: str, error: Exception) -> Unreadable:
    told = " ".join(str(error).split())[:200] or type(error).__name__
    return Unreadable("malformed", f"It is broken or no {media.OFFICE.get(media_type, media_type)}: {told}")


@cache
def _versioned(parser: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    if " " in parser:
        return parser
    try:
        return f"{parser} {version(parser)}"
    except PackageNotFoundError:
        return f"{parser} missing"


# -- text formats ------------------------------------------------------------------------------


def _decoded(data: bytes) -> str:
    text = decode(data)
    if text is None:
        raise Unreadable("binary", "It is binary and of no known format.")
    return text


def _text(parser: str, convert: Callable[[str], str] = lambda text: text, *, titled: bool = True) -> Reader:
    return Reader(lambda data, media_type, passwords: (convert(_decoded(data)), ""), (parser,), True, titled)


def _html(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    page = _decoded(data)
    return web.html_text(page), web.html_title(page)


def _xml(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    return web.xml_text(_decoded(data)), ""


def _mail(read: Callable[[bytes], str], *parsers: str, titled: bool = True) -> Reader:
    return Reader(lambda data, media_type, passwords: (read(data), ""), parsers, titled=titled)


# -- PDF ---------------------------------------------------------------------------------------

_PDF_TITLE: Final = re.compile(r"<dc:title>.{0,200}?<rdf:li[^>]*>([^<]+)</rdf:li>", re.S)


def _pdf(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    from liteparse import LiteParse, ParseError

    if b"%PDF-" not in data[:1024]:  # liteparse would take it for another format
        raise Unreadable("malformed", "It is called PDF and does not begin like one.")
    for password in (None, *passwords):
        reader = LiteParse(ocr_enabled=False, output_format="markdown", image_mode="off", quiet=True, num_workers=1,
                           extract_document_metadata=True, password=password)  # fmt: skip
        try:
            result = reader.parse(data)
        except ParseError as error:
            if "password" in str(error).lower():
                continue
            raise _malformed(media_type, error) from error
        pages = [page.markdown for page in result.pages if page.text.strip()]
        if not pages:
            raise Unreadable(
                "needs_ocr", "Its pages hold no text, perhaps only images: run OCR on it first (ocrmypdf does)."
            )
        title = _PDF_TITLE.search((result.doc_meta and result.doc_meta.xmp) or "")
        return "\n\n".join(pages), title[1] if title else ""
    raise _locked(passwords)


def _locked(passwords: Sequence[str]) -> Unreadable:
    if passwords:
        return Unreadable("wrong_password", "It is encrypted and none of the passwords given opens it.")
    return Unreadable("encrypted", "It is encrypted: give its password.")


# -- office ------------------------------------------------------------------------------------

_PROPERTIES: Final = ("docProps/core.xml", "meta.xml")  # where OOXML and OpenDocument keep the title
_PROPERTY_TITLE: Final = re.compile(rb"<dc:title[^<>]*>([^<]*)</dc:title>")
_EXCEL_DEFAULT: Final = "VelvetSweatshop"  # Excel encrypts "read-only" workbooks with it and opens them unasked


def _office(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
    import anydoc

    for opened in _opened(data, passwords):
        try:
            return anydoc.to_markdown_bytes(opened, media.OFFICE[media_type]), _property_title(opened)  # type: ignore[arg-type]
        except anydoc.EncryptedError:
            continue
        except anydoc.ResourceLimitError as error:
            raise Unreadable("too_large", f"It unpacks to more than is read: {error}.") from error
    raise _locked(passwords)


def _opened(data: bytes, passwords: Sequence[str]) -> Iterator[bytes]:
    """The document as it is (unless it is an encrypted box), then as each password opens it."""
    if not media.is_encrypted_office(data):
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


def _property_title(data: bytes) -> str:
    """The title in the properties of a zipped office file, or ""."""
    import html

    if not data.startswith(b"PK"):
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            part = next(part for part in _PROPERTIES if part in archive.namelist())
            with archive.open(part) as stream:
                found = _PROPERTY_TITLE.search(stream.read(1_000_000))
    except (StopIteration, zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError):
        return ""
    return html.unescape(found[1].decode("utf-8", "replace")) if found else ""


# -- who reads what ----------------------------------------------------------------------------

_SOURCE: Final = _text("vecver-text 1", titled=False)
_OFFICE: Final = Reader(_office, ("firecrawl-anydoc",))
READERS: Final[dict[str, Reader]] = {
    media.MARKDOWN: _text("vecver-text 1"),
    media.TEXT: _SOURCE,
    media.RST: _text("vecver-rst 1", markup.rst),
    media.ASCIIDOC: _text("vecver-asciidoc 1", markup.asciidoc),
    media.ORG: _text("vecver-org 1", markup.org),
    media.LATEX: _text("vecver-latex 1", latex.latex),
    media.CSV: _text("vecver-table 1", structured.delimited, titled=False),
    media.TSV: _text("vecver-table 1", structured.delimited, titled=False),
    media.JSON: _text("vecver-json 1", structured.json_text, titled=False),
    media.JSONL: _text("vecver-json 1", structured.json_lines, titled=False),
    media.NOTEBOOK: _text("vecver-notebook 1", structured.notebook),
    media.CAPTIONS: _text("vecver-captions 1", structured.captions, titled=False),
    media.HTML: Reader(_html, ("html-to-markdown",)),
    media.XML: Reader(_xml, ("vecver-xml 1", "lxml", "html-to-markdown")),
    media.EMAIL: _mail(mail.eml, "vecver-mail 1", "html-to-markdown"),
    media.MBOX: _mail(mail.mbox, "vecver-mail 1", "html-to-markdown", titled=False),
    media.MSG: _mail(mail.msg, "vecver-mail 1", "python-oxmsg", "html-to-markdown"),
    media.PDF: Reader(_pdf, ("liteparse",)),
    **dict.fromkeys(media.OFFICE, _OFFICE),
    **dict.fromkeys(media.SOURCE_CODE, _SOURCE),
}
_UNSUPPORTED: Final = (
    ("image/", "run OCR on the image and ingest the text"),
    ("audio/", "transcribe it and ingest the text"),
    ("video/", "transcribe it and ingest the text"),
    ("application/x-ole-storage", "save it in a current format"),
    ("application/", "unpack it and ingest the folder"),
)
