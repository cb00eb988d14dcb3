"""Histories: what is stored of the measures of many versions. Searches nothing and measures nothing anew.

commits -> for each its stored runs by these questions, and its recall -> the mean of each measure

Decisions
1. Runs of another mode, weight, fusion or reranker than the one that is asked for do not count. A weight that is not
   given is that of each version's recipe, as in `search`.
2. Of several runs of a version by the same questions the newest counts, of the engine that `search` would use with the
   same options. The exact scan stands in for FAISS where no run through an index is stored: a version whose rows are
   all scanned has no other.
3. What was read stays in memory as long as nothing is put beside the commit, which the folder's time tells: a version
   that was read before takes 0.01 ms, otherwise 0.5 ms. Stores that are no folder are read
   each time, and so is what a reranker ordered.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike

import numpy as np

from vecver import repo
from vecver.errors import InvalidInputError, VecverError, say
from vecver.flows.evaluating.index_recall import kind_of as recall_kind
from vecver.flows.evaluating.means import Means, keep_means, load_means
from vecver.flows.evaluating.measures import Measure, measures_of, parsed, values_of
from vecver.flows.evaluating.question_files import Source, find_questions
from vecver.flows.evaluating.relevance import mean_of
from vecver.flows.evaluating.runs import MEANS, PREFIX, Engine, Run, mode_facts, rerank_facts
from vecver.model import Commit, Json, MeasuredVersion, MeasureHistory, QuestionSet, StoredMeasure
from vecver.repo import Versions

ANN_RECALL = "ann_recall"
_KEPT = 32_768  # commits whose measures stay in memory, 1 kB each
_DEFAULT_RECALL = f"{ANN_RECALL}@10"
_RECALL_AT = re.compile(rf"{ANN_RECALL}@[1-9]\d*")
NamesOf = dict[str, list[tuple[str, str]]]  # commit id -> (kind, name) of each ref there


@dataclass(frozen=True)
class Wanted:
    """Which measures a history shows, and by which questions relevance was measured."""

    questions: QuestionSet | None
    relevance: tuple[Measure, ...]
    recall: tuple[str, ...]  # ann_recall@k
    every_recall: bool = False  # at each k that was measured

    @cached_property
    def key(self) -> Hashable:
        """The same for the same measures of the same questions."""
        return self.questions and self.questions.digest, self.names, self.every_recall

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the columns: relevance first."""
        return (*(each.name for each in self.relevance), *self.recall)


def wanted_of(
    versions: Versions,
    dataset: str,
    names: Iterable[str] | str | None,
    questions: Source | None,
    qrels: str | PathLike[str] | None = None,
) -> Wanted:
    """The measures of these names, and the questions: those that are named, or the only set of the dataset.

    names None: the measures that `eval` takes by default, as far as there are questions, and ann_recall@10.
    `ann_recall` without a k: each k that was measured.
    Raises InvalidInputError (no such measure; it is not clear by which questions), NotFoundError (the questions).
    """
    listed = None if names is None else _listed(names)
    recall = [name for name in listed or () if str(name).startswith(ANN_RECALL)]
    for name in recall:
        _check_recall(name)
    relevance = {each.name: each for each in map(parsed, (name for name in listed or () if name not in recall))}
    asked = None if questions is None else find_questions(versions, dataset, questions, qrels)
    if asked is None and (listed is None or relevance):
        asked = _only_set(versions, dataset, ", ".join(relevance))
    if listed is None:
        measured = asked is not None and any(each.is_measured for each in asked.questions)
        return Wanted(asked, tuple(measures_of(None, asked) if asked and measured else ()), (_DEFAULT_RECALL,))
    at_k = dict.fromkeys(name for name in recall if name != ANN_RECALL)
    return Wanted(asked, tuple(relevance.values()), tuple(at_k), ANN_RECALL in recall)


