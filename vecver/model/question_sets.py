"""Question sets: queries with judgments, by which the versions of a dataset are measured."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vecver.digest import digest_json
from vecver.model.display import counted, described
from vecver.model.spaces import Json

FORMAT = 1


@dataclass(frozen=True)
class RankedDocument:
    """What a question brought back at one place: a document and its best chunk; or a chunk, where texts are judged."""

    document: str
    key: str  # of the chunk, 32 hex characters
    score_bits: str  # as `Hit.score_bits`
    contains: tuple[int, ...] = ()  # which texts of the question's `contains` the chunk holds
    is_forbidden: bool = False

    @property
    def score(self) -> float:
        """The score: higher is better."""
        (score,) = struct.unpack(">d", bytes.fromhex(self.score_bits))
        return float(score)

    def to_json(self) -> Json:
        """The fields that are set."""
        values: Json = {"document": self.document, "key": self.key, "score_bits": self.score_bits}
        values |= {"contains": list(self.contains)} if self.contains else {}
        return {**values, "forbidden": True} if self.is_forbidden else values

    @classmethod
    def from_json(cls, value: Json) -> RankedDocument:
        """The value whose `to_json` this is."""
        contains = tuple(value.get("contains", ()))
        return cls(value["document"], value["key"], value["score_bits"], contains, value.get("forbidden", False))


@dataclass(frozen=True)
class JudgedQuestion:
    """One query, and what must and must not come back.

    `documents` are found by any of their chunks; a text of `contains` is found by a hit whose own text holds it, so it
    survives another chunking. Texts are compared without regard to case and to how white space is written.
    """

    id: str
    query: str | None  # None where only a vector is given
    vector: tuple[float, ...] | None = None  # asked instead of the text
    documents: Mapping[str, int] = field(default_factory=dict)  # relevant document -> grade, 1 or more; 0: judged not
    contains: tuple[str, ...] = ()
    not_documents: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = ()
    filter: Json | None = None
    tags: tuple[str, ...] = ()

    @property
    def is_judged(self) -> bool:
        """Does it say what must come back? Relevance is measured on such questions alone."""
        return bool(self.contains) or any(grade > 0 for grade in self.documents.values())

    @property
    def forbids(self) -> bool:
        """Does it say what must not come back?"""
        return bool(self.not_documents or self.not_contains)

    @property
    def is_measured(self) -> bool:
        """Does it say what must, or must not, come back? Every measure skips the others."""
        return self.is_judged or self.forbids

    @property
    def asked(self) -> str | list[float]:
        """What is searched for: the vector, or else the text."""
        return list(self.vector) if self.vector is not None else str(self.query)

    @property
    def judges_texts(self) -> bool:
        """Are hits judged by their texts? Then each hit counts, not the best of each document."""
        return bool(self.contains or (self.not_contains and not self.documents))

    @property
    def forbids_texts_beside_documents(self) -> bool:
        """Are documents judged, and texts forbidden that may stand in any hit? Then both rankings are needed."""
        return bool(self.documents and self.not_contains and not self.contains)

    def judgments(self) -> dict[str, int]:
        """item -> grade of what must come back. A text of `contains` is the item `contains:N`."""
        return {**self.documents, **{_text_item(number): 1 for number in range(len(self.contains))}}

    def items(self, ranking: Sequence[RankedDocument]) -> list[str]:
        """The items of a ranking, best first, each once: what measures look at.

        An item is a document, at the place of its best chunk. Where texts are judged, an item is a hit: a text is found
        at the first hit that holds it, however many hold it, so overlapping chunks change nothing.
        """
        if not self.judges_texts:
            return list(dict.fromkeys(each.document for each in ranking))
        names: dict[str, None] = {}
        for each in ranking:
            held = [_text_item(number) for number in each.contains]
            held += [each.document] if each.document in self.documents else []
            new = [name for name in held if name not in names]
            names.update(dict.fromkeys(new or [f"chunk:{each.key}"]))
        return list(names)

    def to_json(self) -> Json:
        """The fields that are set, as JSON values."""
        values: Json = {name: getattr(self, name) for name in self.__dataclass_fields__}
        kept = {name: value for name, value in values.items() if value not in (None, (), {})}
        lists = {name: list(value) for name, value in kept.items() if isinstance(value, tuple)}
        return {**kept, **lists, **({"documents": dict(self.documents)} if self.documents else {})}

    @classmethod
    def from_json(cls, value: Json) -> JudgedQuestion:
        """The question whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        fields |= {name: tuple(each) for name, each in fields.items() if isinstance(each, list)}
        return cls(**{"query": None, **fields})


@dataclass(frozen=True, repr=False)
class QuestionSet:
    """Questions under a name. Their digest names the content: a measure belongs to a digest, never to a name alone."""

    name: str  # "" for questions that are not stored
    questions: tuple[JudgedQuestion, ...]
    skipped: Mapping[str, int] = field(default_factory=dict, compare=False)  # what was left out when a file was read

    @cached_property
    def digest(self) -> str:
        """The digest of the questions in their order, 64 hexadecimal digits; the name is not part of it."""
        return digest_json(self.content())

    def content(self) -> Json:
        """What is stored and digested."""
        return {"format": FORMAT, "questions": [question.to_json() for question in self.questions]}

    def summary(self) -> Json:
        """Its name, digest and counts: of all questions, those with judgments, those that forbid something."""
        return {
            "name": self.name,
            "digest": self.digest,
            "count": len(self.questions),
            "judged": sum(question.is_judged for question in self.questions),
            "forbidding": sum(question.forbids for question in self.questions),
            **({"skipped": dict(self.skipped)} if self.skipped else {}),
        }

    def to_json(self) -> Json:
        """The summary, and the questions."""
        return {**self.summary(), "questions": [question.to_json() for question in self.questions]}

    @classmethod
    def from_json(cls, value: Json) -> QuestionSet:
        """The set whose `to_json` this is."""
        questions = tuple(JudgedQuestion.from_json(question) for question in value["questions"])
        return cls(value.get("name", ""), questions, value.get("skipped", {}))

    def __len__(self) -> int:
        return len(self.questions)

    def __repr__(self) -> str:
        name = self.name or "not stored"
        return described("QuestionSet", f"{name} {self.digest[:12]}: {counted(len(self), 'question')}")


def _text_item(number: int) -> str:
    return f"contains:{number}"
