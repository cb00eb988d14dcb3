"""Signing in with an API key, signing out, and the files that all pages share."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from vecver.errors import NotFoundError
from vecver_service.ui.addresses import NEXT, SIGN_IN, SIGN_OUT, at_root, inside
from vecver_service.ui.forms import FROM_HERE
from vecver_service.ui.rendering import HEADERS, render
from vecver_service.ui.visitors import Session, Visitors

router = APIRouter(include_in_schema=False)
_FILES = Path(str(resources.files("vecver_service.ui") / "static"))
Text = Annotated[str, Query(max_length=NEXT)]


@router.get(SIGN_IN)
def sign_in(request: Request, next: Text = "/", token: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Where a visitor gives a key; with the token of `vecver ui` they are let in at once."""
    visitors: Visitors = request.app.state.visitors
    if token:
        session = visitors.sign_in_once(token)
        if session is None:
            return _asked(request, next, "This address was used already. End `vecver ui` and start it again.", 401)
        return _let_in(request, session, next)
    return _asked(request, next, None, 200)


@router.post(SIGN_IN)
def signed_in(
    request: Request, key: Annotated[str, Form(max_length=200)] = "", next: Annotated[str, Form(max_length=NEXT)] = "/"
) -> Response:
    """Let the holder of a key in."""
    session = request.app.state.visitors.sign_in(key.strip())
    if session is None:
        return _asked(request, next, "This is no key of this service.", 401)
    return _let_in(request, session, next)


@router.post(SIGN_OUT, dependencies=FROM_HERE)
def sign_out(request: Request) -> Response:
    """End the session: also a copy of its cookie lets nobody in."""
    visitors: Visitors = request.app.state.visitors
    visitors.end(request.scope["vecver.session"])
    response = RedirectResponse(at_root(SIGN_IN), 303, headers=HEADERS)
    response.delete_cookie(visitors.cookie, at_root("/"), httponly=True, samesite="lax")
    return response


@router.get("/static/{name}")
def file(name: str) -> Response:
    """A file that pages share. Raises NotFoundError."""
    if name not in {path.name for path in _FILES.iterdir()}:
        raise NotFoundError("there is no such file", code="route_not_found", hint="open / for the first page")
    return FileResponse(_FILES / name, headers={**HEADERS, "Cache-Control": "max-age=3600"})


def _asked(request: Request, next: str, refused: str | None, status: int) -> Response:
    url = str(request.base_url).rstrip("/")
    visitors: Visitors = request.app.state.visitors
    return render(request, "sign_in.html", status, next=inside(next), refused=refused, url=url, owned=visitors.owned)


def _let_in(request: Request, session: Session, next: str) -> Response:
    response = RedirectResponse(at_root(inside(next)), 303, headers=HEADERS)
    request.app.state.visitors.keep(response, session, secure=request.url.scheme == "https")
    return response
