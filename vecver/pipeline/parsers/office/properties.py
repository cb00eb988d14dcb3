"""Reads the properties of office files (author, subject, keywords, custom ones) where each format keeps them.

Modification times are not read: a fresh copy has other ones, and merely opening a file may change them.

Decisions
1. In OpenDocument `dc:creator` is the last editor; the author is `meta:initial-creator`.
2. Custom properties keep their names; one named like a standard property gets a "_".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from vecver.pipeline.parsers.office.package import Package
from vecver.pipeline.parsers.properties import Fields, keywords, moment, people

if TYPE_CHECKING:
    from lxml.etree import _Element

LARGEST: Final = 1_000_000  # bytes of properties that are read
_MOST: Final = 2_000  # properties

_NAMES: Final = {  # element names in OOXML, OpenDocument and EPUB -> field names
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "keyword": "keywords",
    "description": "description",
    "category": "category",
    "contentStatus": "status",
    "language": "language",
    "created": "created",
    "creation-date": "created",
    "publisher": "publisher",
    "identifier": "identifier",
    "date": "date",
    "Company": "company",
    "Manager": "manager",
    "doccomm": "description",
}
_DATES: Final = ("created", "date")
_CLARK: Final = re.compile(r"\{[^}]*\}")


def ooxml(package: Package) -> Fields:
    """The properties of Word, Excel and PowerPoint files."""
    properties = _named(_elements(package, "docProps/core.xml"))
    properties |= _named(e for e in _elements(package, "docProps/app.xml") if _name(e) in ("Company", "Manager"))
    custom = _elements(package, "docProps/custom.xml")
    return _with(properties, ((e.get("name", ""), _variant(e[0])) for e in custom if len(e)))


def open_document(package: Package) -> Fields:
    """The properties of OpenDocument files."""
    elements = [inner for outer in _elements(package, "meta.xml") for inner in outer]
    author = next((e.text for e in elements if _name(e) == "initial-creator"), None)
    usual = (e for e in elements if _name(e) != "date" and not (author and _name(e) == "creator"))
    properties = _named(usual) | ({"author": author} if author else {})
    custom = [e for e in elements if _name(e) == "user-defined"]
    return _with(properties, ((_attribute(e, "name"), _user_defined(e)) for e in custom))


def book(package: Package, main: str) -> Fields:
    """The properties of an EPUB book whose package document is `main`."""
    outer = next((e for e in _elements(package, main) if _name(e) == "metadata"), None)
    return _named(outer if outer is not None else ())


def rtf(data: bytes) -> Fields:
    """The properties of RTF, from its group `info`."""
    start = data.find(b"{\\info", 0, LARGEST)
    if start < 0:
        return {}
    properties: dict[str, Any] = {}
    for name, text in _RTF_FIELD.findall(data, start, start + 20_000):
        value = _rtf_text(text)
        if value:
            key = name.decode()
            properties.setdefault(_NAMES.get(key, key), _CONVERTERS.get(key, str)(value))
    made = _RTF_CREATED.search(data, start, start + 20_000)
    if made:
        properties["created"] = moment(f"{int(made[1]):04}-{int(made[2]):02}-{int(made[3]):02}")
    return properties


def ole(data: bytes) -> Fields:
    """The properties of the binary formats of Word, Excel and PowerPoint."""
    import io

    import olefile

    with olefile.OleFileIO(io.BytesIO(data)) as box:
        metadata = box.get_metadata()
    encoding = f"cp{metadata.codepage}" if metadata.codepage not in (None, 65001, 1200) else "utf-8"

    def text(value: Any) -> str:
        return (value.decode(encoding, "replace") if isinstance(value, bytes) else str(value or "")).strip("\0 ")

    usual = ("title", "subject", "author", "keywords", "category", "company", "manager")
    properties: dict[str, Any] = {
        name: _CONVERTERS.get(name, str)(text(getattr(metadata, name))) or None for name in usual
    }
    properties["description"] = text(metadata.comments) or None
    properties["created"] = (
        metadata.create_time.date() if metadata.create_time and metadata.create_time.year > 1601 else None
    )
    return properties


# -- XML -----------------------------------------------------------------------------------------


def _elements(package: Package, part: str) -> list[_Element]:
    """The elements below the root of a part; none if it is missing or broken."""
    from lxml import etree

    data = package.read(part) if part in package.names else b""
    if not data or len(data) > LARGEST:
        return []
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        return []
    return [e for e in root[:_MOST] if isinstance(e.tag, str)]


def _name(element: _Element) -> str:
    return _CLARK.sub("", str(element.tag))


def _attribute(element: _Element, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if _CLARK.sub("", str(key)) == name), "")


def _named(elements: Any) -> dict[str, Any]:
    """The standard properties; repeated ones as a list."""
    properties: dict[str, Any] = {}
    for element in elements:
        name = _NAMES.get(_name(element), "") if isinstance(element.tag, str) else ""
        text = " ".join("".join(element.itertext()).split()) if name else ""
        if not text:
            continue
        value: Any = moment(text) if name in _DATES else _CONVERTERS.get(name, str)(text)
        before = properties.get(name)
        properties[name] = value if before is None else _together(before, value)
    return properties


def _together(first: Any, second: Any) -> list[Any]:
    return [*(first if isinstance(first, list) else [first]), *(second if isinstance(second, list) else [second])]


def _with(properties: dict[str, Any], custom: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in custom:
        if name:
            properties[f"{name}_" if name in properties else name] = value
    return properties


def _variant(element: _Element) -> Any:
    """The value of a custom property, by its type."""
    text, kind = (element.text or "").strip(), _name(element)
    return _converted(text, "int" if re.fullmatch(r"u?i[1248]|u?int", kind) else _VARIANTS.get(kind, "text"))


def _user_defined(element: _Element) -> Any:
    kind = _attribute(element, "value-type")
    return _converted("".join(element.itertext()).strip(), {"boolean": "bool", "date": "date"}.get(kind, kind))


def _converted(text: str, kind: str) -> Any:
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            number = float(text)
            return int(number) if number.is_integer() and "." not in text and abs(number) < 2**53 else number
    except ValueError:
        return text or None
    if kind == "bool":
        return text.lower() in ("true", "1")
    return (moment(text) if kind == "date" else text) or None


_VARIANTS: Final = {
    "bool": "bool",
    "filetime": "date",
    "date": "date",
    "r4": "float",
    "r8": "float",
    "decimal": "float",
}
_CONVERTERS: Final[dict[str, Callable[[str], Any]]] = {"keywords": keywords, "author": people}


# -- RTF -----------------------------------------------------------------------------------------

_RTF_FIELD: Final = re.compile(
    rb"\{\\(title|subject|author|keywords|category|company|manager|doccomm)\s?((?:[^{}\\]|\\[^{}]|\\[{}]){1,4000})\}"
)
_RTF_CREATED: Final = re.compile(rb"\{\\creatim\\yr(\d{4})\\mo(\d{1,2})\\dy(\d{1,2})")
_RTF_MARK: Final = re.compile(
    r"\\u(-?\d{1,6}) ?(?:\\'[0-9a-fA-F]{2}|\?)?|\\'([0-9a-fA-F]{2})|\\([{}\\])|\\[a-z]+-?\d* ?"
)


def _rtf_text(raw: bytes) -> str:
    def character(mark: re.Match[str]) -> str:
        if mark[1]:
            return chr(int(mark[1]) % 65536)
        return bytes.fromhex(mark[2]).decode("cp1252", "replace") if mark[2] else mark[3] or ""

    return _RTF_MARK.sub(character, raw.decode("latin-1")).strip()
