"""The local and the remote handle give the same errors and, bit by bit, the same values."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from handles import PAGES, QUERY, Docs, Repo, filled, folder_of
from helpers import SPACE, records

import vecver
from vecver.errors import AccessError, ConflictError, InvalidInputError, NotFoundError, SpaceMismatchError, VecverError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")


# -- errors -----------------------------------------------------------------------------------------

PLAIN = [{"id": "a", "text": "x"}]
ERRORS: list[tuple[Callable[[Docs], Any], type[VecverError], str]] = [
    (lambda docs: docs.search(QUERY, at="nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at="main~9"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at=".."), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at="a/b?c#d"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at="@{yesterday}"), InvalidInputError, "invalid_revision"),
    (lambda docs: docs.search(QUERY, at=""), InvalidInputError, "invalid_revision"),
    (lambda docs: docs.search("", exact=True), SpaceMismatchError, "needs_vector"),
    (lambda docs: docs.search(QUERY[:3]), SpaceMismatchError, "wrong_dimension"),
    (lambda docs: docs.search(QUERY, space="other"), SpaceMismatchError, "space_mismatch"),
    (lambda docs: docs.search(QUERY * np.nan), InvalidInputError, "invalid_vector"),
    (lambda docs: docs.search([]), InvalidInputError, "invalid_vector"),
    (lambda docs: docs.search(np.empty((0, 8), np.float32)), InvalidInputError, "empty_query"),
    (lambda docs: docs.search(QUERY, k=0), InvalidInputError, "invalid_k"),
    (lambda docs: docs.search(QUERY, context=-1), InvalidInputError, "invalid_context"),
    (lambda docs: docs.search(QUERY, engine="solr"), InvalidInputError, "unknown_engine"),  # type: ignore[call-overload]
    (lambda docs: docs.search(QUERY, filter={"colour": "red"}), InvalidInputError, "unknown_field"),
    (lambda docs: docs.search(QUERY, filter={"year": {"$near": 1}}), InvalidInputError, "invalid_filter"),
    (lambda docs: docs.show("nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: list(docs.log("0" * 64)), NotFoundError, "revision_not_found"),
    (lambda docs: list(docs.log(document="nowhere")), NotFoundError, "document_not_found"),
    (lambda docs: list(docs.log(document="")), InvalidInputError, "invalid_document"),
    (lambda docs: list(docs.log(since="nowhere")), NotFoundError, "revision_not_found"),
    (lambda docs: docs.documents("nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.diff("main", "nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.diff("main", "main", document="nowhere"), NotFoundError, "document_not_found"),
    (lambda docs: docs.publication(), vecver.NotPublishedError, "not_published"),
    (lambda docs: docs.tag("v1"), ConflictError, "name_taken"),
    (lambda docs: docs.tag("main"), ConflictError, "name_taken"),
    (lambda docs: docs.branch("v1"), ConflictError, "name_taken"),
    (lambda docs: docs.promote("v1"), ConflictError, "name_taken"),
    (lambda docs: docs.tag("a/b"), InvalidInputError, "invalid_name"),
    (lambda docs: docs.rollback("v1"), ConflictError, "tag_fixed"),
    (lambda docs: docs.rollback("nowhere"), NotFoundError, "alias_not_found"),
    (lambda docs: docs.delete_branch("main"), ConflictError, "last_branch"),
    (lambda docs: docs.delete_alias("nowhere"), NotFoundError, "alias_not_found"),
    (lambda docs: docs.moves("tag", "nowhere"), NotFoundError, "tag_not_found"),
    (lambda docs: docs.merge("nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.merge("main", branch="nowhere"), NotFoundError, "branch_not_found"),
    (lambda docs: docs.merge("main", ours=True, theirs=True), InvalidInputError, "conflicting_options"),
    (lambda docs: docs.merge("main", ours=["doc-1"]), InvalidInputError, "no_such_conflict"),
    (lambda docs: docs.merge("main", expected="0" * 64), ConflictError, "ref_moved"),
    (lambda docs: docs.ingest([]), InvalidInputError, "empty_source"),
    (lambda docs: docs.ingest("/no/such/folder"), NotFoundError, "source_not_found"),
    (lambda docs: docs.ingest(PLAIN * 2), InvalidInputError, "duplicate_document"),
    (lambda docs: docs.ingest(PLAIN, label="\n"), InvalidInputError, "invalid_label"),
    (lambda docs: docs.ingest(records({"a": "x"}), metric="l2"), InvalidInputError, "conflicting_options"),
    (lambda docs: docs.ingest(records({"a": "x"}), branch="other"), NotFoundError, "branch_not_found"),
    (lambda docs: docs.ingest(records({"doc-1": "x"}), label="elsewhere"), InvalidInputError, "source_conflict"),
    (
        lambda docs: docs.ingest([{"id": "a", "text": "x"}], embedder="hashing", keep_missing=True),
        SpaceMismatchError,
        "mixed_spaces",
    ),
]


def test_errors_are_the_same(both: dict[str, Repo]) -> None:
    filled(both["local"])
    both["local"].dataset("d").tag("v1")
    wrong = []
    for number, (ask, kind, code) in enumerate(ERRORS):
        failures = [failure(ask, repository.dataset("d")) for repository in both.values()]
        if failures[0] != failures[1] or failures[0][:2] != (kind, code):
            wrong.append((number, code, *failures))
    assert wrong == []


def failure(ask: Callable[[Docs], Any], docs: Docs) -> tuple[type, str, str, str]:
    try:
        ask(docs)
    except VecverError as error:
        return type(error), error.code, error.message, error.hint
    return type(None), "", "", ""


def test_a_key_may_what_its_scopes_say(both: dict[str, Repo], tmp_path: Path) -> None:
    from vecver_service.state.keys import Keys

    docs = filled(both["local"])
    both["local"].dataset("secret").ingest(records({"a": "x"}), space=SPACE)
    _, key = Keys(tmp_path / "state" / "service.sqlite").add("bob", ["d:read"])
    with vecver.connect(both["remote"].url, key) as reader:
        assert reader.datasets() == ["d"]
        assert reader.dataset("d").search(QUERY) == docs.search(QUERY)
        for ask in (
            lambda: reader.dataset("d").promote("prod"),
            lambda: reader.dataset("d").ingest(PLAIN),
            lambda: reader.dataset("secret").search(QUERY),
            lambda: reader.dataset("secret").branches(),
            lambda: reader.dataset("absent").branches(),
        ):
            with pytest.raises(AccessError) as caught:
                ask()
            assert caught.value.code == "forbidden"
    for wrong in (None, key[:-1] + ("a" if key[-1] != "a" else "b")):
        with pytest.raises(AccessError) as caught:
            vecver.connect(both["remote"].url, wrong)
        assert caught.value.code == "unauthenticated"
    assert docs.aliases() == {}


def test_a_write_whose_answer_is_lost_happens_once(both: dict[str, Repo], tmp_path: Path) -> None:
    import httpx2

    from vecver.wire import Wire

    class Losing(httpx2.HTTPTransport):
        """Every first answer to a write gets lost on the way."""

        seen: ClassVar[set[str]] = set()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = super().handle_request(request)
            key = request.headers.get("idempotency-key")
            if key is None or key in self.seen:
                return answer
            self.seen.add(key)
            answer.read()
            answer.close()
            raise httpx2.ReadError("lost", request=request)

    wire = both["remote"]._wire  # type: ignore[union-attr]
    with vecver.RemoteRepository(Wire(wire.url, wire._key, transport=Losing())) as repository:
        docs = filled(repository)
        second, first = (commit.id for commit in docs.log())
        docs.promote("prod", first)
        docs.promote("prod", second)
        docs.rollback("prod")
        docs.tag("v1")
        repository.dataset("pages").ingest(folder_of(tmp_path, PAGES), embedder="hashing")
    docs = both["local"].dataset("d")
    assert [move.reason for move in docs.moves("alias", "prod")] == ["rollback", "promote", "promote"]
    assert [commit.message for commit in docs.log()] == ["second", "first"]
    assert len(wire.get("/v1/jobs")["jobs"]) == 3 and len(Losing.seen) == 7


def test_names_travel_as_they_are(both: dict[str, Repo], tmp_path: Path) -> None:
    names = ['say "hi".md', "a;b=c, d.md", "%22%2F.md", "u\u0308.md", "\u00fc.md", "'x'.md", "100%.md", "#?&.md"]
    folder = folder_of(tmp_path, {f"{n} {name}": f"text {n}" for n, name in enumerate(names)})
    docs = both["remote"].dataset("names")
    docs.ingest(folder, embedder="hashing", label="l\u00e4bel & co", message="a=b&c")
    assert docs.documents() == sorted(f"{n} {name}" for n, name in enumerate(names))
    assert both["local"].dataset("names").ingest(folder, label="l\u00e4bel & co").changed is False
    assert docs.show().message == "a=b&c"


def test_interrupting_a_remote_ingest_cancels_its_job(both: dict[str, Repo]) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    texts = {f"doc-{i}": f"text number {i} " * 40 for i in range(3000)}
    docs = both["remote"].dataset("d")
    with pytest.raises(KeyboardInterrupt):
        docs.ingest([{"id": id, "text": text} for id, text in texts.items()], embedder="hashing", progress=stop)
    wire, state = both["remote"]._wire, ""  # type: ignore[union-attr]
    while state not in ("succeeded", "cancelled"):  # asked to stop, it stops soon, or it was done already
        time.sleep(0.1)
        state = wire.get("/v1/jobs")["jobs"][0]["state"]
    assert (state == "cancelled") == (both["local"].dataset("d").branches() == {})


# -- bit by bit -------------------------------------------------------------------------------------


def test_answers_are_equal(both: dict[str, Repo], tmp_path: Path) -> None:
    filled(both["remote"])
    pages = both["remote"].dataset("pages")
    pages.ingest(folder_of(tmp_path, PAGES), embedder="hashing")
    pages.promote("prod")
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("d", QUERY, {}),
        ("d", QUERY.tolist(), {"k": 3, "exact": True, "at": "main~1"}),
        ("d", QUERY / 3, {"filter": {"year": {"$gte": 2024}, "$or": [{"year": 2024}, {"year": 2025}]}}),
        ("d", [QUERY / 3, QUERY / 7], {"k": 100}),
        ("d", np.stack([QUERY, QUERY / 7]), {"k": np.int64(2)}),
        ("pages", "Ventil \u00f6ffnen \U0001f525", {"at": "prod", "context": 1}),
        ("pages", ["bleed the radiator", "pump"], {"exact": True, "k": 1}),
    ]
    for name, query, how in cases:
        here, there = (repository.dataset(name).search(query, **how) for repository in both.values())
        assert here == there
        for answer in here if isinstance(here, list) else [here]:
            assert all(repository.replay(answer.receipt).identical for repository in both.values())


def test_values_are_equal(both: dict[str, Repo], tmp_path: Path) -> None:
    local, remote = (repository.dataset("d") for repository in both.values())
    filled(both["local"])
    for number in range(120):  # more than a page of commits
        local.branch(f"b{number}", "main~1") if number < 3 else local.rollback("b0", to="main")
    local.tag("v1", "main~1")
    local.promote("prod")
    local.promote("prod", "v1")
    assert both["remote"].id == both["local"].id
    for ask in (
        lambda docs: docs.show("prod"),
        lambda docs: list(docs.log("b0")),
        lambda docs: list(docs.tagged()),
        lambda docs: docs.documents("v1"),
        lambda docs: docs.diff("v1", "main"),
        *(lambda docs, id=id: docs.diff("v1", "main", document=id) for id in ("more", "doc-4", "doc-5")),
        lambda docs: (docs.branches(), docs.tags(), docs.aliases()),
        lambda docs: docs.moves("alias", "prod"),
        lambda docs: docs.moves("branch", "b0"),
        lambda docs: docs.moves("tag", "v1"),
    ):
        assert ask(remote) == ask(local)
    assert len(list(remote.log("b0"))) > 100


def test_what_one_ingests_the_other_has_already(both: dict[str, Repo], tmp_path: Path) -> None:
    """The same documents are the same bytes, ids and labels, whichever way they came."""
    folder = folder_of(tmp_path, PAGES)
    rows = [{"id": "a", "text": "x", "n": 1.5, "tags": ["p", None], "title": "T"}, {"_id": 7, "text": "y\u2028"}]
    for first, second in (("local", "remote"), ("remote", "local")):
        for name, source in (("pages", folder), ("rows", rows)):
            docs = {kind: repository.dataset(f"{name}-{first}") for kind, repository in both.items()}
            made = docs[first].ingest(source, embedder="hashing", prefix="kb/")
            again = docs[second].ingest(source, prefix="kb/")
            assert (again.changed, again.commit, again.documents["unchanged"]) == (
                False,
                made.commit,
                len(made.names["added"]),
            )
    roots = {docs: both["local"].dataset(docs).show().content_root for docs in both["local"].datasets()}
    assert roots["pages-local"] == roots["pages-remote"] and roots["rows-local"] == roots["rows-remote"]


def test_a_ref_update_from_an_older_value_is_a_conflict(both: dict[str, Repo]) -> None:
    """Two writers, one local and one remote: the second expects the old commit, and the error names the current one."""
    local, remote = (repository.dataset("d") for repository in both.values())
    filled(both["local"])
    second, first = (commit.id for commit in local.log())
    seen = replace(remote.promote("prod", first)).after
    local.promote("prod", second, expected=seen)
    with pytest.raises(ConflictError) as caught:
        remote.promote("prod", first, expected=seen)
    assert caught.value.context["found"] == second == remote.aliases()["prod"]


def test_the_log_of_a_document_is_the_same(both: dict[str, Repo]) -> None:
    docs = filled(both["local"])
    second, first = docs.log()
    for repository in both.values():
        handle = repository.dataset("d")
        assert list(handle.log(document="more")) == [second]
        assert list(handle.log(document="doc-4")) == [second, first], "removed, added"
        assert list(handle.log(since="main~1")) == list(handle.log(document="doc-3", since="main~1")) == [second]
    for n in range(60):  # more than a page
        docs.upsert(records({"doc-3": f"edit {n}", **({"doc-1": f"edit {n}"} if n % 2 else {})}))
    for document, count in (("doc-3", 62), ("doc-1", 32), ("more", 1)):
        here, there = ([c.id for c in repo.dataset("d").log(document=document)] for repo in both.values())
        assert here == there and len(here) == count
