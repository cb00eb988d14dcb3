"""Exact search: FAISS, brute force, milvus-lite and a real server must give the same ids and the same score bits.

exact     the story of versions, every version asked every query
history   a real corpus: every version published in order, its pinned questions asked
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import histories
import numpy as np
from milvus_published import Published, repositories_of
from tables import See
from vectors import K, seconds_of

import vecver
from vecver import index

Bits = list[tuple[str, str]]  # of one answer: key and score bits, best first


def exact(args: argparse.Namespace, see: See) -> Any:
    """Every version, every query, every engine."""
    story = repositories_of(args.small, args.versions)
    queries = list(story.story.queries[: args.queries])
    lite = Published(story, str(args.folder / "lite.db"), args.folder)
    engines = {"milvus-lite": lite}
    if args.uri:
        engines["a server"] = Published(story, args.uri, args.folder, flat=True)
    raw = {name: one_engine(published, queries) for name, published in engines.items()}
    true = [[bits(one) for one in lite.docs.search(queries, at=id, k=K, exact=True)] for id in lite.ids]
    raw["brute force"] = {"answers": list(brute(lite, np.stack(queries)))}
    for name, one in raw.items():
        pairs = [pair for own, all in zip(one["answers"], true, strict=True) for pair in zip(own, all, strict=True)]
        by = f"; answered by {dict(one['engines'])}" if "engines" in one else ""
        see(
            f"exact answers of {name} with the ids and score bits of FAISS exact, {args.small:,} rows",
            "100%",
            f"{sum(own == other for own, other in pairs) / len(pairs):.2%} of {len(pairs):,}{by}",
        )
    return {**raw, "true": true}


def one_engine(published: Published, queries: list[Any]) -> dict[str, Any]:
    """Publish every version, then ask every version every query."""
    raw: dict[str, Any] = {"publish": [published.publish(id)[1].all for id in published.ids]}
    found = [published.docs.search(queries, at=id, k=K, exact=True, engine="milvus") for id in published.ids]
    raw["engines"] = Counter(engine_of(one) for answers in found for one in answers)
    return {**raw, "answers": [[bits(one) for one in answers] for answers in found]}


def brute(published: Published, queries: Any) -> Iterator[list[Bits]]:
    """The true answers of each version, by the one rule, from the vectors that the story gave."""
    story = published.repositories.story
    vectors = index.normalised(np.ascontiguousarray(story.vectors), "cosine")
    asked = index.normalised(queries, "cosine")
    scores = np.stack([index.scores(query, vectors, "cosine") for query in asked])
    for version in range(len(published.ids)):
        state, keys = story.state(version), published.keys(version)
        rows = np.frombuffer(bytes.fromhex("".join(keys[slot] for slot in range(len(state)))), np.uint8).reshape(-1, 16)
        best = [index.ranked(own[state], rows, K) for own in scores]
        yield [
            [(keys[int(i)], index.bits(float(own[state[i]]))) for i in top]
            for own, top in zip(scores, best, strict=True)
        ]


def bits(answer: vecver.Answer) -> Bits:
    return [(hit.key, hit.score_bits) for hit in answer]


def engine_of(answer: vecver.Answer) -> str:
    """Who gave it, as its receipt says."""
    engine = answer.receipt["engine"]
    return f"{engine['name']}{' exact' if engine.get('exact') else ''}"


# -- a real corpus -------------------------------------------------------------------------------------


def history(args: argparse.Namespace, see: See) -> Any:
    """All versions of a corpus, published in order; its pinned questions, through Milvus and without."""
    data = args.data / args.corpus
    kb = ingested(data, args.embedder, args.out / f"{args.corpus}-{args.embedder}")
    versions = [entry["version"] for entry in histories.lines(data / "manifest.jsonl")]
    questions = pinned(histories.lines(data / "pinned_queries.jsonl"), versions)
    places = {"milvus-lite": "", **({"server": args.uri} if args.uri else {})}
    raw: dict[str, Any] = {}
    for name, uri in places.items():
        shutil.copytree(kb, args.folder / name)
        docs = vecver.open(args.folder / name, milvus=uri or str(args.folder / "history.db")).dataset(args.corpus)
        for flat in (False, True) if uri else (True,):
            label = f"{name}, {'FLAT' if flat else 'HNSW'}"
            raw[label] = told_history(docs, versions, questions, flat=flat)
            show(see, args.corpus, label, raw[label])
    return raw


def told_history(docs: vecver.Dataset, versions: Sequence[str], questions: Any, *, flat: bool) -> dict[str, Any]:
    """Publish all versions, ask all questions."""
    found: list[vecver.Publication] = []
    seconds = [seconds_of(lambda at=at: found.append(docs.publish(at, flat=flat))) for at in versions]  # type: ignore[misc]
    connection = docs._session.milvus.publisher(docs.name).connection
    collections = Counter(one.collection for one in found)
    answers = []
    for at in versions:
        asked = questions[at]
        if not asked:
            continue
        true, own, near = (
            docs.search(asked, at=at, k=K, **how)
            for how in ({"exact": True}, {"exact": True, "engine": "milvus"}, {"engine": "milvus"})
        )
        answers += [
            {"at": at, "true": bits(a), "exact": bits(b), "near": bits(c), "engines": [engine_of(b), engine_of(c)]}
            for a, b, c in zip(true, own, near, strict=True)
        ]
    return {
        "seconds": seconds,
        "written": [one.written for one in found],
        "collections": {name: [count, connection.settled(name)] for name, count in collections.items()},
        "chunks": found[-1].chunks,
        "answers": answers,
    }


def show(see: See, corpus: str, label: str, raw: dict[str, Any]) -> None:
    answers = raw["answers"]
    unlike = {kind: sum(one["true"] != one[kind] for one in answers) for kind in ("exact", "near")}
    engines = [dict(Counter(one["engines"][which] for one in answers)) for which in (0, 1)]
    see(
        f"{corpus}, {len(raw['seconds'])} versions published in order to {label}: pinned questions unlike FAISS exact",
        "0",
        f"exact {unlike['exact']} of {len(answers)} {engines[0]}; not exact {unlike['near']} {engines[1]}, "
        f"ann_recall@{K} {statistics.mean(recall(one) for one in answers):.4f}, "
        f"worst version {min(by_version(answers).values()):.3f}; "
        f"versions and rows of the collections {list(raw['collections'].values())}; "
        f"{sum(raw['written']):,} rows sent, {sum(raw['seconds']):.0f} s",
    )


def recall(one: dict[str, Any]) -> float:
    """The share of the true hits that an approximate answer gives; equal scores are equally right."""
    left = Counter(score for _, score in one["true"])
    return sum((left & Counter(score for _, score in one["near"])).values()) / len(one["true"])


def by_version(answers: list[dict[str, Any]]) -> dict[str, float]:
    """The mean recall of each version's answers."""
    found = defaultdict(list)
    for one in answers:
        found[one["at"]].append(recall(one))
    return {at: statistics.mean(recalls) for at, recalls in found.items()}


def pinned(queries: list[dict[str, Any]], versions: list[str]) -> dict[str, list[str]]:
    """The questions for each version: where their document is, and just outside."""
    place, found = {version: i for i, version in enumerate(versions)}, defaultdict(list)
    for query in queries:
        if query["first"] in place and query["last"] in place:
            first, last = place[query["first"]], place[query["last"]]
            for number in sorted({first - 1, first, last, last + 1} & set(range(len(versions)))):
                found[versions[number]].append(query["query"])
    return found


def ingested(data: Path, embedder: str, folder: Path) -> Path:
    """The repository of all versions, built once and kept."""
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        docs = vecver.open(unfinished, create=True, author="benchmark").dataset(data.name)
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary) / data.name
            histories.git("clone", "-q", str(data / f"{data.name}.bundle"), str(source))
            for entry in histories.lines(data / "manifest.jsonl"):
                histories.git("-C", str(source), "checkout", "-q", "-f", entry["version"])
                histories.ingest(docs, source, entry, embedder, unfinished)
        unfinished.rename(folder)
    return folder
