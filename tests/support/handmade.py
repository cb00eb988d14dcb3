"""Documents made by hand: Office packages, PDF, mail; and the code with which `parse` refuses one."""

from __future__ import annotations

import hashlib
import io
import zipfile
from email.message import EmailMessage

import pytest

from vecver.pipeline.parsers.parse import Unreadable, parse


def failure(data: bytes, name: str, passwords: tuple[str, ...] = ()) -> str:
    """The code with which it cannot be read."""
    with pytest.raises(Unreadable) as caught:
        parse(data, name, passwords)
    assert caught.value.reason.endswith((".", ")")) or ":" in caught.value.reason
    return caught.value.code


def zipped(parts: dict[str, str], stored: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == stored else None)
    return buffer.getvalue()


# -- Office files, written by hand -------------------------------------------------------------

_OOXML = "application/vnd.openxmlformats-officedocument"


RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def ooxml(kind: str, main: str, parts: dict[str, str], relations: dict[str, tuple[str, str]] | None = None) -> bytes:
    """A package whose main part is `main`; `relations` of the main part: id -> (type, target)."""

    def relationships(of: dict[str, tuple[str, str]]) -> str:
        rows = "".join(f'<Relationship Id="{i}" Type="{RELATIONS}/{t}" Target="{to}"/>' for i, (t, to) in of.items())
        return f'<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'

    folder, _, leaf = main.rpartition("/")
    types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{main}" ContentType="{_OOXML}.{kind}.main+xml"/></Types>'
    )
    return zipped(
        {
            "[Content_Types].xml": types,
            "_rels/.rels": relationships({"r1": ("officeDocument", main)}),
            f"{folder}/_rels/{leaf}.rels": relationships(relations or {}),
            **parts,
        }
    )


def docx(body: str, title: str = "") -> bytes:
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    core = f'<p:coreProperties xmlns:p="p" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></p:coreProperties>'
    styles = (
        f'<w:styles {w}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/></w:style></w:styles>'
    )
    parts = {
        "word/document.xml": f"<w:document {w}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": styles,
        "docProps/core.xml": core,
    }
    return ooxml("wordprocessingml.document", "word/document.xml", parts, {"r1": ("styles", "styles.xml")})


def w_paragraph(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


# -- PDF ---------------------------------------------------------------------------------------


def rc4(key: bytes, data: bytes) -> bytes:
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def pdf(text: str, password: str | None = None) -> bytes:
    """A one-page PDF; with a password, encrypted by the standard handler, revision 2 (PDF 32000-1, 7.6.3)."""
    content = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode() if text else b""
    encrypt = b""
    if password is not None:
        pad = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
        padded = (password.encode() + pad)[:32]
        owner = rc4(hashlib.md5(padded).digest()[:5], padded)
        permissions = (-4).to_bytes(4, "little", signed=True)
        key = hashlib.md5(padded + owner + permissions + b"0123456789abcdef").digest()[:5]
        content = rc4(hashlib.md5(key + b"\x04\0\0\0\0").digest()[:10], content)  # object 4, generation 0
        encrypt = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<%s><%s>]" % (
            owner.hex().encode(), rc4(key, pad).hex().encode(),
            b"0123456789abcdef".hex().encode(), b"0123456789abcdef".hex().encode(),
        )  # fmt: skip
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer<</Size 6/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (encrypt, len(out))
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


# -- texts -------------------------------------------------------------------------------------

RUSSIAN = "Откройте клапан и подождите, пока вода не потечёт ровно. Затем закройте его и проверьте давление."


JAPANESE = "弁を開けて、水が静かに流れるまで待ちます。それから弁を閉めて、圧力を確かめてください。"


# -- mail --------------------------------------------------------------------------------------


def letter(subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <a@x.y>", "b@x.y", subject
    message.set_content(text)
    return message
