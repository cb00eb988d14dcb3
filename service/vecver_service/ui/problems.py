"""An error as a page: what happened, to what, and what to do next. Somebody who is not signed in is asked to."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from vecver.errors import DID_YOU_MEAN
from vecver_service.http import problems
from vecver_service.http.problems import PathMask
from vecver_service.ui.addresses import NEXT, SIGN_IN, address
from vecver_service.ui.rendering import HEADERS, render

_HINTS = {
    "revision_not_found": "choose a version in the history of the dataset, below",
    "questions_not_found": "choose one of the sets on the page of measures, below",
}


def problem_page(request: Request, error: Exception, mask: PathMask) -> Response:
    """The page for an error. An unexpected error is logged in full; the page says only that something failed."""
    problem, headers = problems.described(request, error, mask)
    if problem["status"] == 401 and request.method == "GET":
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        next = None if back == "/" or len(back) > NEXT else back
        return RedirectResponse(address(SIGN_IN[1:], next=next), 303, headers=HEADERS)
    dataset = str(request.path_params.get("dataset", ""))
    problem["hint"] = _hint(problem)
    page = render(
        request,
        "problem.html",
        problem["status"],
        problem=problem,
        says=_sentence(problem["detail"], dataset),
        dataset="" if problem["code"] in ("dataset_not_found", "invalid_name") else dataset,
    )
    page.headers.update(headers)  # which methods are allowed, when to come back
    return page


def _hint(problem: dict[str, str]) -> str:
    """What to do, for whoever reads a page and calls no route."""
    if problem["code"] == "invalid_request":
        return "go back, and change it in the form or in the address"
    if "/v1/" not in problem["hint"]:
        return problem["hint"]
    question = f"{problem['hint'].split('? ')[0]}? " if problem["hint"].startswith(DID_YOU_MEAN) else ""
    return question + _HINTS.get(problem["code"], "begin at one of the links below")


def _sentence(detail: str, dataset: str) -> str:
    """A message with a capital letter, unless it begins with the name of the dataset."""
    return detail if dataset and detail.startswith(dataset) else detail[:1].upper() + detail[1:]
