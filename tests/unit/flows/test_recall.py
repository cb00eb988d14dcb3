"""Recall: what is measured is true, stays beside its commit, and never touches it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from failing import Failing, PowerFailure, assert_nothing_is_half_there, power_failure
from helpers import DIM, Ticking, ingest, open_on, records, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.cli import main
from vecver.cli.screens.chart import recall_chart
from vecver.errors import IntegrityError, InvalidInputError, NotFoundError, SpaceMismatchError, VecverError
from vecver.flows.evaluating.index_recall import DRAWN
from vecver.flows.evaluating.index_recall import _shares as shares
from vecver.index import faiss
from vecver.model import Vectors
from vecver.repo.rows.schema import chunk_key
from vecver.store import MemoryStore, Store
from vecver.store.api import writing

TEXTS = {f"doc-{i:03}": f"the text number {i}" for i in range(150)}
ROWS, WIDE = 24_000, 48


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    return docs


@pytest.fixture(scope="module")
def large() -> vecver.Dataset:
    """A version whose one segment has an index, and `half` after it, in which half of the documents died."""
    docs = open_on(MemoryStore()).dataset("large")
    vectors = np.random.default_rng(5).standard_normal((ROWS, WIDE)).astype(np.float32)
    rows = [{"id": str(i), "text": str(i), "vector": vector} for i, vector in enumerate(vectors)]
    docs.ingest(rows, space="test", label="rows")
    docs.tag("whole")
    docs.ingest(rows[: ROWS // 2], space="test", label="rows", allow_removals=True)
    docs.tag("half")
    return docs


def strangers(count: int) -> Vectors:
    """Queries that lie anywhere, so that the index misses some of what is near them."""
    return np.random.default_rng(6).standard_normal((count, WIDE)).astype(np.float32)


def emptied(docs: vecver.Dataset, **how: Any) -> None:
    """A version without a chunk: its only document cannot be read."""
    docs.ingest([{"id": "blank", "text": "", "vector": vector_of("")}], space="test", allow_removals=True, **how)


# -- what is measured is true -------------------------------------------------------------------


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is always the cheaper way, however few rows there are."""
    monkeypatch.setattr(faiss.costs, "_PROBE", -(10**9))


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("at", ["whole", "half"])
def test_ann_recall_is_the_share_of_the_true_hits_that_a_search_finds(large: vecver.Dataset, at: str) -> None:
    queries = list(strangers(40))
    measured = large.recall(at, queries=queries, k=[50, 1, 10])
    assert [one.k for one in measured.at] == [50, 1, 10]
    for one in measured.at:
        assert one.engine == large.search(queries[0], at=at, k=one.k).receipt["engine"]["name"]
        got, true = (large.search(queries, at=at, k=one.k, exact=exact) for exact in (False, True))
        shares = [len({h.key for h in a} & {h.key for h in b}) / one.k for a, b in zip(got, true, strict=True)]
        assert one.ann_recall == pytest.approx(np.mean(shares), abs=1e-12)
        assert 0 < one.p50_ms <= one.p95_ms <= one.p99_ms and one.queries_per_second > 0
    assert measured[10].engine.startswith("faiss") and 0.5 < measured[10].ann_recall <= 1
    assert measured.index == {
        "chunks": ROWS if at == "whole" else ROWS // 2,
        "indexed": ROWS if at == "whole" else ROWS // 2,
        "rows": ROWS,
        "segments": 1,
    }
    assert measured[10] is measured.at[2]


def test_the_share_by_hand() -> None:
    """Two of four true rows were got; -1 stands where an answer ended early."""
    true = np.array([[1, 2], [3, 4]])
    assert shares(true, np.array([[2, 9], [4, -1]])).mean() == 0.5
    assert shares(true, np.array([[2, 1], [-1, -1]])).mean() == 0.5
    assert shares(true, true[:, ::-1]).mean() == 1.0 and shares(true, true[::-1]).mean() == 0.0


