"""Reads the headers of a mail as fields: who, to whom, when, about what.

Decisions
1. Each header is parsed once. The standard library parses it on every access, 13 times for the content type of a plain
   mail: 400 mails of a mailbox took 440 ms and now take 190.
2. A person is two items of a list, the address in lower case and the name: a filter compares whole strings, and people
   know one or the other.
"""

from __future__ import annotations

import datetime
import email.policy
import re
from collections.abc import Callable
from email.header import decode_header
from email.message import MIMEPart
from email.policy import EmailPolicy
from email.utils import getaddresses, parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

from vecver.pipeline.parsers.properties import Fields

Headers = Callable[[str], str]  # a header's text by its name, "" where there is none

_PEOPLE: Final = {"from": "From", "to": "To", "cc": "Cc", "bcc": "Bcc", "reply_to": "Reply-To"}
_ADDRESS: Final = re.compile(r"[^\s<>,;:\"()@]{1,64}+@[^\s<>,;:\"()@]{1,255}+")
_ID: Final = re.compile(r"<([^<>\s]+)>")
_RECIPIENT_TYPE: Final = 0x0C15  # the property that separates "to" from "cc"
_LONGEST: Final = 10_000  # characters up to which the standard library parses a header: 20,000 quotes take it 3 s


class _Policy(EmailPolicy):
    """The standard library's policy with cached headers; without the cache each access parses the header again."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return _parsed_header(name, value)


POLICY: Final[Any] = _Policy()


@lru_cache(256)
def _parsed_header(name: str, value: str) -> Any:
    return email.policy.default.header_fetch_parse(name, value)


def forget_headers() -> None:
    """Clear the cache of parsed headers."""
    _parsed_header.cache_clear()


def headers_of(message: MIMEPart) -> Headers:
    """A mail's headers as lines of text; "" for a header that the standard library cannot parse."""

    raw: dict[str, str] = {}
    for name, value in message.raw_items():
        raw.setdefault(name.lower(), str(value))

    def header(name: str) -> str:
        try:
            value_as_sent = raw.get(name.lower(), "")
            if len(value_as_sent) > _LONGEST:
                return _decoded(value_as_sent) if name not in _PEOPLE.values() or _ADDRESS.search(value_as_sent) else ""
            value = str(message.get(name, ""))
        except (ValueError, LookupError, AttributeError, TypeError, RecursionError):  # of malformed addresses
            return ""
        return " ".join(value.split())

    return header


def mail_fields(header: Headers) -> Fields:
    """`header`: a header's text by its name, "" where there is none."""
    fields: dict[str, Any] = {name: _people(header(key)) for name, key in _PEOPLE.items()}
    fields["subject"] = header("Subject") or None
    fields["date"] = _date(header("Date"))
    fields["message_id"] = next(iter(_ids(header("Message-ID"))), None)
    fields["in_reply_to"] = next(iter(_ids(header("In-Reply-To"))), None)
    fields["references"] = _ids(header("References")) or None
    fields["list_id"] = next(iter(_ids(header("List-Id"))), None)
    return {name: value for name, value in fields.items() if value is not None}


def _decoded(header: str) -> str:
    """A header as one line with decoded words; those with a comma are quoted, as in addresses."""
    pieces = []
    for text, charset in decode_header(" ".join(header.split())):
        piece = text if isinstance(text, str) else text.decode(charset or "latin-1", "replace")
        pieces.append(f'"{piece}"' if charset and "," in piece and "@" in header else piece)
    return " ".join("".join(pieces).split())


def _person(name: str, address: str) -> list[str]:
    """The address and the name, if present."""
    address = address.strip().lower() if "@" in address else address.strip()
    return list(dict.fromkeys(part for part in (address, name.strip()) if part))


def outlook_fields(message: Any) -> Fields:
    """The fields of the message's headers; for a message that was never sent, of its properties."""
    headers = {str(name).lower(): _decoded(str(value)) for name, value in (message.message_headers or {}).items()}
    fields = dict(mail_fields(lambda name: headers.get(name.lower(), "")))
    fields.setdefault("subject", message.subject or None)
    fields.setdefault("date", message.sent_date)
    if "from" not in fields:
        fields |= mail_fields(lambda name: _decoded(message.sender or "") if name == "From" else "")
    for kind, name in ((1, "to"), (2, "cc"), (3, "bcc")):
        recipients = [
            recipient
            for recipient in message.recipients
            if recipient.properties.int_prop_value(_RECIPIENT_TYPE) == kind
        ]
        people = [
            part for recipient in recipients for part in _person(recipient.name or "", recipient.email_address or "")
        ]
        fields.setdefault(name, people or None)
    return fields


def _people(text: str) -> list[str] | None:
    if not text:
        return None
    if len(text) > _LONGEST:
        return list(dict.fromkeys(parts.lower() for parts in _ADDRESS.findall(text))) or [text]
    parts = [part for name, address in getaddresses([text]) for part in _person(name, address)]
    return list(dict.fromkeys(parts)) or [text]


def _date(text: str) -> datetime.datetime | str | None:
    """The moment. An unknown zone (-0000) is read as UTC, in which such times are written."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return text or None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _ids(text: str) -> list[str]:
    return _ID.findall(text) or ([text] if text and not text.isspace() and len(text) < 500 else [])
