"""Question sets: kept beside a dataset under a name. Knows neither how they are read nor what they measure.

    questions/<dataset>/<name>   the digests that the name has meant; see `repo.entries`
    question-sets/<digest>       the questions, written once

Decisions
1. A set that is replaced or removed keeps its questions for as long as the dataset exists: stored measures and the logs
   of promotions name their digests, and must stay explainable.
"""

from __future__ import annotations

from collections.abc import Iterator

from vecver.digest import canonical_json
from vecver.errors import NotFoundError, say
from vecver.model import QuestionSet
from vecver.near import near
from vecver.repo import entries, objects
from vecver.repo.entries import Entries
from vecver.store import Store

FOLDER = "questions"
CONTENT = "question-sets"
_WHAT = "question set"


def put(store: Store, questions: QuestionSet) -> str:
    """Store the questions of a set; gives the unit that gc must not delete until a name means them."""
    unit = content_path(questions.digest)
    if store.size(unit) is None:
        store.put(unit, canonical_json(questions.content()))
    return unit


def name_set(store: Store, key: str, questions: QuestionSet, *, author: str, time: str) -> bool:
    """Let the name of a set mean its stored questions; False if it means them already. `key`: of the dataset.

    Raises InvalidInputError (the name), ConflictError (another process changed the name at this moment).
    """
    named = _read(store, key, questions.name)
    if named.newest and named.newest["digest"] == questions.digest:
        return False
    named.append({"digest": questions.digest, "author": author, "time": time})
    return True


def remove(store: Store, key: str, dataset: str, name: str) -> str:
    """Let a name mean nothing; gives the digest that it meant. Raises NotFoundError, ConflictError."""
    named = _read(store, key, name)
    digest = _digest(named, dataset)
    named.append(None)
    return digest


def load(store: Store, key: str, dataset: str, name: str) -> QuestionSet:
    """The questions that a name means. Raises NotFoundError, IntegrityError."""
    return load_content(store, _digest(_read(store, key, name), dataset), name)


def load_content(store: Store, digest: str, name: str = "") -> QuestionSet:
    """The questions of a digest. Raises NotFoundError, IntegrityError."""
    return QuestionSet.from_json({**objects.load(store, content_path(digest), digest), "name": name})


def names(store: Store, key: str) -> dict[str, str]:
    """name -> digest of every set that a dataset has, sorted by name. Raises IntegrityError."""
    newest = ((name, _read(store, key, name).newest) for name in entries.names(store, FOLDER, key))
    return {name: entry["digest"] for name, entry in newest if entry}


def digests(store: Store, key: str) -> Iterator[str]:
    """The digests that the names of a dataset mean or have meant. Raises IntegrityError."""
    for name in entries.names(store, FOLDER, key):
        yield from digests_of(store, key, name)


def digests_of(store: Store, key: str, name: str) -> list[str]:
    """The digests that a name means or has meant, oldest first. Raises IntegrityError."""
    return [entry["digest"] for entry in _read(store, key, name).values if entry]


def content_path(digest: str) -> str:
    """The store's name of the questions of a digest."""
    return f"{CONTENT}/{digest}"


def _read(store: Store, key: str, name: str) -> Entries:
    named = entries.read(store, _WHAT, FOLDER, key, name)
    if not all(isinstance(entry.get("digest"), str) for entry in named.values if entry):
        raise objects.malformed(named.path)
    return named


def _digest(named: Entries, dataset: str) -> str:
    """The digest that a name means. Raises NotFoundError."""
    if named.newest:
        return str(named.newest["digest"])
    name = named.name
    raise NotFoundError(
        f"{dataset} has no question set {name!r}",
        code="questions_not_found",
        hint=say(
            f"docs.question_sets() lists them; docs.add_questions({name!r}, FILE) adds one",
            cli=f"`vecver questions {dataset} list` lists them; `vecver questions {dataset} add {name} FILE` adds one",
            http=f"GET /v1/datasets/{dataset}/questions lists them",
        ),
        name=name,
        dataset=dataset,
        did_you_mean=near(name, names(named.store, named.key)),
    )
