"""Templates to responses: what every page shows, how numbers, times and ids are written, and the security headers."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

from vecver_service.ui.addresses import address
from vecver_service.ui.commands import command

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STEPS = ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. `values`: what its template needs beside what every page shows."""
    page = _environment().get_template(template)
    response = HTMLResponse(page.render(**_shared(request), **values), status, headers=HEADERS)
    if request.scope.get("vecver.session_begins") and "vecver.caller" in request.scope:  # no key is needed here
        request.app.state.visitors.keep(response, request.scope["vecver.session"], secure=request.url.scheme == "https")
    return response


def _shared(request: Request) -> dict[str, Any]:
    """What every page shows."""
    scope = request.scope
    session = scope.get("vecver.session")
    return {
        "request": request,
        "caller": scope.get("vecver.caller"),
        "form_token": request.app.state.visitors.form_token(session) if session else "",
        "version": metadata.version("vecver"),
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("vecver_service.ui"), PrefixLoader({"reports": PackageLoader("vecver.reports")})]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "ago": ago, "counted": counted, "number": "{:,}".format, "score": score}
    environment.filters |= {"revision": revision, "share": share, "signed": signed, "flat": flat}
    environment.globals |= {"address": address, "command": command}
    return environment


def short(id: str) -> str:
    """The first characters of a commit id, as the page shows them."""
    return id[:7]


def revision(name: str) -> str:
    """A revision as a command takes it: a full commit id is cut to 40 characters, a name is not."""
    return name[:40] if len(name) == 64 else name


def score(value: float) -> str:
    """A score or measure, with three decimals."""
    return f"{value:.3f}"


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """(name, text) of every value in a JSON object, in its order; names of inner ones are joined by a space."""
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in flat(inner, f"{name} {key}".strip())]
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return [(name, ", ".join(map(str, value)) or "none")]
    if isinstance(value, list):
        return [pair for number, inner in enumerate(value, 1) for pair in flat(inner, f"{name} {number}".strip())]
    words = {None: "none", True: "yes", False: "no"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return [(name, "none" if value in ("", {}) else text)]


def signed(value: float) -> str:
    """A difference of measures, with its sign and three decimals."""
    text = f"{value:+.3f}"
    return "±0.000" if text in ("+0.000", "-0.000") else text.replace("-", "\N{MINUS SIGN}")


def share(value: float) -> str:
    """A share of a whole, in percent."""
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 chunk", "2,347 chunks"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def ago(time: str, now: datetime | None = None) -> str:
    """How long ago a time (ISO 8601) was, in its largest unit."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds()
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{counted(int(seconds // size), unit)} ago"
    return "just now" if seconds >= 0 else time[:16].replace("T", " ")
