"""LlamaIndex on a folder and on a live service: its filters and modes, indexes on a store, nodes, pinning, the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from word_counts import Slow, counts

pytest.importorskip("llama_index.core", reason="no llama-index-core: install vecver[llamaindex]")

from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

import vecver
from vecver.integrations.llamaindex import VecverRetriever, VecverVectorStore

Docs = vecver.Dataset | vecver.RemoteDataset
Op = FilterOperator


class Words(BaseEmbedding):
    """Counts four words."""

    model_name: str = "four-words"

    def _get_text_embedding(self, text: str) -> list[float]:
        return counts(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return counts(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return counts(query)


def nodes() -> list[TextNode]:
    def node(number: int, vector: list[float], metadata: dict[str, Any], source: str) -> TextNode:
        relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
        how: dict[str, Any] = {"embedding": vector, "metadata": metadata, "relationships": relationships}
        return TextNode(text=f"text {number}", id_=f"n{number}", **how)

    return [
        node(0, [1.0, 0, 0], {"rank": 1, "theme": "a", "tags": ["x", "y"]}, "r0"),
        node(1, [0, 1.0, 0], {"rank": 2, "theme": "b"}, "r0"),
        node(2, [0, 0, 1.0], {"rank": 3, "theme": "a", "quality": "high", "empty": []}, "r1"),
    ]


@pytest.fixture
def store(docs: Docs) -> VecverVectorStore:
    store = VecverVectorStore(docs)
    assert store.add(nodes()) == ["n0", "n1", "n2"]
    return store


def query(**how: Any) -> VectorStoreQuery:
    return VectorStoreQuery(**{"query_embedding": [1.0, 0.1, 0], "similarity_top_k": 3, **how})


def of(key: str, value: Any, operator: FilterOperator = Op.EQ) -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=operator)


def all_of(*filters: MetadataFilter | MetadataFilters, by: str = "and") -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=FilterCondition(by))


def test_a_query(store: VecverVectorStore) -> None:
    answer = store.query(query())
    assert answer.nodes and answer.similarities
    assert answer.ids == ["n0", "n1", "n2"]
    # (1, 0.1, 0) has the length sqrt(1.01)
    assert answer.similarities == pytest.approx([1 / 1.01**0.5, 0.1 / 1.01**0.5, 0.0], abs=1e-7)
    assert answer.nodes[0].get_content() == "text 0" and answer.nodes[0].ref_doc_id == "r0"
    assert answer.nodes[0].metadata == {"rank": 1, "theme": "a", "tags": ["x", "y"]}
    assert store.query(query(doc_ids=["r0"])).ids == ["n0", "n1"]
    assert store.query(query(node_ids=["n2", "n9"])).ids == ["n2"]
    assert store.query(query(doc_ids=[], node_ids=[])).ids == ["n0", "n1", "n2"]
    assert store.query(query(), min_score=0.5).ids == ["n0"]


FILTERS: list[tuple[MetadataFilters, set[int]]] = [
    (all_of(of("theme", "a")), {0, 2}),
    (all_of(of("theme", "a", Op.NE)), {1}),
    (all_of(of("rank", 2, Op.GTE)), {1, 2}),
    (all_of(of("rank", 2, Op.LT)), {0}),
    (all_of(of("theme", ["b", "c"], Op.IN)), {1}),
    (all_of(of("theme", ["b"], Op.NIN)), {0, 2}),
    (all_of(of("quality", None, Op.IS_EMPTY)), {0, 1}),
    (all_of(of("empty", None, Op.IS_EMPTY)), {0, 1, 2}),
    (all_of(of("tags", "x", Op.CONTAINS)), {0}),
    (all_of(of("tags", ["x", "y"], Op.ALL)), {0}),
    (all_of(of("tags", ["x", "z"], Op.ALL)), set()),
    (all_of(of("tags", ["x", "z"], Op.ANY)), {0}),
    (all_of(of("quality", "ig", Op.TEXT_MATCH)), {2}),
    (all_of(of("theme", "a"), by="not"), {1}),
    (all_of(of("theme", "b"), of("rank", 1), by="or"), {0, 1}),
    (all_of(of("theme", "b"), of("rank", 1), by="not"), {2}),
    (all_of(of("theme", "a"), all_of(of("rank", 1), of("rank", 2), by="or")), {0}),
    (all_of(all_of(of("theme", "a"), of("rank", 3)), all_of(of("rank", 1), by="not"), by="and"), {2}),
    (all_of(all_of(of("theme", "a"), of("rank", 3)), by="not"), {0, 1}),
    (all_of(of("nowhere", "a")), set()),
    (all_of(of("nowhere", "a", Op.NE)), {0, 1, 2}),
    (all_of(of("nowhere", None, Op.IS_EMPTY)), {0, 1, 2}),
    (all_of(of("nowhere", 1), of("theme", "b"), by="or"), {1}),
    (MetadataFilters(filters=[]), {0, 1, 2}),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=[str(number) for number in range(len(FILTERS))])
def test_filters(store: VecverVectorStore, filters: MetadataFilters, expected: set[int]) -> None:
    ids = {f"n{number}" for number in expected}
    assert set(store.query(query(filters=filters)).ids or []) == ids
    assert {node.node_id for node in store.get_nodes(filters=filters)} == ids
    if not any(isinstance(part, MetadataFilters) for part in filters.filters):  # LlamaIndex's own takes no nested ones
        simple = SimpleVectorStore()
        simple.add(list(nodes()))
        assert set(simple.query(query(filters=filters)).ids or []) == ids


def test_a_filter_that_cannot_be_asked(store: VecverVectorStore) -> None:
    for filters in (all_of(of("theme", "A", Op.TEXT_MATCH_INSENSITIVE)), all_of(of("theme", 1))):
        with pytest.raises(vecver.InvalidInputError):
            store.query(query(filters=filters))


def test_modes(store: VecverVectorStore) -> None:
    near = TextNode(text="text 3", id_="n3", embedding=[1.0, 0.01, 0])
    store.add([near])
    assert store.query(query(similarity_top_k=2)).ids == ["n3", "n0"]
    mmr = VectorStoreQueryMode.MMR
    assert store.query(query(similarity_top_k=2, mode=mmr, mmr_threshold=1.0)).ids == ["n3", "n0"]
    assert (store.query(query(similarity_top_k=2, mode=mmr)).ids or [])[1] in ("n1", "n2")
    assert (store.query(query(similarity_top_k=2, mode=mmr), mmr_threshold=0.2).ids or [])[1] in ("n1", "n2")
    with pytest.raises(vecver.InvalidInputError) as refused:
        store.query(query(mode=VectorStoreQueryMode.SVM))
    assert refused.value.code == "invalid_mode" and "mmr" in refused.value.hint


@pytest.mark.usefixtures("modes")
def test_modes_with_keywords(store: VecverVectorStore, docs: Docs) -> None:
    store.add([TextNode(text="the gate", id_="gate", embedding=[0.0, 0.0, 1.0])])
    for mode in (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH):
        assert store.query(query(mode=mode, query_str="gate")).ids == ["gate"]
        assert store.query(query(mode=mode, query_str="gate", filters=all_of(of("theme", "a")))).ids == []
        with pytest.raises(vecver.InvalidInputError):
            store.query(query(mode=mode))
    for alpha, first in ((0.0, "gate"), (1.0, "n0")):
        answer = store.query(query(mode=VectorStoreQueryMode.HYBRID, query_str="gate", alpha=alpha, hybrid_top_k=1))
        assert answer.ids == [first]
    (found,) = VecverRetriever(docs, similarity_top_k=1, mode="keyword").retrieve("gate")
    assert found.node.node_id == "gate"


def test_deleting(store: VecverVectorStore, docs: Docs) -> None:
    first = docs.resolve("main")
    store.delete_nodes(["n0", "n9"])
    store.delete_nodes(["n1", "n2"], all_of(of("rank", 2)))
    assert [node.node_id for node in store.get_nodes()] == ["n2"]
    with pytest.raises(vecver.InvalidInputError):
        store.delete_nodes()
    with pytest.raises(vecver.InvalidInputError):  # "every node that has not this value" is a slip of the pen here
        store.delete_nodes(filters=all_of(of("nowhere", 1, Op.NE)))
    store.delete("r1")
    store.delete("r1")
    assert store.get_nodes() == [] and store.query(query()).ids == []
    store.add(nodes()[:1])
    store.clear()
    store.delete("r0")
    assert store.get_nodes() == []
    assert VecverVectorStore(docs, ref=first).query(query()).ids == ["n0", "n1", "n2"]


def test_before_the_first_version(docs: Docs) -> None:
    store = VecverVectorStore(docs)
    assert store.query(query()).ids == [] and store.get_nodes() == [] and store.add([]) == []
    store.delete("r0")
    store.delete_nodes(["n0"])
    store.clear()
    with pytest.raises(vecver.NotFoundError):
        VecverVectorStore(docs, ref="v1")


def test_an_index_on_a_store(docs: Docs) -> None:
    store = VecverVectorStore(docs, Words())
    documents = [Document(text=f"The pump {'valve ' * n}", id_=f"d{n}") for n in range(5)]
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=Words())
    found = index.as_retriever(similarity_top_k=3).retrieve("pump")
    assert found[0].node.ref_doc_id == "d0" and len(found) == 3
    docs.tag("v1")
    index.delete_ref_doc("d1")
    assert len(store.get_nodes()) == 4
    index.insert(Document(text="The lift", id_="d9"))
    assert len(store.get_nodes()) == 5
    for ref, best in (("main", "d9"), ("v1", "d0")):
        pinned = VectorStoreIndex.from_vector_store(VecverVectorStore(docs, ref=ref), embed_model=Words())
        assert pinned.as_retriever(similarity_top_k=1).retrieve("lift")[0].node.ref_doc_id == best
        filters = all_of(of("nowhere", 1))
        assert pinned.as_retriever(filters=filters).retrieve("lift") == []
    assert docs.show().recipe.embedder["name"] == "Words four-words"
    with pytest.raises(vecver.SpaceMismatchError):
        VecverVectorStore(docs, fingerprint="another").query(VectorStoreQuery(query_embedding=[0.0] * 4 + [1.0]))


def test_nodes_survive(docs: Docs) -> None:
    store = VecverVectorStore(docs)
    related: dict[NodeRelationship, Any] = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="r", metadata={"page": None}, hash="h"),
        NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="p"),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
    }
    metadata = {"id": 7, "title": "T", "none": None, "empty": [], "_node_content": "x", "deep": {"er": [None]}}
    how: dict[str, Any] = {"metadata": metadata, "relationships": related, "embedding": [1.0, 0.0]}
    unusual: dict[str, Any] = {"excluded_llm_metadata_keys": ["id"], "text_template": "<{content}>"}
    given = [
        TextNode(id_="t", text="  a text\n", start_char_idx=3, **unusual, **how),
        ImageNode(id_="i", text="of an image", image="aGk=", image_mimetype="image/png", **how),
        IndexNode(id_="x", text="leads on", index_id="other", **how),
        Node(id_="n", text_resource=MediaResource(text="resource", mimetype="text/plain"), **how),
    ]
    store.add(given)
    expected = {node.node_id: {**node.model_dump(mode="json"), "embedding": None} for node in given}
    for found in (
        store.get_nodes(),
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=9)).nodes,
    ):
        assert found and {node.node_id: node.model_dump(mode="json") for node in found} == expected
        assert {type(node) for node in found} == {TextNode, ImageNode, IndexNode, Node}
    assert [node.node_id for node in store.get_nodes(filters=all_of(of("title", "T")), node_ids=["t", "x"])] == [
        "t",
        "x",
    ]


def test_where_vecver_embeds(docs: Docs, tmp_path: Any) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "heating.md").write_text("# Heating\n\n## Bleeding\n\nOpen the valve with the key.\n")
    docs.ingest(tmp_path / "pages", embedder="hashing")
    docs.promote("prod")
    store = VecverVectorStore(docs, ref="prod")
    assert not store.is_embedding_query
    index = VectorStoreIndex.from_vector_store(store, embed_model=Words())
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("the valve")
    (hit,) = docs.search("the valve", at="prod", k=1)
    assert (found.node.get_content(), found.score, found.node.ref_doc_id) == (hit.text, hit.score, "heating.md")
    (cited,) = VecverRetriever(docs, ref="prod", similarity_top_k=1).retrieve("the valve")
    where = cited.node.metadata["vecver"]
    assert docs.get(where["document"], at=where["commit"]).text[slice(*where["span"])] == hit.text
    assert where["headings"] == ["Bleeding"] and "commit" not in cited.node.get_content(metadata_mode="llm")
    writable = VecverVectorStore(docs)
    writable.add([TextNode(text="The lift is new", id_="n0")])
    assert writable.query(VectorStoreQuery(query_str="lift", similarity_top_k=1)).ids == ["n0"]
    with pytest.raises(vecver.InvalidInputError):  # the vectors of another model
        writable.add([TextNode(text="x", id_="n1", embedding=[1.0, 0.0])])
    writable.delete("heating.md")
    assert docs.documents() == ["n0"] and docs.documents("prod") == ["heating.md"]


def test_a_pinned_store_refuses_writes(store: VecverVectorStore, docs: Docs) -> None:
    docs.tag("v1")
    pinned, before = VecverVectorStore(docs, ref="v1"), docs.resolve("main")
    writes = (
        lambda: pinned.add(nodes()),
        lambda: pinned.delete("r0"),
        lambda: pinned.delete_nodes(["n0"]),
        pinned.clear,
    )
    for write in writes:
        with pytest.raises(vecver.ConflictError) as refused:
            write()
        assert refused.value.code == "pinned_store"
    assert docs.resolve("main") == before


def test_bad_input_writes_nothing(store: VecverVectorStore, docs: Docs) -> None:
    before = docs.resolve("main")
    one, other = TextNode(text="x", id_="a", embedding=[1.0, 0, 0]), TextNode(text="y", id_="b")
    for call in (
        lambda: store.add([one, other]),
        lambda: store.add([TextNode(text="", id_="a", embedding=[1.0, 0, 0])]),
        lambda: store.add([TextNode(text="x", id_="a", embedding=[float("nan"), 0, 0])]),
        lambda: store.add([TextNode(text="x", id_="a", embedding=[1.0, 0])]),
        lambda: store.query(VectorStoreQuery()),
        lambda: VecverVectorStore(docs, fingerprint=""),
    ):
        with pytest.raises(vecver.InvalidInputError):
            call()
    options: dict[str, Any] = {"namespace": "x"}
    with pytest.raises(TypeError):
        store.add([one], **options)
    assert docs.resolve("main") == before


class Model(Slow):
    """Takes 0.3 s for every call."""

    fingerprint = "llamaindex"

    def get_query_embedding(self, text: str) -> list[float]:
        self.embed_query(text)
        return [1.0, 0.1, 0.0]

    def get_agg_embedding_from_queries(self, texts: list[str]) -> list[float]:
        return self.get_query_embedding(texts[0])


def test_asynchronous_methods_leave_the_loop_free(store: VecverVectorStore, docs: Docs) -> None:
    """A coroutine that wakes every 10 ms goes on while a call takes 0.3 s; and all calls do the same as the others."""
    slow = VecverVectorStore(docs, Model(0.3))
    retriever = VecverRetriever(docs, Model(0.3), similarity_top_k=1)

    async def ticks_during(call: Any) -> tuple[int, Any]:
        ticks = 0

        async def heartbeat() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        beating = asyncio.create_task(heartbeat())
        result = await call
        beating.cancel()
        return ticks, result

    async def measured() -> None:
        ticks, answer = await ticks_during(slow.aquery(VectorStoreQuery(query_str="x", similarity_top_k=1)))
        assert ticks >= 4 and answer.ids == ["n0"]
        ticks, (found,) = await ticks_during(retriever.aretrieve("x"))
        assert ticks >= 4 and found.node.node_id == "n0"
        seen = threads_of(store)
        assert await store.async_add([TextNode(text="new", id_="n9", embedding=[1.0, 1, 1])]) == ["n9"]
        assert len(await store.aget_nodes()) == 4
        await store.adelete("r0")
        await store.adelete_nodes(["n9"])
        assert [node.node_id for node in await store.aget_nodes()] == ["n2"]
        await store.aclear()
        assert await store.aget_nodes() == []
        assert seen and threading.get_ident() not in seen

    asyncio.run(measured())


def threads_of(store: VecverVectorStore) -> set[int]:
    """The threads on which a store calls its dataset from now on."""
    threads: set[int] = set()
    pinned = store._pinned

    class Watched:
        def __getattr__(self, name: str) -> Any:
            threads.add(threading.get_ident())
            return getattr(pinned.dataset, name)

    store._pinned = type(pinned)(Watched(), pinned.ref, pinned.branch)  # type: ignore[arg-type]
    return threads