def test_what_the_scan_answers_misses_nothing(docs: vecver.Dataset) -> None:
    measured = docs.recall()
    assert [(one.k, one.ann_recall, one.engine) for one in measured.at] == [
        (1, 1.0, "exact"),
        (10, 1.0, "exact"),
        (100, 1.0, "exact"),
    ]
    assert measured.index == {"chunks": 150, "indexed": 0, "rows": 150, "segments": 1}
    assert (measured.dataset, measured.commit) == ("d", docs.resolve())
    assert set(measured.environment) == {"vecver", "faiss", "python", "machine", "cpus"}
    assert measured.time.startswith("2026-01-01T00:00:")


def test_the_sample_by_hand(docs: vecver.Dataset) -> None:
    """A query is a chunk moved by once, twice, once ... the difference of the next two, of the smallest keys."""
    ordered = [vector_of(text) for _, text in sorted((chunk_key(id, text, 0), text) for id, text in TEXTS.items())]
    for count in (1, 2, 7, 150):
        chosen = np.array(ordered[:count], np.float64)
        apart = (np.roll(chosen, -1, axis=0) - np.roll(chosen, -2, axis=0)) / np.sqrt(2)
        asked = np.array([row + (1 + i % 2) * other for i, (row, other) in enumerate(zip(chosen, apart, strict=True))])
        digest = hashlib.sha256(asked.astype("<f4").tobytes()).hexdigest()
        told = docs.recall(sample=count, k=[1]).queries
        assert told == {"source": "sample", "count": count, "digest": digest, "drawn": DRAWN}


