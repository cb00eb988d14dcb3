"""Webhooks: posts JSON to a URL of the caller's. The URL may hold a secret, so messages name its host alone.

Decisions
1. `urllib` of the standard library: one POST, without a connection to keep. Redirects are not followed: they would turn
   the POST into a GET, or carry the JSON to another host.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from vecver.errors import BackendError, InvalidInputError

TIMEOUT_S = 10.0


def check_webhook(url: str) -> str:
    """The host of a webhook. Raises InvalidInputError unless the URL is http or https with a host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 and url.isprintable() else None
    except ValueError:
        host = None
    if not host or " " in url:
        raise InvalidInputError(
            "the webhook is no http or https URL", code="invalid_url", hint="give --webhook https://HOST/PATH"
        )
    return host


def post(url: str, value: Any) -> None:
    """Post a JSON value. Raises InvalidInputError (the URL), BackendError (no answer, or one that is no success)."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    host = check_webhook(url)
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    request = Request(url, body, {"Content-Type": "application/json", "User-Agent": "vecver"}, method="POST")
    try:
        with build_opener(NoRedirects).open(request, timeout=TIMEOUT_S):
            return
    except HTTPError as error:
        reason, retryable = f"it answered {error.code}", error.code >= 500 or error.code == 429
    except (OSError, HTTPException, ValueError) as error:
        reason, retryable = str(getattr(error, "reason", error)) or type(error).__name__, True
    raise BackendError(
        f"the webhook at {host} did not take the result: {reason}",
        code="webhook_failed",
        hint="the result above is right; look at the webhook's URL and its server, and run the command again",
        retryable=retryable,
        host=host,
    )
