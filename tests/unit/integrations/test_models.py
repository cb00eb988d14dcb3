"""How the space of a framework's model is named."""

from __future__ import annotations

import pytest

import vecver
from vecver.integrations.models import space_of


class Named:
    model_name = "bge-small"


class Prints:
    fingerprint = "mine v1"
    model = "other"


def test_a_space_is_named_by_fingerprint_or_class_and_model() -> None:
    assert space_of(None) is None and space_of(None, "my model") == "my model"
    assert space_of(Named()) == "Named bge-small" and space_of(object()) == "object"
    assert space_of(Prints()) == "mine v1" and space_of(Prints(), "other") == "other"
    assert space_of(vecver.embedder(lambda texts: [[1.0]] * len(texts), fingerprint="x")) == "object:x"


@pytest.mark.parametrize("fingerprint", ["", " ", 7])
def test_a_fingerprint_is_a_text(fingerprint: object) -> None:
    with pytest.raises(vecver.InvalidInputError) as refused:
        space_of(None, fingerprint)  # type: ignore[arg-type]
    assert refused.value.code == "bad_embedder"
