"""What reading records yields, in forms that tests compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from vecver.errors import InvalidInputError
from vecver.model import Failure, Original, singly
from vecver.pipeline.sources import files
from vecver.pipeline.sources.origin import SourceLike


def read(source: SourceLike, **options: Any) -> Iterator[Original | Failure]:
    """As `files.read`, with records in columns one at a time."""
    return singly(files.read(source, **options))


A = {"id": "a", "text": "one"}


def originals(results: Iterable[Original | Failure]) -> list[Original]:
    found = list(results)
    assert not [item for item in found if isinstance(item, Failure)]
    return [item for item in found if isinstance(item, Original)]


def pairs(results: Iterable[Original | Failure]) -> list[tuple[str, str | None]]:
    return [(item.document, item.text) for item in originals(results)]


def codes(results: Iterable[Original | Failure]) -> list[tuple[str, str]]:
    return [(item.document, item.code if isinstance(item, Failure) else "ok") for item in results]


def refusal(results: Callable[[], Iterable[Original | Failure]]) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        list(results())
    return caught.value


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
