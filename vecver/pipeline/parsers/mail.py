"""Mail (EML, mbox, Outlook MSG) to Markdown: a heading from the subject, who and when, then the body.

Decisions
- 2026-11-21 The plain body is preferred to the HTML one; attachments are named, not opened; messages
  attached to a message follow it, one level deeper.
- 2026-11-21 Bodies go through our own decoding and not the standard library's, which gives U+FFFD for
  a wrong charset and fails on an unknown one.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import EmailMessage, MIMEPart
from typing import Final

from vecver.pipeline.parsers.encodings import decode
from vecver.pipeline.parsers.html import html_text
from vecver.pipeline.parsers.markdown import heading

_DEEPEST: Final = 6
_FROM_LINE: Final = re.compile(rb"^From [^\n]*\n", re.M)


def eml(data: bytes) -> str:
    return "\n\n".join(_message(_parsed(data), 1)) + "\n"


def mbox(data: bytes) -> str:
    """Every message of a mailbox, each under its subject. ">From " is given back its "From "."""
    messages = [part for part in _FROM_LINE.split(data.replace(b"\r\n", b"\n")) if part.strip()]
    return "\n\n".join(eml(re.sub(rb"^>(>*From )", rb"\1", part, flags=re.M)).strip() for part in messages) + "\n"


def msg(data: bytes) -> str:
    """An Outlook message. Raises whatever oxmsg raises on a broken one."""
    import io

    from oxmsg import Message

    message = Message.load(io.BytesIO(data))
    sender = str(make_header(decode_header(message.sender or "")))
    names = [attachment.file_name or "unnamed" for attachment in message.attachments]
    body = message.body or html_text(message.html_body or "")
    date = str(message.sent_date or "")
    return "\n\n".join(_sections(1, message.subject or "", {"From": sender, "Date": date}, body, names)) + "\n"


def _parsed(data: bytes) -> EmailMessage:
    """The message; headers in raw 8-bit charsets are made UTF-8 first, which the standard library reads."""
    head, gap, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    head = head if head.isascii() else (decode(head) or "").encode("utf-8")
    return email.message_from_bytes(head + gap + body, policy=email.policy.default)


def _message(message: MIMEPart, level: int) -> Iterator[str]:
    fields = {name: _header(message, name) for name in ("From", "To", "Date")}
    parts = list(_parts(message))
    names = [part.get_filename() or "unnamed" for part in parts if part.get_filename() or part.is_attachment()]
    yield from _sections(level, _header(message, "Subject"), fields, _body(message), names)
    for part in parts if level < _DEEPEST else []:
        if part.get_content_type() == "message/rfc822":
            for attached in part.iter_parts():
                yield from _message(attached, level + 1)


def _parts(message: MIMEPart) -> Iterator[MIMEPart]:
    """Every part below `message`, without those of messages that are attached to it."""
    for part in message.iter_parts():
        yield part
        if part.get_content_maintype() == "multipart":
            yield from _parts(part)


def _sections(level: int, subject: str, fields: dict[str, str], body: str, attachments: list[str]) -> Iterator[str]:
    if subject.strip():
        yield heading(level, subject)
    told = [f"{name}: {value}" for name, value in fields.items() if value]
    told += [f"Attachments: {', '.join(attachments)}"] if attachments else []
    if told:
        yield "\n".join(told)
    if body.strip():
        yield body.strip()


def _header(message: MIMEPart, name: str) -> str:
    """A header as one line of text; "" where the standard library cannot make sense of it."""
    try:
        value = str(message.get(name, ""))
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):  # it trips over malformed addresses
        return ""
    return " ".join(value.split())


def _body(message: MIMEPart) -> str:
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    text = decode(payload, part.get_content_charset()) if isinstance(payload, bytes) else ""
    return html_text(text or "") if part.get_content_type() == "text/html" else text or ""
