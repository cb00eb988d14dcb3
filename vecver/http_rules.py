"""Rules that every HTTP client here follows: which URLs and keys are accepted, how long to wait, and keys kept out of
messages. It makes no request and knows no server.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from vecver.errors import InvalidInputError

MASK = "***"  # stands where a key was
_BEFORE_URL = re.compile(r"@(?=https?://)", re.IGNORECASE)
_LIKE_ADDRESS = re.compile(r"@([^@]*[:/]|localhost$)")  # a model's revision has neither


def is_base_url(url: Any) -> bool:
    """Whether a URL is http or https with a host, and carries no user, password, query or fragment."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.port != 0 and url.isprintable()
        valid = valid and bool((parts.hostname or "").encode("idna"))
    except (ValueError, AttributeError):
        return False
    return valid and parts.username is None and not parts.query and not parts.fragment


def model_and_url(text: str) -> tuple[str, str]:
    """The two sides of MODEL@URL; "" for a URL that is not there.

    Raises ValueError if an address follows that has no http://: the model would be asked for at its usual address.
    """
    model, *rest = _BEFORE_URL.split(text, 1)
    if _LIKE_ADDRESS.search(model):
        raise ValueError(f"{text!r} has an address without http://")
    return model, rest[0] if rest else ""


def checked_key(api_key: str | None, whose: str, setting: str) -> str:
    """The API key as a header holds it; "" for none. Files and secrets often end it with a line break.

    Raises InvalidInputError, which names the `setting` but not the key.
    """
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InvalidInputError(
            f"the API key of the {whose} has characters that cannot be sent",
            code="bad_api_key",
            hint=f"look for stray characters in {setting}: a key is printable ASCII",
        )
    return key


def retry_after(headers: Mapping[str, str], default: float) -> float:
    """Seconds that a server asks to wait, as a number or until a date; `default` if it asks none or a date is past."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return default
    return seconds if seconds > 0 else default


def masked(value: Any, key: str) -> Any:
    """A text, or a JSON value with all its texts, in which `key` is replaced by `***`. An empty key masks nothing."""
    if isinstance(value, str):
        return value.replace(key, MASK) if key else value
    if isinstance(value, dict):
        return {name: masked(item, key) for name, item in value.items()}
    return [masked(item, key) for item in value] if isinstance(value, list) else value
