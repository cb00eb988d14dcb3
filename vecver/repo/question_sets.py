"""Question sets: kept beside a dataset under a name. Knows neither how they are read nor what they measure.

    questions/<dataset>/<name>   sealed: the digests that the name has meant, oldest first; null where it was removed
    question-sets/<digest>       the questions, written once

Decisions
1. A set that is replaced or removed keeps its questions for as long as the dataset exists: stored measures and the logs
   of promotions name their digests, and must stay explainable.
2. The digests of a name lie in one object that moves by compare-and-swap, as a ref does, so two writers cannot lose
   each other's change. There is no chain of moves as refs have: nothing is searched at a question set.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

from vecver.digest import canonical_json
from vecver.errors import ConflictError, NotFoundError, say
from vecver.model import Json, QuestionSet
from vecver.near import near
from vecver.repo import objects
from vecver.repo.refs.refs import check_name
from vecver.store import Store

FOLDER = "questions"
CONTENT = "question-sets"


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
    body, entries = _entries(store, key, questions.name)
    if entries and entries[-1]["digest"] == questions.digest:
        return False
    _append(store, key, questions.name, body, entries, questions.digest, author=author, time=time)
    return True


def remove(store: Store, key: str, dataset: str, name: str, *, author: str, time: str) -> str:
    """Let a name mean nothing; gives the digest that it meant. Raises NotFoundError, ConflictError."""
    body, entries = _entries(store, key, name)
    digest = _newest(store, key, dataset, name, entries)
    _append(store, key, name, body, entries, None, author=author, time=time)
    return digest


def load(store: Store, key: str, dataset: str, name: str) -> QuestionSet:
    """The questions that a name means. Raises NotFoundError, IntegrityError."""
    _, entries = _entries(store, key, name)
    return load_content(store, _newest(store, key, dataset, name, entries), name)


def load_content(store: Store, digest: str, name: str = "") -> QuestionSet:
    """The questions of a digest. Raises NotFoundError, IntegrityError."""
    return QuestionSet.from_json({**objects.load(store, content_path(digest), digest), "name": name})


def names(store: Store, key: str) -> dict[str, str]:
    """name -> digest of every set that a dataset has, sorted by name. Raises IntegrityError."""
    newest = ((name, _entries(store, key, name)[1][-1]["digest"]) for name in _names(store, key))
    return {name: digest for name, digest in newest if digest}


def digests(store: Store, key: str) -> Iterator[str]:
    """The digests that the names of a dataset mean or have meant. Raises IntegrityError."""
    for name in _names(store, key):
        yield from digests_of(store, key, name)


def digests_of(store: Store, key: str, name: str) -> list[str]:
    """The digests that a name means or has meant, oldest first. Raises IntegrityError."""
    return [entry["digest"] for entry in _entries(store, key, name)[1] if entry["digest"]]


def content_path(digest: str) -> str:
    """The store's name of the questions of a digest."""
    return f"{CONTENT}/{digest}"


def folder_of(key: str) -> str:
    """The store's folder of a dataset's names, with a `/`."""
    return f"{FOLDER}/{quote(key, safe='')}/"


def path_of(key: str, name: str) -> str:
    """The store's name of the digests of a name."""
    return folder_of(key) + quote(name, safe="")


def _names(store: Store, key: str) -> list[str]:
    prefix = folder_of(key)
    return sorted(unquote(path.removeprefix(prefix)) for path in store.list(prefix))


def _entries(store: Store, key: str, name: str) -> tuple[bytes | None, list[Json]]:
    """The object of a name as it is stored, and its entries. Raises IntegrityError."""
    check_name("question set", name)
    path = path_of(key, name)
    if store.size(path) is None:
        return None, []
    body = store.get(path)
    value = objects.parse_sealed(path, body)
    try:
        entries = list(value["sets"])
        if (value["dataset"], value["name"]) != (key, name):
            raise objects.misplaced(path)
        if not entries or not all(isinstance(entry["digest"], str | None) for entry in entries):
            raise ValueError("no digest")
    except (KeyError, TypeError, ValueError) as error:
        raise objects.malformed(path) from error
    return body, entries


def _append(
    store: Store, key: str, name: str, body: bytes | None, entries: list[Json], digest: str | None, **signed: str
) -> None:
    value = {"dataset": key, "name": name, "sets": [*entries, {"digest": digest, **signed}]}
    try:
        store.swap(path_of(key, name), body, objects.sealed(value))
    except ConflictError as error:
        raise ConflictError(
            f"the question set {name!r} was changed by somebody else at this moment",
            code="questions_moved",
            hint="look at what it holds now, and try again; nothing was changed",
            name=name,
        ) from error


def _newest(store: Store, key: str, dataset: str, name: str, entries: list[Json]) -> str:
    """The digest that a name means. Raises NotFoundError."""
    if entries and entries[-1]["digest"]:
        return str(entries[-1]["digest"])
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
        did_you_mean=near(name, names(store, key)),
    )
