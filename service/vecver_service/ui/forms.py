"""Forms: each must bring back the token of its session, so that no other site's page can send one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Request

from vecver_service.ui.visitors import Visitors


def _check_form(request: Request, form_token: Annotated[str, Form(max_length=200)] = "") -> None:
    visitors: Visitors = request.app.state.visitors
    visitors.check_form(request.scope["vecver.session"], form_token)


FROM_HERE = [Depends(_check_form)]  # what a route for a form depends on; raises AccessError