def test_the_worst_query_and_those_below_stand_beside_the_mean(
    large: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four queries one finds nothing, one half of its ten, two all."""
    true = np.arange(40).reshape(4, 10)
    got = true.copy()
    got[0] = -1
    got[1, 5:] = -1
    answers = iter([true, got])
    flow = import_module("vecver.flows.evaluating.index_recall")
    monkeypatch.setattr(flow, "_answers", lambda *_, **__: next(answers))
    monkeypatch.setattr(flow, "engine_of", lambda *_, **__: {"name": f"faiss {faiss.SPEC}"})
    one = large.recall("whole", queries=list(strangers(4)), k=[10])[10]
    assert (one.ann_recall, one.worst, one.below_0_8) == (0.625, 0.0, 0.5)
    assert one.to_json()["worst"] == 0.0 and one.to_json()["below_0_8"] == 0.5


@pytest.mark.usefixtures("indexed")
def test_the_sample_is_as_hard_as_questions_are(large: vecver.Dataset) -> None:
    asked, drawn = large.recall("whole", queries=list(strangers(200)), k=[10]), large.recall("whole", k=[10])
    assert abs(drawn[10].ann_recall - asked[10].ann_recall) <= 0.02


# -- what was measured can be written back ------------------------------------------------------


@pytest.mark.usefixtures("indexed")
def test_apply_raises_what_does_not_suffice_and_never_lowers(store: Store) -> None:
    docs = open_on(store).dataset("d")
    vectors = np.random.default_rng(5).standard_normal((9000, WIDE)).astype(np.float32)
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(vectors)), space="test")
    commit, queries = docs.resolve(), list(strangers(60))
    versions = versions_of(docs)
    (segment,) = versions.snapshot(commit).segments
    lines = {"margins": [[0.0], [0.01]], "widths": [[0.0], [12.0]], "first": [[0.0], [1.0]]}
    small = {"reach": [{**lines, "first_widths": [[0.0], [12.0]]}] * 4}
    versions.put_derived_facts(segment, faiss.SPEC, small)
    other = open_on(store)
    low = other.dataset("d").recall(queries=queries, k=[10])
    assert low[10].ann_recall < 0.9 and low.raised is None and "raised" not in low.to_json()
    high = other.dataset("d").recall(queries=queries, k=[10], apply=True)
    assert high.raised == 1 and high[10].ann_recall >= 0.95 and high.commit == commit
    again = open_on(store)
    assert again.dataset("d").recall(queries=queries, k=[10])[10].ann_recall == high[10].ann_recall
    assert again.dataset("d").recall(queries=queries, k=[10], apply=True).raised == 0
    before = reach_of(again, commit)
    again.dataset("d").recall(queries=list(vectors[:40]), k=[10], apply=True)
    for old, new in zip(before, reach_of(again, commit), strict=True):
        assert all(np.all(np.array(new[name][1]) >= np.array(old[name][1])) for name in ("margins", "widths"))
    assert again.check().clean and again.dataset("d").resolve() == commit


def reach_of(repository: vecver.Repository, commit: str) -> list[Any]:
    versions = versions_of(repository)
    told = versions.derived(versions.snapshot(commit).segments[0], faiss.SPEC)
    assert told is not None
    return list(told[1]["reach"])


# -- where nothing can be written ---------------------------------------------------------------


class ReadOnly(MemoryStore):
    """A store that answers as a file system which is mounted read-only."""

    closed = False

    def put(self, name: str, data: bytes | Path) -> None:
        if self.closed:
            with writing(name):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().put(name, data)


def test_a_version_that_cannot_be_written_to_is_measured_all_the_same() -> None:
    store = ReadOnly()
    docs = open_on(store).dataset("d")
    ingest(docs, TEXTS)
    store.closed = True
    measured = docs.recall(sample=20)
    assert measured[10].ann_recall == 1 and measured.not_kept and "measures/" in measured.not_kept
    assert measured.to_json()["not_kept"] == measured.not_kept and docs.measures() == {}
    store.closed = False
    assert docs.recall(sample=20).not_kept is None and "not_kept" not in docs.measures()["recall"]


def test_the_sample_depends_on_the_content_alone(docs: vecver.Dataset, store: Store) -> None:
    other = open_on(store).dataset("d")
    names = sorted(TEXTS)
    for stop in range(10, 151, 20):
        ingest(other, {**{id: TEXTS[id] for id in reversed(names[:stop])}, "gone": f"a text until {stop}"})
    ingest(other, TEXTS)
    assert len(versions_of(other).snapshot(other.resolve()).segments) > 3
    assert other.show().vector_root == docs.show().vector_root
    assert other.recall(sample=40).queries == docs.recall(sample=40).queries
    assert docs.recall(sample=40).queries != docs.recall(sample=41).queries


def test_defaults_fit_the_version(repository: vecver.Repository) -> None:
    small = repository.dataset("small")
    ingest(small, dict(list(TEXTS.items())[:12]))
    measured = small.recall()
    assert [one.k for one in measured.at] == [1, 10] and measured.queries["count"] == 12
    ingest(small, {"a": "alone"})
    assert [one.k for one in small.recall().at] == [1]


def test_texts_and_vectors_are_queries(repository: vecver.Repository) -> None:
    docs = repository.dataset("texts")
    docs.ingest([{"id": id, "text": text} for id, text in TEXTS.items()], embedder="hashing", chunker="whole")
    measured = docs.recall(queries=["the text number 7", np.ones(256, np.float32)], k=[3])
    assert measured.queries["source"] == "given" and measured.queries["count"] == 2
    assert (
        measured.queries["digest"] == docs.recall(queries=("the text number 7", [1.0] * 256), k=[3]).queries["digest"]
    )


def test_progress_counts_the_queries(docs: vecver.Dataset) -> None:
    told = list[tuple[str, int]]()
    docs.recall(sample=20, k=[1, 5], progress=lambda unit, count, *_: told.append((unit, count)))
    assert told == [("queries", 1)] * 40


# -- it stays beside the commit -----------------------------------------------------------------


def test_a_measure_never_changes_its_version(docs: vecver.Dataset) -> None:
    before, receipt = docs.resolve(), docs.search(vector_of("q")).receipt
    first = docs.recall(sample=5)
    assert docs.measures() == {"recall": {**first.to_json(), "kind": "recall", "format": 1}}
    second = docs.recall(sample=6)
    assert docs.measures()["recall"]["queries"] == second.queries, "the newest of a kind is kept"
    assert docs.resolve() == before and docs.search(vector_of("q")).receipt == receipt
    ingest(docs, {"a": "another version"})
    assert docs.measures() == {} and set(docs.measures("main~1")) == {"recall"}
    assert docs.repository.check().problems == ()
    assert json.loads(json.dumps(second.to_json())) == second.to_json()


COMMIT = "c" * 64
SEAL = "8b2193e0932a5fd3c64ca441f1b3a20bf5ad4fbe73f39a90531b42ff10ea8d52"
BODY = (
    '{"at":[{"ann_recall":0.5,"engine":"exact","k":2,"p50_ms":0.5,"p95_ms":1.0,"p99_ms":2.0,'
    f'"queries_per_second":900.5}}],"commit":"{COMMIT}","dataset":"d","environment":{{"cpus":2}},"format":1,'
    '"index":{"chunks":4,"indexed":0,"rows":4,"segments":1},"kind":"recall",'
    '"queries":{"count":1,"digest":"00","source":"sample"},"time":"2026-01-01T00:00:00.000000+00:00"}'
)


def test_the_bytes_of_a_measure_are_golden() -> None:
    """What format 1 wrote is read, and written again with the same bytes."""
    golden = SEAL.encode() + b"\n" + BODY.encode()
    store = MemoryStore()
    at = vecver.RecallAt(2, 0.5, "exact", 0.5, 1.0, 2.0, 900.5)
    facts = ({"source": "sample", "count": 1, "digest": "00"}, {"chunks": 4, "indexed": 0, "rows": 4, "segments": 1})
    value = vecver.Recall("d", COMMIT, (at,), *facts, {"cpus": 2}, "2026-01-01T00:00:00.000000+00:00").to_json()
    repo.measures.save(store, COMMIT, "recall", value)
    assert store.get(f"measures/{COMMIT}/recall") == golden
    assert repo.measures.load_all(store, COMMIT) == {"recall": {**value, "kind": "recall", "format": 1}}


def test_a_damaged_measure_stops_nobody_and_is_named(docs: vecver.Dataset) -> None:
    store, name = versions_of(docs).store, f"measures/{docs.resolve()}/recall"
    docs.recall(sample=5)
    sound = store.get(name)
    for bad in (b"", sound[:-1], sound + b"\0", b"\0" * len(sound), sound.replace(b'"count":5', b'"count":6')):
        store.put(name, bad)
        told = docs.measures()["recall"]
        assert list(told) == ["damaged"] and name in told["damaged"]
        assert docs.search(vector_of("q")).commit == docs.resolve() and len(list(docs.log())) == 1
        assert [problem.object for problem in docs.repository.check().problems] == [name]
    docs.recall(sample=5)
    assert docs.repository.check().clean and docs.measures()["recall"]["queries"]["count"] == 5


def test_a_measure_of_another_commit_is_no_measure_of_this_one(docs: vecver.Dataset) -> None:
    store = versions_of(docs).store
    docs.recall(sample=5)
    ingest(docs, {"a": "another version"})
    store.put(f"measures/{docs.resolve()}/recall", store.get(f"measures/{docs.resolve('main~1')}/recall"))
    assert "another commit" in docs.measures()["recall"]["damaged"]
    with pytest.raises(IntegrityError) as caught:
        repo.measures.load(store, docs.resolve(), "recall")
    assert caught.value.code == "wrong_measure" and "docs.recall()" in caught.value.hint
    assert len(docs.repository.check().problems) == 1


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_power_failure_at_every_operation(done: bool) -> None:
    def fresh() -> MemoryStore:
        store = MemoryStore()
        ingest(open_on(store).dataset("d"), {"a": "one", "b": "two"})
        open_on(store).dataset("d").recall(sample=1, k=[1])
        return store

    counting = Failing(fresh(), 10**9, done=False, die=power_failure)
    open_on(counting).dataset("d").recall(sample=2, k=[1])
    seen = []
    for n in range(counting.count):
        store = fresh()
        with pytest.raises(PowerFailure):
            open_on(Failing(store, n, done=done, die=power_failure)).dataset("d").recall(sample=2, k=[1])
        docs = open_on(store).dataset("d")
        seen.append(docs.measures()["recall"]["queries"]["count"])
        assert_nothing_is_half_there(store)
        assert docs.repository.check().clean
    assert set(seen) == ({1, 2} if done else {1}) and seen == sorted(seen)


# -- bad input ----------------------------------------------------------------------------------

NAN = np.full(DIM, np.nan, np.float32)


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        *(
            ({"k": k}, InvalidInputError, "invalid_k")
            for k in ([], [0], [-1], [1, 1], [True], [1.0], ["1"], "10", 10, [151])
        ),
        *(({"sample": n}, InvalidInputError, "invalid_sample") for n in (0, -1, 151, True, 2.0, "3")),
        ({"sample": 5, "queries": [np.ones(DIM)]}, InvalidInputError, "conflicting_options"),
        ({"apply": True}, InvalidInputError, "conflicting_options"),
        ({"queries": []}, InvalidInputError, "empty_query"),
        ({"queries": "a text"}, InvalidInputError, "empty_query"),
        ({"queries": [np.ones(DIM), np.ones(DIM + 1)]}, SpaceMismatchError, "wrong_dimension"),
        ({"queries": [NAN]}, InvalidInputError, "invalid_vector"),
        ({"queries": ["a text"]}, SpaceMismatchError, "needs_vector"),
        ({"at": "nowhere"}, NotFoundError, "revision_not_found"),
    ],
)
def test_bad_input_says_what_to_do(docs: vecver.Dataset, how: Any, kind: type[VecverError], code: str) -> None:
    with pytest.raises(kind) as caught:
        docs.recall(**how)
    assert (type(caught.value), caught.value.code) == (kind, code) and caught.value.hint
    assert docs.measures() == {}


def test_an_empty_version_and_an_unknown_dataset(docs: vecver.Dataset) -> None:
    emptied(docs)
    assert docs.show().counts["chunks"] == 0
    with pytest.raises(InvalidInputError) as caught:
        docs.recall()
    assert caught.value.code == "empty_version" and docs.recall("main~1").index["chunks"] == 150
    with pytest.raises(NotFoundError) as missing:
        docs.repository.dataset("nobody").recall()
    assert missing.value.code == "dataset_not_found"


# -- the command line ---------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vecver.Dataset:
    """A repository in the working directory: v1, then v2 which also has the tag `same`, then `empty`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VECVER_REPO", "VECVER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    docs = vecver.open(".vecver", create=True).dataset("d")
    rows = records(TEXTS)
    docs.ingest(rows, space="test", metric="ip", label="rows")
    docs.tag("z-first")
    docs.ingest(rows[:20], space="test", metric="ip", label="rows", allow_removals=True)
    docs.tag("b-second")
    docs.tag("a-same")
    return docs


def run(*arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(main, list(arguments), input=text, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_the_command_and_the_log(here: vecver.Dataset) -> None:
    told = json.loads(run("recall", "d@z-first", "--k", "1,100", "--sample", "7", "--json").stdout)
    assert told["commit"] == here.resolve("z-first") and [at["k"] for at in told["at"]] == [1, 100]
    assert told["queries"]["count"] == 7
    page = run("recall", "d").stdout.splitlines()
    assert page[0] == f"d@main  commit {here.resolve()[:12]}"
    assert page[1] == "  20 chunks, 0 under an index; 20 sampled queries"
    assert page[2].split()[:4] == ["k", "ann_recall", "worst", "below"] and page[3].split()[2:4] == ["1.000", "0.0%"]
    assert "sample: each a chunk's vector moved" in run("recall", "d").stderr
    assert [line.split()[:2] + line.split()[-1:] for line in page[3:]] == [
        ["1", "1.0000", "exact"],
        ["10", "1.0000", "exact"],
    ]
    lines = run("log", "d", "--measures").stdout.splitlines()
    shown = re.compile(r"\trecall: @1 1\.0000 in [\d.]+ ms, .* (20|7) queries · \S{19}")
    assert [number for number, line in enumerate(lines) if shown.fullmatch(line)] == [1, 3]
    assert "recall:" not in run("log", "d").stdout and "measures" not in json.loads(run("log", "d", "--json").stdout)[0]
    entries = json.loads(run("log", "d", "--measures", "--json").stdout)
    assert [entry["measures"]["recall"]["queries"]["count"] for entry in entries] == [20, 7]
    file = Path(".vecver/measures") / here.resolve() / "recall"
    file.write_bytes(file.read_bytes()[:-1])
    assert "recall: damaged, measure again" in run("log", "d", "--measures").stdout
    assert f"measures/{here.resolve()}/recall: " in run("check", code=5).stdout


def test_queries_from_a_file(here: vecver.Dataset) -> None:
    lines = "".join(json.dumps({"vector": vector_of(str(i)).tolist()}) + "\n" for i in range(3))
    Path("queries.jsonl").write_text(lines + "\n")
    for file, text in (("queries.jsonl", None), ("-", lines)):
        told = json.loads(run("recall", "d", "--queries", file, "--json", text=text).stdout)
        assert told["queries"]["source"] == "given" and told["queries"]["count"] == 3


def test_every_tag_in_the_order_of_the_commits_and_a_drawing(here: vecver.Dataset) -> None:
    assert [tags for _, tags in here.tagged()] == [["z-first"], ["a-same", "b-second"]]
    emptied(here, label="rows")
    here.tag("nothing")
    result = run("recall", "d", "--all", "--json")
    told = json.loads(result.stdout)
    assert "not measured: nothing is empty" in result.stderr and told["drawing"] == "d-recall.svg"
    assert [one["tags"] for one in told["measures"]] == [["z-first"], ["a-same", "b-second"]]
    assert {id for id in (c.id for c in here.log()) if here.measures(id)} == {one["commit"] for one in told["measures"]}
    drawing = ElementTree.parse("d-recall.svg").getroot()
    texts = ["".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"ann_recall@k", "p50 latency, ms", "version (tag)", "k = 1", "k = 10", "k = 100"} <= set(texts)
    assert {"z-first", "a-same, b-second"} <= set(texts)
    page = run("recall", "d", "--all", "--out", "other.svg", "--k", "1").stdout
    assert page.endswith("drawn: other.svg\n") and Path("other.svg").exists() and page.count("commit ") == 2


def test_a_drawing_of_many_versions_stays_readable(docs: vecver.Dataset) -> None:
    one = docs.recall(sample=3)
    low = replace(one, at=(replace(one.at[0], ann_recall=0.42, p50_ms=1234.0, engine="faiss hnsw"),))
    page = recall_chart("a<b&c", [(f"v{i}<&\"'", one if i % 2 else low) for i in range(100)])
    drawing = ElementTree.fromstring(page)
    texts = ["".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "a<b&c: recall and latency by version" and {"0.4", "1", "1250"} <= set(texts)
    assert sum(text.startswith("v") and text != "version (tag)" for text in texts) == 25, "as many names as fit"
    lines = [line.get("points", "").split() for line in drawing.iter("{http://www.w3.org/2000/svg}polyline")]
    assert sorted(len(points) for points in lines) == [50, 50, 50, 50, 100, 100]
    width, height = float(drawing.get("width", 0)), float(drawing.get("height", 0))
    places = [tuple(map(float, point.split(","))) for points in lines for point in points]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["d", "--k", "1,x"], 2, "numbers"),
        (["d", "--k", ""], 2, "numbers"),
        (["d", "--k", "0"], 2, "different numbers from 1"),
        (["d", "--k", "21"], 2, "20 chunks"),
        (["d", "--sample", "0"], 2, "sample"),
        (["d", "--queries", "empty.jsonl"], 2, "holds no query"),
        (["d", "--queries", "nowhere.jsonl"], 2, "cannot be read"),
        (["d", "--queries", "short.jsonl"], 2, "2 dimensions"),
        (["d", "--queries", "short.jsonl", "--sample", "3"], 2, "not both"),
        (["d", "--out", "x.svg"], 2, "--all"),
        (["d", "--all", "--out", "x.png"], 2, "cannot be the drawing"),
        (["d", "--all", "--out", "no/where.svg"], 2, "cannot be the drawing"),
        (["d@z-first", "--all"], 2, "every tag"),
        (["d@nowhere"], 3, "no revision"),
        (["nobody"], 3, "no dataset"),
        (["nobody", "--all"], 3, "no dataset"),
        (["untagged", "--all"], 3, "no tag to measure"),
    ],
)
def test_the_command_refuses(here: vecver.Dataset, arguments: list[str], code: int, name: str) -> None:
    Path("empty.jsonl").write_text("\n")
    Path("short.jsonl").write_text('{"vector": [1, 2]}\n')
    ingest(here.repository.dataset("untagged"), {"a": "one"})
    result = run("recall", *arguments, code=code)
    assert name in result.stderr and "\n  " in result.stderr and not result.stdout
    assert not list(Path().glob("*.svg"))


def test_a_clock_is_the_repositorys_own() -> None:
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    ingest(docs, TEXTS)
    one, other = docs.recall(sample=2), docs.recall(sample=2)
    assert one.time < other.time and one.time[:10] == "2026-01-01"
