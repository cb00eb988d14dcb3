"""Question files: reads the questions and judgments that a user has into a `QuestionSet`. Stores nothing.

    a file of JSON lines   {"query", "documents": ["a.md"] or {"a.md": 2}, "contains", "not_documents", "not_contains",
                           "filter", "tags", "id"}, all but the query (or "vector") optional; or one JSON list of these
    a folder as BEIR's     queries.jsonl with qrels/test.tsv or qrels.tsv
    queries and qrels      a file of JSON lines, or of `id TAB text`, with judgments in BEIR's or TREC's columns
    Python values          texts, dicts as above, `JudgedQuestion`s, a `QuestionSet`

Decisions
1. A field that nobody knows is ignored, since users keep their own beside the question; one that is misspelt
   ("documnets") is refused, since its judgments would be lost without a word.
2. Judgments of a question that the file does not have are counted as skipped (TREC's and BEIR's files hold those of
   other splits); if no judgment belongs to a question, the two files do not belong together, which is an error.
3. A name that stands twice in one JSON object is refused: Python would keep the second value, so a judgment would be
   lost without a word. For the same reason a question and a file of judgments may not grade a document differently.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from vecver import index
from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.flows.searching.queries import query_vector
from vecver.model import Json, JudgedQuestion, QuestionSet
from vecver.near import near
from vecver.repo import Versions

Source: TypeAlias = "str | PathLike[str] | QuestionSet | Sequence[Any]"

_FIELDS = ("query", "documents", "contains", "not_documents", "not_contains", "filter", "tags", "vector", "id")
_OTHER_NAMES = {"text": "query", "_id": "id", "document": "documents"}  # BEIR's; and one document
_QRELS = ("qrels/test.tsv", "qrels.tsv", "qrels/test.qrels", "qrels.txt")
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, zip, bzip2, xz, zstd
_LARGEST_GRADE = 1000  # trec_eval keeps a counter for each grade up to the largest one
_EXAMPLE = '{"query": "How do I bleed a radiator?", "documents": ["heating.md"]}'


def read_questions(source: Source, *, name: str = "", qrels: str | PathLike[str] | None = None) -> QuestionSet:
    """The questions of a file, a folder or Python values, with the judgments of `qrels` where it is given.

    Raises NotFoundError (no such file), InvalidInputError (a line that is no question, a set without questions,
    repeated ids, negative grades, judgments that belong to none of the questions).
    """
    if isinstance(source, QuestionSet):
        listed = ((f"question {number} of the set", each) for number, each in enumerate(source.questions, 1))
        questions, skipped = replace(source, questions=tuple(_unique(listed, "the set"))), dict(source.skipped)
    else:
        path = Path(source).expanduser() if isinstance(source, str | PathLike) else None
        if path is not None and path.is_dir():
            qrels = qrels or _qrels_in(path)
            path = path / "queries.jsonl"
        values = _values_of_file(path) if path is not None else _values_of(source)
        questions, skipped = QuestionSet(name, tuple(_unique(values, str(path or "the list")))), {}
    if not questions.questions:
        raise InvalidInputError(f"{_shown(source)} holds no question", code="empty_set", hint=f"write {_EXAMPLE}")
    if qrels is not None:
        judged, unknown = _with_judgments(questions.questions, Path(qrels).expanduser())
        questions = replace(questions, questions=judged)
        skipped |= {"unknown_questions": unknown} if unknown else {}
    return replace(questions, name=name or questions.name, skipped=skipped)


def find_questions(
    versions: Versions, dataset: str, source: Source, qrels: str | PathLike[str] | None = None
) -> QuestionSet:
    """The set that a dataset keeps under this name; else what `read_questions` reads.

    Raises NotFoundError (neither a set nor a file is called so), and as `read_questions`.
    """
    if isinstance(source, str) and source in versions.question_sets(dataset):
        stored = versions.questions(dataset, source)  # with other judgments it is another set, which has no name
        return stored if qrels is None else read_questions(replace(stored, name=""), qrels=qrels)
    if not isinstance(source, str) or qrels is not None or Path(source).expanduser().exists() or "/" in source:
        return read_questions(source, qrels=qrels)
    try:
        return versions.questions(dataset, source)  # raises
    except NotFoundError as error:
        error.message += ", and there is no file of that name"
        raise


def _shown(source: Any) -> str:
    return str(source) if isinstance(source, str | PathLike) else "the list"


# -- files -------------------------------------------------------------------------------------------


def _values_of_file(path: Path) -> Iterator[tuple[str, Any]]:
    """(where it stands, what it says) of every line that is not empty."""
    is_json, text = path.suffix.lower() not in (".tsv", ".txt"), _text(path)
    if is_json and text.lstrip().startswith("["):
        values = _parsed(text, str(path))
        yield from ((f"question {number} of {path}", value) for number, value in enumerate(values, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        place, content = f"line {number} of {path}", line.rstrip("\r")
        if not content.strip():
            continue
        if is_json:
            yield place, _parsed(content, place)
        elif path.suffix.lower() == ".tsv":
            id, tab, text = content.partition("\t")
            if not tab:
                raise _invalid(place, "is not `id TAB text`", "write the id, a tab and the text of the question")
            yield place, {"id": id.strip(), "query": text.strip()}
        else:
            yield place, content.strip()


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no file {path}", code="questions_file_not_found", hint="check the path", path=str(path)
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        is_packed = isinstance(error, UnicodeDecodeError) and error.object.startswith(_PACKED)
        raise InvalidInputError(
            f"{path} is compressed"
            if is_packed
            else f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            code="invalid_questions",
            hint="unpack it, and name the file that was in it"
            if is_packed
            else "check the path and its rights; questions are UTF-8 text",
            path=str(path),
        ) from error
    return io.StringIO(text, newline=None).read()


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=lambda pairs: _without_repeats(pairs, place))
    except RecursionError as error:
        raise _invalid(place, "is nested too deeply", f"write one JSON object a line: {_EXAMPLE}") from error
    except InvalidInputError:
        raise
    except ValueError as error:
        raise _invalid(place, f"is not JSON: {error}", f"write one JSON object a line: {_EXAMPLE}") from error


def _without_repeats(pairs: list[tuple[str, Any]], place: str) -> Json:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _invalid(place, f"names {repeated!r} twice in one object", "keep one of them: only one value can count")
    return value


def _qrels_in(folder: Path) -> Path | None:
    """The judgments of a folder of BEIR's form. Raises InvalidInputError if it is none."""
    if not (folder / "queries.jsonl").is_file():
        raise InvalidInputError(
            f"{folder} has no queries.jsonl",
            code="invalid_questions",
            hint="a folder of questions holds queries.jsonl and qrels/test.tsv or qrels.tsv; or name a file",
            path=str(folder),
        )
    return next((folder / file for file in _QRELS if (folder / file).is_file()), None)