def _only_set(versions: Versions, dataset: str, measures: str) -> QuestionSet | None:
    """The only question set of a dataset; None if it has none and no measure was named that needs one."""
    sets = list(versions.question_sets(dataset))
    if len(sets) == 1:
        return versions.questions(dataset, sets[0])
    if not sets and not measures:
        return None
    stored = f"the dataset keeps {', '.join(sets)}" if sets else "the dataset keeps none"
    raise InvalidInputError(
        f"{measures or 'relevance'} was measured by questions, and it is not clear by which",
        code="no_questions",
        hint=say(
            f"add questions=NAME: {stored}", cli=f"add --questions NAME: {stored}", http=f"add `questions`: {stored}"
        ),
        question_sets=sets,
    )


def measure_history(
    versions: Versions, dataset: str, commits: Iterable[Commit], wanted: Wanted, engine: Engine
) -> MeasureHistory:
    """What is stored of these commits, in their order. A damaged measure counts as not measured: `check` names it."""
    names_of: NamesOf = {}
    for kind in repo.KINDS:
        for ref, id in versions.refs(dataset).all(kind).items():
            names_of.setdefault(id, []).append((kind, ref))
    listed = tuple(_version(versions, commit, names_of, wanted, engine) for commit in commits)
    names = list(wanted.names)
    if wanted.every_recall:
        known = {name for each in listed for name in each.measures if name.startswith(ANN_RECALL)}
        names += sorted(known - set(names), key=lambda name: int(name.partition("@")[2]))
    summary = wanted.questions.summary() if wanted.questions and wanted.relevance else None
    return MeasureHistory(dataset, summary, tuple(names), listed)


def _version(versions: Versions, commit: Commit, refs: NamesOf, wanted: Wanted, engine: Engine) -> MeasuredVersion:
    measures = _kept(versions, commit, wanted, engine)
    return MeasuredVersion(
        commit.id,
        commit.time,
        commit.message,
        tuple(refs.get(commit.id, ())),
        commit.counts["documents"],
        commit.counts["chunks"],
        measures,
    )


def _kept(versions: Versions, commit: Commit, wanted: Wanted, engine: Engine) -> Mapping[str, StoredMeasure]:
    """The measures of a commit; read again where some were stored since they were read last."""
    stamp = repo.measures.stamp(versions.store, commit.id) if engine.reranker is None else None
    place = (commit.id, wanted.key, engine.name, engine.exact, engine.mode, engine.weight, engine.fusion)
    kept = versions.kept_measures.get(place)  # another thread may clear them at any time
    if kept and kept[0] == stamp:
        return kept[1]
    measures = _read(versions, commit, wanted, engine)
    if stamp is not None and stamp == repo.measures.stamp(versions.store, commit.id):
        if len(versions.kept_measures) >= _KEPT:
            versions.kept_measures.clear()
        versions.kept_measures[place] = stamp, measures
    return measures


def _read(versions: Versions, commit: Commit, wanted: Wanted, engine: Engine) -> dict[str, StoredMeasure]:
    kinds = list(repo.measures.kinds(versions.store, commit.id))
    measures = _relevance(versions, commit, kinds, wanted, engine)
    if (kind := recall_kind(commit.recipe, engine)) in kinds:
        measures |= _recall(versions, commit.id, kind, wanted)
    return measures


# -- the recall of indexes ---------------------------------------------------------------------------------


def _recall(versions: Versions, commit: str, kind: str, wanted: Wanted) -> dict[str, StoredMeasure]:
    with suppress(VecverError):
        kept = repo.measures.load(versions.store, commit, kind)
        measured = {
            f"{ANN_RECALL}@{at['k']}": StoredMeasure(
                at["ann_recall"], None, None, at["engine"], kept["time"], at["p50_ms"], kept["queries"]["count"]
            )
            for at in kept["at"]
        }
        return {name: each for name, each in measured.items() if wanted.every_recall or name in wanted.recall}
    return {}


# -- relevance ---------------------------------------------------------------------------------------------


