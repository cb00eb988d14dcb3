"""What LangChain's own tests do not ask: pinning, `index` in all modes, filters, MMR, metadata, threads, the loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from word_counts import Slow, counts

pytest.importorskip("langchain_core", reason="no langchain-core: install vecver[langchain]")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import aindex, index
from langchain_core.indexing.base import InMemoryRecordManager
from langchain_core.vectorstores import InMemoryVectorStore

import vecver
from vecver.integrations.langchain import VecverRetriever, VecverVectorStore

Docs = vecver.Dataset | vecver.RemoteDataset
METADATA: dict[str, Any] = {
    "id": 7,
    "text": "of the metadata",
    "title": "Pumps",
    "vector": [1, 2],
    "_id": "x",
    "metadata": {"deep": {"er": [1, None, {"a": []}]}},
    "author": None,
    "tags": [],
    "mixed": [1, "a", None, True],
    "float": 1.0,
    "int": 1,
    "flag": False,
    "text with blanks": "ü\n☃ ",
    "when": "2026-11-27",
    "": "empty name",
}


class Words(Embeddings):
    """Counts four words."""

    model = "four-words"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [counts(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return counts(text)


class SlowWords(Slow, Embeddings):
    """As `Words`, after a while."""


@pytest.fixture
def store(docs: Docs) -> VecverVectorStore:
    """Three texts of a house."""
    texts = ["The pump is red", "The valve of the pump", "The key of the lift"]
    metadatas: list[dict[str, Any]] = [
        {"floor": 0, "tags": ["water"]},
        {"floor": 1, "tags": ["water", "heat"]},
        {"floor": 2},
    ]
    return VecverVectorStore.from_texts(texts, Words(), metadatas, ids=["a", "b", "c"], dataset=docs)


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_scores_are_the_cosines(store: VecverVectorStore) -> None:
    (first, best), (second, next_best), _ = store.similarity_search_with_score("pump", k=3)
    assert (first.id, first.page_content, first.metadata) == (
        "a",
        "The pump is red",
        {"floor": 0, "tags": ["water"]},
    )
    assert best == pytest.approx(1.0, abs=1e-7)
    # (1, 0, 0, 0, 1/8) and (1, 1, 0, 0, 1/8): (1 + 1/64) / (sqrt(65)/8 * sqrt(129)/8)
    assert second.id == "b" and next_best == pytest.approx(65 / (65 * 129) ** 0.5, abs=1e-7)
    answer = store.answer("pump", k=3)
    assert [hit.score for hit in answer] == [score for _, score in store.similarity_search_with_score("pump", k=3)]


def test_relevance_is_from_0_to_1_and_can_be_a_threshold(store: VecverVectorStore, recwarn: Any) -> None:
    for word in ("pump", "valve", "key", "lift"):
        scores = [score for _, score in store.similarity_search_with_relevance_scores(word, k=3)]
        assert all(0 <= score <= 1 for score in scores)
    assert not [warning for warning in recwarn if "Relevance" in str(warning.message)]
    how = {"score_threshold": 0.9, "k": 3}
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs=how)
    assert ids(retriever.invoke("pump")) == ["a"]
    assert ids(asyncio.run(retriever.ainvoke("pump"))) == ["a"]


def test_filters_are_those_of_the_dataset(store: VecverVectorStore) -> None:
    for condition, expected in (
        ({"floor": {"$gte": 1}}, {"b", "c"}),
        ({"tags": "heat"}, {"b"}),
        ({"$or": [{"floor": 0}, {"tags": {"$exists": False}}]}, {"a", "c"}),
        ({"nowhere": "x"}, set()),
        ({"nowhere": {"$ne": "x"}}, {"a", "b", "c"}),
    ):
        assert set(ids(store.similarity_search("pump", k=3, filter=condition))) == expected, condition
    assert ids(store.as_retriever(search_kwargs={"filter": {"floor": 2}}).invoke("pump")) == ["c"]
    with pytest.raises(vecver.InvalidInputError) as refused:
        store.similarity_search("pump", filter={"floor": {"$near": 1}})
    assert refused.value.code == "invalid_filter"


@pytest.mark.parametrize(("k", "fetch_k", "lambda_mult"), [(3, 20, 0.5), (4, 6, 0.1), (2, 3, 0.9), (3, 2, 0.0)])
def test_mmr_is_that_of_langchain(docs: Docs, k: int, fetch_k: int, lambda_mult: float) -> None:
    texts = ["pump " * n + "valve " * m + "key " * (n * m % 3) for n in range(1, 5) for m in range(4)]
    store = VecverVectorStore.from_texts(texts, Words(), dataset=docs)
    reference = InMemoryVectorStore.from_texts(texts, Words())
    how: dict[str, Any] = {"k": k, "fetch_k": max(k, fetch_k), "lambda_mult": lambda_mult}
    expected = [d.page_content for d in reference.max_marginal_relevance_search("pump pump valve", **how)]
    how["fetch_k"] = fetch_k
    assert [d.page_content for d in store.max_marginal_relevance_search("pump pump valve", **how)] == expected
    by_vector = store.max_marginal_relevance_search_by_vector(counts("pump pump valve"), **how)
    assert [d.page_content for d in by_vector] == expected
    retriever = store.as_retriever(search_type="mmr", search_kwargs=how)
    assert [d.page_content for d in asyncio.run(retriever.ainvoke("pump pump valve"))] == expected


def test_mmr_where_vecver_embeds(docs: Docs) -> None:
    docs.upsert([{"id": str(n), "text": text} for n, text in enumerate(["pump", "pump", "lift"])], embedder="hashing")
    store = VecverVectorStore(docs)
    assert "2" in ids(store.max_marginal_relevance_search("pump", k=2, lambda_mult=0.0))
    assert set(ids(store.max_marginal_relevance_search("pump", k=2, lambda_mult=1.0))) == {"0", "1"}


@pytest.mark.usefixtures("modes")
def test_modes(docs: Docs) -> None:
    """A model that knows four words finds no gate; keywords do, and hybrid search weighs both."""
    texts = ["The red pump", "A valve of a pump", "Gate number 7"]
    store = VecverVectorStore.from_texts(texts, Words(), ids=["a", "b", "c"], dataset=docs)
    assert ids(store.similarity_search("gate pump", k=1)) == ["a"]
    assert ids(store.similarity_search("gate", k=3, mode="keyword")) == ["c"]
    for weight, first in ((0.1, "c"), (0.9, "a")):
        assert ids(store.similarity_search("gate pump", k=1, mode="hybrid", weight=weight)) == [first]
    for mode in ("keyword", "hybrid"):
        scores = [score for _, score in store.similarity_search_with_relevance_scores("gate pump", k=3, mode=mode)]
        assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores) and scores[0] > 0
    assert ids(store.max_marginal_relevance_search("gate pump", k=1, mode="hybrid", weight=0.1)) != []
    with pytest.raises(vecver.InvalidInputError) as refused:
        store.max_marginal_relevance_search("gate", mode="keyword")
    assert refused.value.code == "invalid_mode"
    how: dict[str, Any] = {"dataset": docs, "embedding": Words(), "k": 1}
    assert ids(VecverRetriever(**how, search_kwargs={"mode": "keyword"}).invoke("gate pump")) == ["c"]


def test_metadata_and_text_come_back_exactly(docs: Docs) -> None:
    store = VecverVectorStore(docs, Words())
    text = "  The pump\n\n ü é é 🙂  "
    assert store.add_documents([Document(id="a", page_content=text, metadata=METADATA)]) == ["a"]
    for document in (*store.get_by_ids(["a"]), *store.similarity_search("pump")):
        assert document == Document(id="a", page_content=text, metadata=METADATA)
        assert {name: type(value) for name, value in document.metadata.items()} == {
            name: type(value) for name, value in METADATA.items()
        }
    for condition in ({"title": "Pumps"}, {"id": 7}, {"vector": 2}, {"author": {"$exists": False}}):
        assert ids(store.similarity_search("pump", filter=condition)) == ["a"], condition
    assert docs.get("a").title == ""


def test_many_documents_keep_metadata_with_names_of_fields(docs: Docs) -> None:
    texts = [f"pump {number}" for number in range(200)]
    store = VecverVectorStore(docs, Words())
    names = store.add_texts(texts, [{"id": number, "title": None, "n": number} for number in range(200)])
    found = {document.id: document for document in store.get_by_ids(names)}
    assert [found[name].metadata for name in names] == [{"id": n, "title": None, "n": n} for n in range(200)]
    assert [found[name].page_content for name in names] == texts


def test_a_store_is_pinned_and_writes_on_its_branch(store: VecverVectorStore, docs: Docs) -> None:
    docs.tag("v1")
    docs.promote("prod")
    first = docs.resolve("main")
    store.add_texts(["The pump pump pump"], ids=["d"])
    store.delete(["a"])
    assert set(ids(store.similarity_search("pump", k=9))) == {"b", "c", "d"}
    for ref in ("v1", first, "prod", "main~2"):
        pinned = VecverVectorStore(docs, Words(), ref)
        assert set(ids(pinned.similarity_search("pump", k=9))) == {"a", "b", "c"}
        assert ids(pinned.get_by_ids(["a", "d"])) == ["a"]
    for ref in ("v1", first, "main~2"):
        pinned, before = VecverVectorStore(docs, Words(), ref), docs.resolve("main")
        for write in (lambda: pinned.add_texts(["x"]), lambda: pinned.delete(["b"]), pinned.delete):  # noqa: B023
            with pytest.raises(vecver.ConflictError) as refused:
                write()
            assert refused.value.code == "pinned_store" and "ref='main'" in refused.value.hint
        assert docs.resolve("main") == before
    VecverVectorStore(docs, Words(), "prod").add_texts(["The lift"], ids=["e"])  # followed by readers once promoted
    assert "e" in docs.documents("main") and "e" not in docs.documents("prod")
    docs.branch("trial")
    VecverVectorStore(docs, Words(), "trial", "trial").delete()
    assert docs.documents("trial") == [] and len(docs.documents("main")) == 4


def test_what_is_not_there(docs: Docs) -> None:
    empty = VecverVectorStore(docs, Words())
    assert empty.similarity_search("pump") == empty.get_by_ids(["a"]) == empty.max_marginal_relevance_search("x") == []
    assert empty.similarity_search_with_relevance_scores("pump") == []
    assert empty.delete(["a"]) and empty.delete() and empty.add_texts([]) == []
    with pytest.raises(vecver.NotFoundError):
        VecverVectorStore(docs, Words(), "v1").similarity_search("pump")
    empty.add_texts(["pump"], ids=["a"])
    for call in (lambda s: s.similarity_search("pump"), lambda s: s.get_by_ids(["a"])):
        with pytest.raises(vecver.NotFoundError):
            call(VecverVectorStore(docs, Words(), "nowhere"))
    with pytest.raises(vecver.NotFoundError):
        VecverVectorStore(docs, Words(), "main", "nowhere").add_texts(["x"])


def test_bad_input_is_an_error_and_writes_nothing(docs: Docs) -> None:
    store = VecverVectorStore(docs, Words())
    store.add_texts(["pump"], ids=["a"])
    before = docs.resolve("main")
    wrong: list[tuple[Any, str]] = [
        (lambda: store.add_texts(["x", "y"], [{}]), "invalid_rows"),
        (lambda: store.add_texts(["x"], ids=["b", "c"]), "invalid_rows"),
        (lambda: store.add_texts(["x", ""], ids=["b", "c"]), "documents_failed"),
        (lambda: store.add_texts(["x", "y"], [{}, {"n": float("nan")}]), "documents_failed"),
        (lambda: VecverVectorStore(docs, Words(), fingerprint=" "), "bad_embedder"),
        (lambda: VecverVectorStore.from_texts(["x"], Words()), "no_dataset"),
        (lambda: store.similarity_search("pump", k=0), "invalid_k"),
    ]
    for call, code in wrong:
        with pytest.raises(vecver.InvalidInputError) as refused:
            call()
        assert refused.value.code == code
    options: dict[str, Any] = {"namespace": "x"}
    for call in (lambda: store.add_texts(["x"], **options), lambda: store.delete(["a"], **options)):
        with pytest.raises(TypeError):
            call()
    other = VecverVectorStore(docs, Words(), fingerprint="another model")
    for call in (lambda: other.add_texts(["x"]), lambda: other.similarity_search("pump")):
        with pytest.raises(vecver.SpaceMismatchError):
            call()
    assert docs.resolve("main") == before and docs.show().recipe.embedder["name"] == "Words four-words"


def test_the_last_text_of_an_id_stays(docs: Docs) -> None:
    store = VecverVectorStore(docs, Words())
    assert store.add_texts(["pump", "valve"], ids=["a", "a"]) == ["a", "a"]
    assert [document.page_content for document in store.get_by_ids(["a"])] == ["valve"]
    names = store.add_texts(["key", "key"])  # two documents, although the texts are equal
    assert len(set(names)) == 2 and len(docs.documents()) == 3


def test_a_retriever_says_where_a_passage_stands(docs: Docs, tmp_path: Any) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "heating.md").write_text("# Heating\n\n## Bleeding\n\nOpen the valve with the key.\n")
    docs.ingest(tmp_path / "pages", embedder="hashing")
    docs.promote("prod")
    (document,) = VecverRetriever(dataset=docs, ref="prod", k=1).invoke("the valve")
    (hit,) = docs.search("the valve", at="prod", k=1)
    assert document.page_content == hit.text and document.id == "heating.md"
    cited = document.metadata["vecver"]
    assert docs.get(cited["document"], at=cited["commit"]).text[slice(*cited["span"])] == hit.text
    assert (cited["key"], cited["score"], cited["title"]) == (hit.key, hit.score, "Heating")
    assert cited["commit"] == docs.resolve("prod") and cited["headings"] == ["Bleeding"]
    around = VecverRetriever(dataset=docs, search_kwargs={"context": 1}).invoke("the valve", k=1)
    assert around[0].page_content == docs.search("the valve", k=1, context=1)[0].context


# -- index ------------------------------------------------------------------------------------------


def page(text: str, source: str) -> Document:
    return Document(page_content=text, metadata={"source": source})


CORPUS = [page("pump one", "1"), page("pump two", "1"), page("valve", "2"), page("valve", "2")]
CHANGED = [page("pump one", "1"), page("pump three", "1")]


@pytest.mark.filterwarnings("ignore:Using SHA-1")
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("cleanup", "left"),
    [
        (None, {"pump one", "pump two", "pump three", "valve"}),
        ("incremental", {"pump one", "pump three", "valve"}),
        ("full", {"pump one", "pump three"}),
        ("scoped_full", {"pump one", "pump three", "valve"}),
    ],
)
def test_index_in_all_modes(docs: Docs, cleanup: Any, left: set[str], asynchronous: bool) -> None:
    store, records = VecverVectorStore(docs, Words()), InMemoryRecordManager("notes")
    records.create_schema()

    def indexed(documents: list[Document], **how: Any) -> tuple[int, ...]:
        how = {"cleanup": cleanup, "source_id_key": "source", **how}
        if asynchronous:
            result = asyncio.run(aindex(documents, records, store, **how))
        else:
            result = index(documents, records, store, **how)
        return tuple(result[name] for name in ("num_added", "num_updated", "num_skipped", "num_deleted"))

    assert indexed(CORPUS) == (3, 0, 1, 0)
    before = docs.resolve("main")
    assert indexed(CORPUS) == (0, 0, 4, 0) and docs.resolve("main") == before  # nothing changed: no commit
    added, updated, skipped, deleted = indexed(CHANGED)
    assert (added, updated, skipped, deleted) == (1, 0, 1, {None: 0, "full": 2}.get(cleanup, 1))
    assert {document.text for document in docs.get(docs.documents())} == left
    assert indexed(CHANGED, force_update=True)[1] == 2
    assert {document.text for document in docs.get(docs.documents(before), at=before)} == {
        "pump one",
        "pump two",
        "valve",
    }
    if cleanup == "full":
        assert indexed([])[3] == 2 and docs.documents() == []
        assert indexed(CORPUS) == (3, 0, 1, 0)  # after the version without documents


# -- threads and the event loop -----------------------------------------------------------------------


def test_adds_at_once_all_land(docs: Docs) -> None:
    store = VecverVectorStore(docs, Words())
    store.add_texts(["pump"], ids=["first"])

    def add(number: int) -> list[str]:
        return store.add_texts([f"pump {number}"], ids=[str(number)])

    with ThreadPoolExecutor(8) as pool:
        assert sorted(chain.from_iterable(pool.map(add, range(8)))) == [str(number) for number in range(8)]
    assert docs.documents() == sorted(["first", *(str(number) for number in range(8))])

    async def gathered() -> None:
        await asyncio.gather(*(store.aadd_texts(["valve"], ids=[f"async {number}"]) for number in range(6)))

    asyncio.run(gathered())
    assert len(docs.documents()) == 15


def test_asynchronous_methods_leave_the_loop_free(docs: Docs) -> None:
    """While each call takes 0.4 s, a coroutine that wakes every 10 ms goes on; on a blocked loop it would not."""
    store = VecverVectorStore(docs, SlowWords(0.4), fingerprint="four words")
    retriever = VecverRetriever(dataset=docs, embedding=SlowWords(0.4), fingerprint="four words")

    async def ticks_during(call: Any) -> int:
        ticks = 0

        async def heartbeat() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        beating = asyncio.create_task(heartbeat())
        await call
        beating.cancel()
        return ticks

    async def measured() -> dict[str, int]:
        calls = {
            "add": store.aadd_texts(["The pump"], ids=["a"]),
            "search": store.asimilarity_search("pump"),
            "score": store.asimilarity_search_with_score("pump"),
            "relevance": store.asimilarity_search_with_relevance_scores("pump"),
            "mmr": store.amax_marginal_relevance_search("pump"),
            "retriever": retriever.ainvoke("pump"),
        }
        return {name: await ticks_during(call) for name, call in calls.items()}

    ticks = asyncio.run(measured())
    assert all(count >= 5 for count in ticks.values()), ticks


def test_no_asynchronous_method_calls_the_dataset_on_the_loop(docs: Docs) -> None:
    """Each runs on another thread than the loop's, whatever it calls."""
    store = VecverVectorStore(docs, Words())
    store.add_texts(["The pump"], ids=["a"])
    loop_thread: list[int] = []
    seen: Any = Watched(docs, loop_thread)
    store = VecverVectorStore(seen, Words())

    async def all_of_them() -> None:
        loop_thread.append(threading.get_ident())
        await store.aadd_documents([Document(page_content="valve", id="b")])
        await store.aget_by_ids(["a"])
        await store.asimilarity_search_by_vector(counts("pump"))
        await store.asimilarity_search_with_relevance_scores("pump")
        await store.amax_marginal_relevance_search_by_vector(counts("pump"))
        await store.adelete(["b"])
        await VecverVectorStore.afrom_texts(["key"], Words(), ids=["c"], dataset=seen)

    asyncio.run(all_of_them())
    assert seen.calls >= {"upsert", "get", "search", "delete", "show"} and not seen.on_the_loop


class Watched:
    """A dataset's handle that notes the names of its calls, and those made on the event loop's thread."""

    def __init__(self, docs: Docs, loop_thread: list[int]) -> None:
        self._docs, self._loop_thread = docs, loop_thread
        self.calls: set[str] = set()
        self.on_the_loop: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.calls.add(name)
        if threading.get_ident() in self._loop_thread:
            self.on_the_loop.add(name)
        return getattr(self._docs, name)
