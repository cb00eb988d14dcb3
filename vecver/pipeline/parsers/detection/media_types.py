"""Detects a document's media type, from its content first and its name second.

It looks at the first bytes and at names inside containers, never parses, and needs no library. It also defines
`Unreadable`, the one exception with which a reader says why a document has no text.

Decisions
1. A binary signature always wins: a `.doc` that is RTF or a zip is read as such. A *text* signature (`<html`, `<?xml`)
   wins only if the name has no known suffix or names a binary format: a Markdown or PHP file may begin with `<html>`.
2. Containers are recognised by names that stand uncompressed in them, found by searching the bytes. That works on
   truncated files and needs no unpacking, unlike `libmagic`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final


class Unreadable(Exception):
    """This document gives no text. `code` is stable, `reason` is one sentence for a person."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def locked(passwords: Sequence[str]) -> Unreadable:
    if passwords:
        return Unreadable("wrong_password", "It is encrypted and none of the passwords given opens it.")
    return Unreadable("encrypted", "It is encrypted: give its password.")


def malformed(media_type: str, error: Exception) -> Unreadable:
    """The failure of a document on which its reader raised `error`."""
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    return Unreadable("malformed", f"It is broken or no {OFFICE.get(media_type, media_type)}: {detail}")


MARKDOWN: Final = "text/markdown"
TEXT: Final = "text/plain"
RST: Final = "text/x-rst"
ASCIIDOC: Final = "text/asciidoc"
ORG: Final = "text/org"
LATEX: Final = "application/x-latex"
HTML: Final = "text/html"
XML: Final = "application/xml"
CSV: Final = "text/csv"
TSV: Final = "text/tab-separated-values"
JSON: Final = "application/json"
JSONL: Final = "application/jsonl"
NOTEBOOK: Final = "application/x-ipynb+json"
CAPTIONS: Final = "text/vtt"
EMAIL: Final = "message/rfc822"
MBOX: Final = "application/mbox"
MSG: Final = "application/vnd.ms-outlook"
PDF: Final = "application/pdf"
RTF: Final = "application/rtf"
EPUB: Final = "application/epub+zip"
DOC: Final = "application/msword"
XLS: Final = "application/vnd.ms-excel"
PPT: Final = "application/vnd.ms-powerpoint"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ODT: Final = "application/vnd.oasis.opendocument.text"
ODS: Final = "application/vnd.oasis.opendocument.spreadsheet"
ODP: Final = "application/vnd.oasis.opendocument.presentation"
ZIP: Final = "application/zip"

OFFICE: Final = {
    DOC: "doc", XLS: "xls", PPT: "ppt", DOCX: "docx", XLSX: "xlsx", PPTX: "pptx",
    ODT: "odt", ODS: "ods", ODP: "odp", RTF: "rtf", EPUB: "epub",
}  # fmt: skip
SOURCE_CODE: Final = {
    "text/x-python": "py pyi",
    "text/x-javascript": "js mjs cjs jsx",
    "text/x-typescript": "ts tsx",
    "text/x-java": "java",
    "text/x-kotlin": "kt kts",
    "text/x-c": "c h",
    "text/x-c++": "cc cpp cxx hh hpp",
    "text/x-csharp": "cs",
    "text/x-go": "go",
    "text/x-rust": "rs",
    "text/x-ruby": "rb",
    "text/x-php": "php",
    "text/x-swift": "swift",
    "text/x-scala": "scala",
    "text/x-lua": "lua",
    "text/x-perl": "pl pm",
    "text/x-r": "r",
    "text/x-sh": "sh bash zsh",
    "text/x-sql": "sql",
    "text/x-css": "css scss less",
    "text/x-vue": "vue svelte",
    "text/x-yaml": "yaml yml",
    "text/x-toml": "toml",
    "text/x-ini": "ini cfg conf properties",
}

