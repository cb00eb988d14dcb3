"""Scores texts with a CrossEncoder of sentence-transformers, from a folder or the hub. Importing it takes 8 s of CPU.

Decisions
1. A forward pass cannot be stopped, so the deadline is looked at between batches of 16 texts.
2. The fingerprint is that of the model's files. Its scores may differ in their last bits on another machine or in
   other batches, so a receipt holds the scores, and a replay takes them from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from vecver.digest import digest_json
from vecver.errors import BackendError, InvalidInputError, missing_package
from vecver.pipeline.embedders import model_files

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_BATCH = 16  # texts
_LONGEST = 32_768  # characters of a text, more than such models read


class CrossEncoderReranker:
    """A CrossEncoder that gives one score a pair."""

    def __init__(self, location: str) -> None:
        """Load it. Raises InvalidInputError (folder, the model in it, a package), BackendError (the hub)."""
        source = model_files.source_of(location)
        self._model = _load(source)
        if self._model.num_labels != 1:
            raise InvalidInputError(
                f"{location!r} gives {self._model.num_labels} scores a text, and a reranker gives one",
                code="unknown_reranker",
                hint="use a CrossEncoder that was trained to rank, such as cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        folder = Path(source) if Path(source).is_dir() else model_files.hub_folder(source)
        self.name = f"cross-encoder:{folder.name if Path(source).is_dir() else source}"
        self.fingerprint = digest_json({"name": "cross-encoder", "files": model_files.file_digests(folder)})[:32]

    def scores(self, query: str, texts: Sequence[str], timeout: float) -> list[float]:
        """A score for each text, in their order. Raises BackendError (too slow, or a score that is not finite)."""
        deadline, found = monotonic() + timeout, list[float]()
        for start in range(0, len(texts), _BATCH):
            if monotonic() > deadline:
                raise _late(self.name)
            pairs = [(query[:_LONGEST], text[:_LONGEST]) for text in texts[start : start + _BATCH]]
            found += self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False).tolist()
        if not all(map(math.isfinite, found)):
            raise BackendError(
                f"{self.name} gave a score that is no finite number",
                code="reranker_bad_answer",
                hint="check the model's files",
            )
        return found


def _load(source: str) -> CrossEncoder:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as missing:
        raise missing_package(
            "a CrossEncoder needs", missing.name or "sentence-transformers", "vecver[models]"
        ) from missing
    local = Path(source).is_dir()
    try:
        return CrossEncoder(source, local_files_only=local)
    except Exception as failure:  # any error of a broken file or a missing network
        reason = model_files.first_line(failure)
        if local:
            raise InvalidInputError(
                f"the folder {source!r} holds no CrossEncoder that can be loaded: {reason}",
                code="bad_model_folder",
                hint="give the folder that CrossEncoder.save_pretrained wrote",
            ) from failure
        raise BackendError(
            f"the reranker {source!r} is neither in the local cache nor to be had: {reason}",
            code="model_unavailable",
            hint="check the name; fetch it once while online, or give a folder",
            retryable=True,
        ) from failure


def _late(name: str) -> BackendError:
    return BackendError(
        f"{name} was not ready in time",
        code="reranker_timeout",
        hint='give the reranker a longer timeout, rank fewer hits with rerank_top, or use on_failure="keep"',
        retryable=True,
    )