# -- judgments in files of their own ---------------------------------------------------------------------


def _with_judgments(questions: Sequence[JudgedQuestion], path: Path) -> tuple[tuple[JudgedQuestion, ...], int]:
    """The questions with the judgments of a file, and how many judgments belong to none of them."""
    grades: dict[str, dict[str, int]] = {question.id: {} for question in questions}
    own = {question.id: question.documents for question in questions}
    unknown = known = 0
    for place, question, document, text in _judgments(path):
        grade = _grade(text, place)
        if question not in grades:
            unknown += 1
            continue
        known += 1
        if own[question].get(document, grade) != grade or grades[question].setdefault(document, grade) != grade:
            raise _invalid(
                place,
                f"gives {document!r} the grade {grade} for the question {question!r}, which has another grade for it",
                "keep one of the two grades",
            )
    if not known:
        raise InvalidInputError(
            f"no judgment of {path} belongs to a question" if unknown else f"{path} holds no judgment",
            code="unknown_questions",
            hint="the first column of the judgments must hold the ids of the questions",
            path=str(path),
        )
    return tuple(replace(each, documents={**each.documents, **grades[each.id]}) for each in questions), unknown


def _judgments(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """(place, question, document, grade) of a file in BEIR's columns (tabs, a heading) or TREC's (any white space)."""
    lines = [line for line in _text(path).split("\n") if line.strip()]
    tabs = bool(lines) and lines[0].count("\t") in (2, 3)
    for number, line in enumerate(lines, 1):
        place = f"line {number} of {path}"
        row = [cell.strip() for cell in line.split("\t")] if tabs else line.split()
        if len(row) not in (3, 4):
            raise _invalid(
                place,
                "is no judgment",
                "write `question TAB document TAB grade`, or TREC's `question 0 document grade`",
            )
        if number == 1 and not _is_number(row[-1]):
            continue  # a heading
        yield place, row[0], row[-2], row[-1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# -- values --------------------------------------------------------------------------------------------


def _values_of(source: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(source, Iterable) or isinstance(source, bytes | Mapping):
        raise InvalidInputError(
            f"questions are a file, a folder or a list, not {type(source).__name__}",
            code="invalid_questions",
            hint=f"give a list such as [{_EXAMPLE}]",
        )
    return ((f"question {number} of the list", value) for number, value in enumerate(source, 1))


def _unique(values: Iterable[tuple[str, Any]], origin: str) -> Iterator[JudgedQuestion]:
    places: dict[str, str] = {}
    for number, (place, value) in enumerate(values, 1):
        question = value if isinstance(value, JudgedQuestion) else _question(value, place, number)
        for grade in question.documents.values():
            _grade(grade, place)
        _check_characters(question, place)
        if question.id in places:
            raise InvalidInputError(
                f"{place} has the id {question.id!r}, which {places[question.id]} has already",
                code="duplicate_question",
                hint="give every question an id of its own, or none an id (then they are numbered)",
                id=question.id,
            )
        places[question.id] = place
        yield question


def _check_characters(question: JudgedQuestion, place: str) -> None:
    """Raises InvalidInputError for half a character, such as JSON's "\\ud800" alone: no screen or file can hold it."""
    lists = (question.documents, question.contains, question.not_documents, question.not_contains, question.tags)
    try:
        "".join([question.id, question.query or "", *(text for each in lists for text in each)]).encode()
    except UnicodeEncodeError as error:
        raise _invalid(
            place, f"holds {error.object[error.start]!a}, which is half of a character", "write it as UTF-8"
        ) from error


def _question(value: Any, place: str, number: int) -> JudgedQuestion:
    if isinstance(value, str):
        value = {"query": value}
    if not isinstance(value, Mapping):
        raise _invalid(place, f"is a {type(value).__name__}, not an object", f"write {_EXAMPLE}")
    fields: Json = {}
    for name, each in value.items():
        known = _OTHER_NAMES.get(name, name)
        if known not in _FIELDS and (meant := near(str(name), _FIELDS[:-1])):
            raise _invalid(place, f"has the field {name!r}", f"did you mean {meant[0]!r}?")
        if known in _FIELDS and each is not None:
            fields.setdefault(known, each)
    return JudgedQuestion(
        id=_id(fields.get("id", number), place),
        query=_query(fields, place),
        vector=_vector(fields.get("vector"), place),
        documents=_documents(fields.get("documents", ()), place),
        contains=_texts(fields, "contains", place),
        not_documents=_texts(fields, "not_documents", place),
        not_contains=_texts(fields, "not_contains", place),
        filter=index.json_filter(fields.get("filter")),
        tags=_texts(fields, "tags", place),
    )


def _id(value: Any, place: str) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text or text.split() != [text]:
        raise _invalid(place, f"has the id {value!r}", "an id is a text without spaces, or a number")
    return text


def _query(fields: Json, place: str) -> str | None:
    query = fields.get("query")
    if query is None and "vector" in fields:
        return None
    if query is not None and not isinstance(query, str):
        raise _invalid(place, f"has a query that is no text, but {query!r:.60}", f"write {_EXAMPLE}")
    if not query or not query.strip():
        raise _invalid(place, "has no query", f"write {_EXAMPLE}")
    return query


def _vector(value: Any, place: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(query_vector(value).tolist())
    except InvalidInputError as error:
        raise _invalid(place, f"has no usable vector: {error.message}", "a vector is a list of numbers") from error


def _documents(value: Any, place: str) -> dict[str, int]:
    if isinstance(value, Mapping):
        return {_name(document, place): _grade(grade, place) for document, grade in value.items()}
    values = [value] if isinstance(value, str | int) else value
    if not isinstance(values, Iterable):
        raise _invalid(place, "has documents that are no list", 'write "documents": ["a.md"] or {"a.md": 2}')
    return {_name(document, place): 1 for document in values}


def _name(value: Any, place: str) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text:
        raise _invalid(place, f"judges {value!r}", "name documents by their ids, as `vecver ls` lists them")
    return text


def _grade(value: Any, place: str) -> int:
    try:
        if isinstance(value, bool) or float(value) != int(float(value)):
            raise ValueError
        grade = int(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid(place, f"has the grade {value!r}", "a grade is a whole number: 0 is not relevant") from error
    if grade < 0:
        raise InvalidInputError(
            f"{place} has the grade {grade}",
            code="negative_grade",
            hint=say(
                "grade what is not relevant 0; what must not come back belongs into not_documents",
                http="grade what is not relevant 0; what must not come back belongs into `not_documents`",
            ),
        )
    if grade > _LARGEST_GRADE:
        raise _invalid(place, f"has the grade {grade}", f"grades are whole numbers from 0 to {_LARGEST_GRADE:,}")
    return grade


def _texts(fields: Json, name: str, place: str) -> tuple[str, ...]:
    value = fields.get(name, ())
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(text, str) and text.strip() for text in values):
        raise _invalid(place, f"has {name} that are no texts", f'write "{name}": ["…"]')
    return tuple(dict.fromkeys(values))


def _invalid(place: str, problem: str, hint: str = "correct that line") -> InvalidInputError:
    return InvalidInputError(f"{place} {problem}", code="invalid_questions", hint=hint)
