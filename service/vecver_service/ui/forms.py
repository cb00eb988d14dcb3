"""Forms: each must bring back the token of its session, so that no other site's page can send one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Query, Request

from vecver_service.ui.visitors import Visitors


def _check_form(request: Request, form_token: Annotated[str, Form(max_length=200)] = "") -> None:
    _check(request, form_token)


def _check_address(request: Request, form_token: Annotated[str, Query(max_length=200)] = "") -> None:
    _check(request, form_token)


def _check(request: Request, form_token: str) -> None:
    visitors: Visitors = request.app.state.visitors
    visitors.check_form(request.scope["vecver.session"], form_token)


# What a route for a form depends on; raises AccessError. A form with files, whose body is read as it arrives, has its
# token in its address.
FROM_HERE = [Depends(_check_form)]
FROM_HERE_BY_ADDRESS = [Depends(_check_address)]
