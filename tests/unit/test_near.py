"""Near matches, and how an error carries them to each caller."""

from __future__ import annotations

import pickle

import pytest

from vecver.errors import InvalidInputError, NotFoundError, hint_for, say
from vecver.near import near


@pytest.mark.parametrize(
    ("name", "names", "likeliest"),
    [
        ("mian", ["prod", "main", "wide"], "main"),
        ("handbok", ["support", "handbook"], "handbook"),
        ("Handbook", ["handbook"], "handbook"),
        ("pord", ["main", "prod"], "prod"),
        ("2026-10", ["2026-11", "main"], "2026-11"),
        ("heating.md", ["keys.md", "docs/guides/heating.md"], "docs/guides/heating.md"),
        ("doc/heating.md", ["heating.md"], "heating.md"),
        ("größe", ["grösse", "gross"], "grösse"),
    ],
)
def test_finds_what_was_meant(name: str, names: list[str], likeliest: str) -> None:
    assert near(name, names)[0] == likeliest


@pytest.mark.parametrize("name", ["", "  ", "zzzz", "main", None, 3, "m" * 100_000])
def test_what_resembles_nothing_has_no_near_name(name: object) -> None:
    assert near(name, ["main", "prod"]) == []


def test_at_most_three_the_likeliest_first_and_none_twice() -> None:
    found = near("mainn", ["maint", "main", "mains", "main", "maine", "mainz"])
    assert found[0] == "main" and len(found) == 3 == len(set(found))


def missing(names: list[str]) -> NotFoundError:
    hint = say("docs.tags() lists them", cli="`vecver tag d` lists them", http="GET /v1/datasets/d/tags lists them")
    return NotFoundError("d has no tag 'mian'", code="tag_not_found", hint=hint, did_you_mean=names)


def test_each_caller_gets_the_form_it_can_follow_behind_the_names() -> None:
    error = missing(["main"])
    assert error.hint == "did you mean 'main'? docs.tags() lists them"
    assert hint_for("cli", error.hint) == "did you mean 'main'? `vecver tag d` lists them"
    assert hint_for("http", error.hint).endswith("GET /v1/datasets/d/tags lists them")
    assert error.context == {"did_you_mean": ["main"]} and error.__notes__ == [f"hint: {error.hint}"]


def test_an_error_without_near_names_says_nothing_of_them() -> None:
    assert missing([]).context == {} and missing([]).hint == "docs.tags() lists them"


def test_a_plain_hint_is_for_every_caller() -> None:
    error = InvalidInputError("x", code="c", hint="do this")
    assert {hint_for(caller, error.hint) for caller in ("cli", "python", "http")} == {"do this"}


def test_an_error_that_was_pickled_says_the_same() -> None:
    error = missing(["main"])
    again = pickle.loads(pickle.dumps(error))
    assert (again.hint, again.context, again.__notes__) == (error.hint, error.context, error.__notes__)
    assert hint_for("cli", again.hint) == hint_for("cli", error.hint)
