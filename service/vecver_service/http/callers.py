"""Decides who made a request, and whether they may make another one now.

    key      the caller that its key belongs to; this machine where the service has no keys
    rate     a token bucket for each key

Decisions
1. Without keys, any web page could make a browser on this machine call the service. So a request must name this
   machine as its Host and come from no other Origin.
"""

from __future__ import annotations

from ipaddress import ip_address
from math import ceil
from time import monotonic
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from vecver.errors import AccessError, BackendError, say
from vecver_service.settings import ServiceSettings
from vecver_service.state.key_file import Key
from vecver_service.state.keys import ALL, Caller, Keys


class Callers:
    """The callers of a service. `author`: the name of those who need no key; `closed`: there are none."""

    def __init__(self, settings: ServiceSettings, keys: Keys, author: str, *, closed: bool = False) -> None:
        self._settings, self._keys, self._closed = settings, keys, closed
        self._anonymous = Caller("", author, (f"{ALL}:admin",))
        self._rates: dict[str, _TokenBucket] = {}

    def caller_of(self, scope: Scope, authorization: str) -> Caller:
        """The caller that a request's key belongs to. Raises AccessError."""
        if self._settings.no_auth and not self._closed:
            return self._anonymous
        if not self.need_key():
            _check_local(scope)
            return self._anonymous
        kind, _, token = authorization.partition(" ")
        key = self._keys.find(token.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise _denied("the API key is unknown" if token else "an API key is needed")
        return Caller(key.id, key.name, key.scopes)

    def owner(self) -> Caller:
        """Who runs the service: may do everything."""
        return self._anonymous

    def need_key(self) -> bool:
        """Must a caller have a key?"""
        return self._closed or (not self._settings.no_auth and self._keys.needed())

    def by_id(self, id: str) -> Caller | None:
        """The caller of the key with this id; None once it is revoked."""
        return _caller(self._keys.get(id))

    def by_token(self, token: str) -> Caller | None:
        """The caller that this key belongs to; None for an unknown one."""
        return _caller(self._keys.find(token))

    def check_rate(self, caller: Caller) -> None:
        """Raises BackendError (`rate_limited`) if this caller sends requests too fast."""
        if not self._settings.rate:
            return
        bucket = self._rates.setdefault(caller.id, _TokenBucket(self._settings.burst))
        wait = bucket.take(self._settings.rate, self._settings.burst)
        if wait:
            raise BackendError(
                f"more than {self._settings.rate:g} requests a second",
                code="rate_limited",
                hint=f"wait {wait:.1f} s, or ask several queries in one request",
                retryable=True,
                retry_after=max(1, ceil(wait)),
            )


class _TokenBucket:
    """A token bucket: `burst` requests at once, then `rate` a second."""

    def __init__(self, burst: int) -> None:
        self._left, self._at = float(burst), monotonic()

    def take(self, rate: float, burst: int) -> float:
        """Take a token: 0, or the seconds until there is one."""
        now = monotonic()
        self._left = min(float(burst), self._left + (now - self._at) * rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / rate
        self._left -= 1
        return 0.0


def _caller(key: Key | None) -> Caller | None:
    return None if key is None else Caller(key.id, key.name, key.scopes)


def _check_local(scope: Scope) -> None:
    """Raises AccessError unless the request comes from this machine and its Host and Origin name this machine."""
    headers = Headers(scope=scope)
    addresses = [(scope.get(end) or ("",))[0] for end in ("client", "server")]
    urls = [f"//{headers.get('host', '')}", *headers.getlist("origin")]
    if (
        not all(_is_loopback(address) for address in addresses)
        or "x-forwarded-for" in headers
        or "forwarded" in headers
    ):
        raise _denied("this service has no API keys, and serves nobody but this machine without")
    if not all(_is_this_machine(_host_of(url)) for url in urls):
        raise _denied("without API keys this service must be asked as localhost, and by no other site's page")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "testserver") or (host != "" and _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address in ("", "testclient", "testserver")  # a unix socket; starlette's test client


def _denied(message: str) -> AccessError:
    return AccessError(
        message,
        code="unauthenticated",
        hint=say(
            "give a key as api_key; the operator of the service makes one with `vecver key add`",
            http="send Authorization: Bearer KEY; the operator of the service makes one with `vecver key add`",
        ),
    )
