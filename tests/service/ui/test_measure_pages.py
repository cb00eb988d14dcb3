"""The page of measures: the values that `measure_history` has, and what to do where nothing is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")
pytest.importorskip("ir_measures", reason="no ir_measures: install vecver[eval]")

from visited import Page, visited

# The question's vector is nearest to other documents, so the relevant one is second or third.
QUESTIONS = [{"vector": [1.0, 0, 0, 0, 0, 0, 0, 0], "documents": ["guide/boiler.md"]}]


def test_the_page_has_the_measures_of_every_version_that_was_measured(tmp_path: Path) -> None:
    with visited(tmp_path) as service:
        service.sign_in("reader")
        empty = Page(service.page("/datasets/handbook/measures"))
        assert "0 versions of 3 measured" in empty.text and "vecver eval handbook@main" in empty.text
        docs = service.repository.dataset("handbook")
        docs.add_questions("support", QUESTIONS)
        values = {at: docs.eval(at, questions="support").measures["nDCG@10"].mean for at in ("main", "prod")}
        page = Page(service.page("/datasets/handbook/measures?questions=support"))
        assert "2 versions of 3 measured" in page.text
        assert len(set(values.values())) == 2, "the two versions differ"
        for value in values.values():
            assert f"{value:.3f}" in page.text
        drawing = service.client.get("/datasets/handbook/measures.svg?questions=support")
        assert drawing.headers["content-type"].startswith("image/svg") and "<script" not in drawing.text
        assert service.client.get("/datasets/handbook/measures?questions=nothing").status_code == 404
        service.sign_in("other")
        assert service.client.get("/datasets/handbook/measures.svg?questions=support").status_code == 403