_EXTENSIONS: Final = {
    extension: media_type
    for media_type, extensions in {
        MARKDOWN: "md markdown mdown mkd mkdn mdx qmd rmd",
        TEXT: "txt text log",
        RST: "rst rest",
        ASCIIDOC: "adoc asciidoc",
        ORG: "org",
        LATEX: "tex latex ltx",
        HTML: "html htm xhtml xht shtml",
        XML: "xml rss atom rdf opml dita docbook dbk",
        CSV: "csv",
        TSV: "tsv tab",
        JSON: "json geojson jsonld",
        JSONL: "jsonl ndjson",
        NOTEBOOK: "ipynb",
        CAPTIONS: "vtt srt",
        EMAIL: "eml",
        MBOX: "mbox",
        MSG: "msg",
        PDF: "pdf",
        RTF: "rtf",
        EPUB: "epub",
        DOC: "doc dot",
        XLS: "xls",
        PPT: "ppt",
        DOCX: "docx docm dotx",
        XLSX: "xlsx xlsm xltx",
        PPTX: "pptx pptm ppsx",
        ODT: "odt ott",
        ODS: "ods",
        ODP: "odp",
        "image/svg+xml": "svg",
        **SOURCE_CODE,
    }.items()
    for extension in extensions.split()
}

_SIGNATURES: Final = (
    (b"%PDF-", PDF),
    (b"{\\rtf", RTF),
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "audio/ogg"),
    (b"fLaC\x00", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
)
_ASCII_SIGNATURES: Final = frozenset(
    {"audio/mpeg", "application/x-bzip2"}
)  # a text may begin like this, so a NUL is required too

_ZIP_MARKS: Final = (
    (b"mimetypeapplication/epub+zip", EPUB),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", ODT),
    (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", ODS),
    (b"mimetypeapplication/vnd.oasis.opendocument.presentation", ODP),
    (b"word/document", DOCX),
    (b"xl/workbook", XLSX),
    (b"ppt/presentation", PPTX),
)
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_OLE_MARKS: Final = tuple(
    (name.encode("utf-16-le"), media_type)
    for name, media_type in (
        ("__properties_version1.0", MSG),
        ("WordDocument", DOC),
        ("Workbook", XLS),
        ("PowerPoint Document", PPT),
    )
)
_HTML_START: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html)\b", re.I | re.S
)
_XML_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\b")


def media_type_of(data: bytes, name: str) -> str:
    """The media type of `data`, whose source names it `name`; "text/plain" if nothing else is recognised."""
    extension = PurePosixPath(name).suffix[1:].lower()
    named = _EXTENSIONS.get(extension, "")
    signed = _by_signature(data, named)
    if signed:
        return signed
    if not named or named in OFFICE or named == PDF:
        return _by_text(data) or named or TEXT
    if named == XML and b"<html" in data[:2000].lower():
        return HTML
    return named


def is_encrypted_office(data: bytes) -> bool:
    """Whether it is an OLE container with an encrypted modern Office file."""
    return data.startswith(OLE) and _ENCRYPTED in data


def _by_signature(data: bytes, named: str) -> str:
    """The media type that the first bytes identify, or ""."""
    if data.startswith(b"PK\x03\x04"):
        return _by_marks(data, _ZIP_MARKS) or (named if named in OFFICE else ZIP)
    if data.startswith(OLE):
        return _ole_type(data, named)
    if data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}[data[8:12]]
    if data[4:8] == b"ftyp":
        return "video/mp4"
    if data[257:262] == b"ustar":
        return "application/x-tar"
    for start, media_type in _SIGNATURES:
        if data.startswith(start) and (media_type not in _ASCII_SIGNATURES or b"\0" in data[:4096]):
            return media_type
    return ""


def _ole_type(data: bytes, named: str) -> str:
    """Old Office, Outlook, or a container with an encrypted modern file, whose type only its name shows."""
    if is_encrypted_office(data):
        return named if named in OFFICE else DOCX
    return _by_marks(data, _OLE_MARKS) or (named if named in OFFICE or named == MSG else "application/x-ole-storage")


def _by_marks(data: bytes, marks: tuple[tuple[bytes, str], ...]) -> str:
    return next((media_type for mark, media_type in marks if mark in data), "")


def _by_text(data: bytes) -> str:
    """HTML, XML or captions by the start of the text, or ""."""
    head = data[:2000]
    if _HTML_START.match(head):
        return HTML
    if _XML_START.match(head):
        return HTML if b"<html" in head.lower() else XML
    return CAPTIONS if head.startswith((b"WEBVTT\n", b"WEBVTT\r\n")) else ""
