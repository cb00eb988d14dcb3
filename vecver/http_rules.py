"""Rules that every HTTP client here follows: which URLs are accepted, how long to wait, and keys kept out of messages.

It makes no request and knows no server. `wire.py` and `pipeline/embedders/endpoint.py` use it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

MASK = "***"  # stands where a key was


def is_base_url(url: Any) -> bool:
    """Whether a URL is http or https with a host, and carries no user, password, query or fragment."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.port != 0 and url.isprintable()
        valid = valid and bool((parts.hostname or "").encode("idna"))
    except (ValueError, AttributeError):
        return False
    return valid and parts.username is None and not parts.query and not parts.fragment


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