def _relevance(
    versions: Versions, commit: Commit, kinds: Sequence[str], wanted: Wanted, engine: Engine
) -> dict[str, StoredMeasure]:
    """name -> value of each measure of which a run is stored."""
    found: dict[str, StoredMeasure] = {}
    for kind, means in _runs(versions, commit, kinds, wanted, engine):
        missing = [each for each in wanted.relevance if each.name not in found and each.depth <= means.depth]
        if absent := [each for each in missing if each.name not in means.measures]:
            means = _completed(versions, commit.id, kind, means, absent, wanted)
        for name in (each.name for each in missing if each.name in means.measures):
            mean = means.measures[name]
            found[name] = StoredMeasure(mean.mean, mean.low, mean.high, means.engine["name"], means.time)
    return {each.name: found[each.name] for each in wanted.relevance if each.name in found}


def _runs(
    versions: Versions, commit: Commit, kinds: Sequence[str], wanted: Wanted, engine: Engine
) -> list[tuple[str, Means]]:
    """(kind, means) of the stored runs by these questions and through this engine, the one that counts most first."""
    if wanted.questions is None or not wanted.relevance:
        return []
    runs = (kind for kind in kinds if kind.startswith(PREFIX) and not kind.endswith(MEANS))
    read = [(kind, means) for kind in runs if (means := load_means(versions, commit.id, kind, kinds))]
    ours = [each for each in read if each[1].questions["digest"] == wanted.questions.digest]
    same = {**mode_facts(commit.recipe, engine), **rerank_facts(engine)}
    ours = [each for each in ours if _order(each[1].engine, engine) and _ranks_as(each[1].engine, same)]
    return sorted(ours, key=lambda each: (_order(each[1].engine, engine), each[1].time), reverse=True)


def _order(facts: Json, engine: Engine) -> int:
    """How well a run's engine is the one that was asked for; 0: not at all."""
    name = facts["name"]
    if engine.mode == "keyword":
        return int(name == "bm25")
    if engine.exact:
        return int(name == "exact")
    if engine.name == "milvus":
        return int(name == "milvus")
    return {"faiss": 2, "exact": 1}.get(name, 0)


def _ranks_as(facts: Json, same: Json) -> bool:
    """Did a run rank by this mode, weight and fusion, and let this reranker order it?"""
    return all(facts.get(name) == same.get(name) for name in ("mode", "weight", "fusion", "rerank"))


def _completed(
    versions: Versions, commit: str, kind: str, means: Means, missing: Sequence[Measure], wanted: Wanted
) -> Means:
    """Means with those of these measures too, computed from the run and kept. A damaged run adds none."""
    assert wanted.questions is not None, "relevance is wanted of questions"
    try:
        run = Run.from_json(repo.measures.load(versions.store, commit, kind))
    except VecverError:
        return means
    values = values_of(missing, wanted.questions.questions, run.rankings, run.forbidden)
    computed = {name: mean_of(each) for name, each in values.items() if not np.isnan(each).all()}
    means = replace(means, measures={**means.measures, **computed})
    keep_means(versions, commit, kind, means)
    return means


# -- names -------------------------------------------------------------------------------------------------


def _listed(names: Iterable[str] | str) -> list[str]:
    if not isinstance(names, Iterable):
        raise InvalidInputError(
            f"measures are a list of names, not {names!r}",
            code="unknown_measure",
            hint=f"for example {_DEFAULT_RECALL}",
        )
    listed = [
        each.strip() if isinstance(each, str) else each
        for each in (names.split(",") if isinstance(names, str) else names)
    ]
    if not listed:
        raise InvalidInputError(
            "there is no measure to show", code="unknown_measure", hint=f"name some: nDCG@10, {_DEFAULT_RECALL}"
        )
    return listed


def _check_recall(name: str) -> None:
    if name != ANN_RECALL and not _RECALL_AT.fullmatch(name):
        raise InvalidInputError(
            f"there is no measure {name!r}", code="unknown_measure", hint=f"write {_DEFAULT_RECALL}", measure=name
        )
