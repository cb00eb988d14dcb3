"""Who looks at a page: the API key behind a session cookie, or whoever sits at this machine where there are no keys.

    cookie      {"key": id of the key, "id": random}, signed with a secret of this service; ends after 12 hours
    form token  a digest of the session's id under the same secret: only our own pages know it

Decisions
1. A session is not stored. It names its key, which is looked up at each request: revoking a key ends its sessions.
   Stored is which sessions were signed out before their time, so that a copied cookie ends with them.
2. Where the service has no keys, a visitor must come from this machine, as for the routes. The session then only
   carries the form token.
3. The cookie's name has the repository's id in it: cookies do not tell ports apart, and two services may run here.
4. `vecver ui` lets nobody in but the one who has its one-time token, so that other users of the machine stay out. That
   session ends with the process: a `vecver serve` of the same repository would let it in as one without a key.
5. Cookies are taken apart by Starlette: `http.cookies` stops at the first cookie that is not to its liking, and other
   programs at this machine set such cookies for all ports.
6. A form must come from a page of this service. Browsers say from where: over https and at this machine by
   Sec-Fetch-Site, else by Origin, which is compared with the Host that was asked, or that a proxy was asked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

from vecver.errors import AccessError
from vecver_service.http.callers import Callers
from vecver_service.state.keys import Caller
from vecver_service.state.session_secret import EndedSessions
from vecver_service.ui.addresses import at_root, is_open, is_page, set_root

SECONDS = 12 * 3600  # that a session lasts


@dataclass(frozen=True)
class Session:
    """A visitor's session."""

    key: str  # id of the API key; "": none is needed
    id: str
    until: float  # seconds since 1970


class Visitors:
    """The visitors of a service. `secret`: gives what signs cookies; `name`: of the cookie; `token`: lets one in."""

    def __init__(
        self,
        callers: Callers,
        secret: Callable[[], bytes],
        name: str,
        token: str | None = None,
        *,
        ended: EndedSessions,
    ) -> None:
        self._callers, self._secret, self.cookie, self._ended = callers, cache(secret), name, ended
        self._token, self._lock = token, threading.Lock()
        self.owned = token is not None  # only the one with the token may look
        self._owner = f"owner-{secrets.token_hex(8)}"  # in place of a key's id: the one who started this process

    def is_page(self, path: str) -> bool:
        """Is this path a page?"""
        return is_page(path)

    def enter(self, scope: Scope) -> Caller | None:
        """Who makes this request; None for a page that everybody may see. Sets `vecver.session` in the scope, and
        `vecver.session_begins` where the browser does not have it yet.

        Raises AccessError: nobody is signed in, or another site's page sent the form.
        """
        set_root(scope.get("root_path", ""))
        session = self._session(scope)
        scope["vecver.session"], scope["vecver.session_begins"] = session or self.new(""), session is None
        _check_site(scope)  # also of signing in: nobody is to work under the key of somebody else without knowing it
        if is_open(scope["path"]):
            return None
        if session is not None and session.key:
            caller = self._callers.owner() if session.key == self._owner else self._callers.by_id(session.key)
            if caller is not None:
                return caller
            raise AccessError(
                "the key of this session was revoked", code="unauthenticated", hint="sign in with another key"
            )
        if self._callers.need_key():
            raise AccessError("nobody is signed in", code="unauthenticated", hint="sign in with an API key")
        return self._callers.caller_of(scope, "")

    def sign_in(self, token: str) -> Session | None:
        """The session of a valid API key; None for any other."""
        caller = self._callers.by_token(token)
        return self.new(caller.id) if caller and caller.id else None

    def sign_in_once(self, token: str) -> Session | None:
        """The session of the one who started `vecver ui`; the token is good for one use."""
        with self._lock:
            if self._token is None or not _same(self._token, token):
                return None
            self._token = None
        return self.new(self._owner)

    def new(self, key: str) -> Session:
        """A new session."""
        return Session(key, secrets.token_urlsafe(16), time.time() + SECONDS)

    def end(self, session: Session) -> None:
        """Let a session be signed out, wherever its cookie is."""
        if session.key:
            self._ended.add(session.id, session.until)

    def keep(self, response: Response, session: Session, *, secure: bool) -> None:
        """Let the browser keep a session."""
        response.set_cookie(
            self.cookie,
            self._signed(session),
            max_age=SECONDS,
            path=at_root("/"),
            httponly=True,
            samesite="lax",
            secure=secure,
        )

    def form_token(self, session: Session) -> str:
        """What a form of this session must bring back."""
        return self._digest(b"form", session.id.encode())

    def check_form(self, session: Session, token: str) -> None:
        """Raises AccessError unless the form came from a page of this session."""
        if not _same(self.form_token(session), token):
            raise AccessError(
                "this form is older than the session", code="stale_form", hint="go back, load the page again, repeat"
            )

    def _session(self, scope: Scope) -> Session | None:
        """The session of a request's cookie; None where there is none, where it ended, or was not signed here."""
        cookies = cookie_parser("; ".join(Headers(scope=scope).getlist("cookie")))
        return self._read(cookies[self.cookie]) if self.cookie in cookies else None

    def _read(self, text: str) -> Session | None:
        body, _, digest = text.partition(".")
        if not _same(self._digest(b"session", body.encode("utf-8", "replace")), digest):
            return None
        value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        session = Session(**value)
        if session.until <= time.time() or (session.key and session.id in self._ended):
            return None
        return session

    def _signed(self, session: Session) -> str:
        body = base64.urlsafe_b64encode(json.dumps(session.__dict__).encode()).decode()
        return f"{body}.{self._digest(b'session', body.encode())}"

    def _digest(self, purpose: bytes, content: bytes) -> str:
        return hmac.new(self._secret(), purpose + b"\0" + content, hashlib.sha256).hexdigest()


def _same(secret: str, text: str) -> bool:
    """Compared in a time that does not tell where they differ."""
    return hmac.compare_digest(secret.encode(), text.encode("utf-8", "replace"))


def _check_site(scope: Scope) -> None:
    """Raises AccessError for a form that another site's page sent."""
    headers = Headers(scope=scope)
    if scope["method"] in ("GET", "HEAD") or _is_from_here(headers):
        return
    raise AccessError(
        "another site's page sent this form",
        code="forbidden",
        hint="open the page here, and repeat it; a proxy before the service must hand on the Host that was asked for",
    )


def _is_from_here(headers: Headers) -> bool:
    """Does a page of this service send this? A program, which names no origin, has no cookie that others could use."""
    if "sec-fetch-site" in headers:
        return headers["sec-fetch-site"] in ("same-origin", "none")
    hosts = {headers.get("host"), headers.get("x-forwarded-host")}
    return "origin" not in headers or headers["origin"].partition("://")[2] in hosts
