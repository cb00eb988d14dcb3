"""Embeds with sentence-transformers so that a text always gets the same vector.

It runs models that `light` does not support, bfloat16, and GPUs. Importing it takes 8 s of CPU. `fixed_shapes` decides
which texts go through the network together.

Decisions
1. On CPUs with only AVX2, 42% of rows still differ (by 1e-7) between 1 and 2 threads, unless the process starts with
   MKL_CBWR=AUTO,STRICT; then none do. A library should not set that, so `environment` records what was in force.
2. If a program gave torch one thread (MKL_NUM_THREADS=1), batches run side by side, one a core: as fast for documents,
   with equal bits on every CPU, and steady on a busy machine. Threads within a batch wait for each other at every
   product: with six busy processes on two cores a query took 900 ms on two threads and 15 on one (idle: 6 and 10).
   Setting it here would slow down a program's other models.
3. When a model opens, its vectors are compared with those of the model's own `encode`: first with OpenVINO's runtime,
   if it is installed and fits, otherwise with torch's; `environment` says why the first was not used. A model that does
   more than tokenize, pad and run goes through `encode` one text at a time: slower, but a text still has one vector.
4. Precision makes another space: bfloat16 moves a vector by 1e-3, so it is in the recipe and its fingerprint (float32
   is not written, so earlier recipes stay valid). Which runtime computed in that precision moves a vector by 2e-7, less
   than another CPU does, so that is in `environment` and the commit. Otherwise installing the extra would require
   embedding everything again, and a receipt made without it would not replay with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json
from vecver.errors import BackendError, InvalidInputError
from vecver.model import Json, Metric, TokenCounts, Vectors
from vecver.pipeline.embedders import model_files, runtimes
from vecver.pipeline.embedders.fixed_shapes import PROBE, FixedShapes

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

LONGEST = 32_768  # tokens, for models that set no limit
METRICS: dict[str | None, Metric] = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}


class SentenceTransformerEmbedder:
    """A sentence-transformers model. Texts of more than `max_tokens` are truncated, as the model does."""

    def __init__(self, location: str, precision: str = "float32", *, fast: bool = True) -> None:
        """Open `minilm` (the bundled model), a folder, or a hub name that is in the cache or can be fetched.

        `precision` is float32 or bfloat16; without `fast`, torch computes even where a faster runtime is installed.
        """
        runtimes.check_known(precision)
        source = model_files.source_of(location)
        files = model_files.file_digests(Path(source)) if Path(source).is_dir() else {}
        if location == "minilm":
            model_files.check_minilm(files)
        self._model = model = _load(source)
        runtimes.check_possible(precision, model.device.type)
        self._tokenizer = _tokenizer(model)
        prompts = {"query": _prompt(model, "query"), "document": _prompt(model, "document", "passage", "corpus")}
        limit = int(min(model.max_seq_length or LONGEST, LONGEST))
        self._path, remarks = _path(model, self._tokenizer, prompts, limit, precision, fast)
        self.name = location if location == "minilm" else f"sentence-transformers:{location}"
        self.name += "" if precision == "float32" else ":bf16"
        self.metric = _metric(model)
        self.dim = self._path.queries(PROBE[:1]).shape[1]
        self.max_tokens = limit - _specials(self._tokenizer) - int(self.count_tokens([prompts["document"]])[0])
        identity: Json = {
            "name": "sentence-transformers",
            "files": files or model_files.file_digests(model_files.hub_folder(source)),
            "modules": [_describe(module) for module in model],
            "prompts": prompts,
            "max_tokens": self.max_tokens,
            "dim": self.dim,
            **({} if precision == "float32" else {"precision": precision}),
        }
        self.fingerprint = digest_json(identity)[:32]
        self.recipe: Json = {**identity, "location": location if location == "minilm" else source}
        self.environment = {**_environment(model, self._path), **remarks}

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Content tokens of each text, without specials and prompt, not truncated; `(n,)`."""
        if self._tokenizer is None:
            return np.array([len(self._model.tokenizer.tokenize(text)) for text in texts], dtype=np.int64)
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return np.array([len(encoding) for encoding in encodings], dtype=np.int64)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As `count_tokens`, with those that are not in the vocabulary, and those beyond `max_tokens`."""
        if self._tokenizer is None:
            unknown_id = getattr(self._model.tokenizer, "unk_token_id", None)
            ids = [self._model.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        else:
            name = getattr(self._model.tokenizer, "unk_token", None)
            unknown_id = self._tokenizer.token_to_id(name) if name else None
            ids = [
                encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
            ]
        return TokenCounts.of(ids, unknown_id, self.max_tokens)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`; a text has the same bits in any company."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._path.documents(texts)

    def probes(self) -> list[Vectors]:
        """Vectors of the probes: each as a document, then the first as a query."""
        return [*self._path.documents(PROBE), *self._path.queries(PROBE[:1])]

    @property
    def at_once(self) -> int:
        """Calls of `embed_queries` that keep the machine busy."""
        return self._path.at_once

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, with the model's query prompt; a query has the bits it has alone."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._path.queries(texts)


# -- two ways to compute vectors ----------------------------------------------------------------


class _Path(Protocol):
    name: str
    runtime: str  # name, version and precision of the runtime

    @property
    def at_once(self) -> int: ...
    def documents(self, texts: Sequence[str]) -> Vectors: ...
    def queries(self, texts: Sequence[str]) -> Vectors: ...


class _OneByOne:
    """The model's `encode`, one text at a time, for models that do more than tokenize, pad and run."""

    name = "one by one"
    at_once = 1  # transformers' own tokenizers are not thread-safe

    def __init__(self, model: SentenceTransformer) -> None:
        import torch

        self._model, self.runtime = model, f"torch {torch.__version__} float32"

    def documents(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._model.encode_document(text, show_progress_bar=False) for text in texts])

    def queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._model.encode_query(text, show_progress_bar=False) for text in texts])


def _path(
    model: SentenceTransformer,
    tokenizer: Tokenizer | None,
    prompts: dict[str, str],
    limit: int,
    precision: str,
    fast: bool,
) -> tuple[_Path, Json]:
    """The fastest path with the vectors of the model's `encode` in float32, and remarks for `environment`."""
    from sentence_transformers.sentence_transformer.modules import Transformer

    plain, remarks = _OneByOne(model), Json()
    if tokenizer and isinstance(model[0], Transformer) and model.tokenizer.pad_token_id is not None:
        truth = [*plain.documents(PROBE), *plain.queries(PROBE[:1])]
        padding = {"pad": model.tokenizer.pad_token_id, "left": model.tokenizer.padding_side == "left"}
        if fast and model.device.type == "cpu" and runtimes.openvino_installed():
            try:
                path = FixedShapes(
                    runtimes.OpenVINORuntime(model, precision), _copy(tokenizer), prompts, limit, **padding
                )
                path.check(truth, precision)
                return path, remarks
            except Exception as failure:  # any error of a broken or outdated package
                remarks = {"openvino": f"was not used: {model_files.first_line(failure)}"}
        if precision == "float32" or model.device.type != "cpu":
            path = FixedShapes(runtimes.TorchRuntime(model, precision), _copy(tokenizer), prompts, limit, **padding)
            with suppress(ValueError):
                path.check(truth, precision)
                return path, remarks
    if precision != "float32":
        raise _precision_unavailable(precision, remarks)
    return plain, remarks


def _precision_unavailable(precision: str, remarks: Json) -> InvalidInputError:
    missing = not runtimes.openvino_installed()
    return InvalidInputError(
        f"this model cannot be run in {precision} here: on a CPU that takes OpenVINO, "
        f"which {'is not installed' if missing else remarks.get('openvino', 'cannot run a model of this kind')}",
        code="no_bfloat16",
        hint="pip install 'vecver[fast]'" if missing else "leave ':bf16' out",
    )


# -- opening a model ----------------------------------------------------------------------------


def _load(source: str) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as bars
    except ImportError as missing:
        raise model_files.not_installed(missing.name or "sentence-transformers", "models") from missing
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(source, local_files_only=Path(source).is_dir())
    except Exception as failure:  # any error of a broken file or a missing network
        raise _not_loaded(source, failure) from failure
    finally:
        if shown:
            bars.enable_progress_bar()  # type: ignore[no-untyped-call]
    return model.float().eval()


def _not_loaded(source: str, failure: Exception) -> InvalidInputError | BackendError:
    reason = model_files.first_line(failure)
    if Path(source).is_dir():
        return InvalidInputError(
            f"the folder {source!r} holds no model that sentence-transformers can load: {reason}",
            code="bad_model_folder",
            hint="give the folder that SentenceTransformer.save wrote, the one with modules.json",
        )
    return BackendError(
        f"the model {source!r} is neither in the local cache nor to be had: {reason}",
        code="model_unavailable",
        hint="check the name; fetch it once while online, or give a folder: sentence-transformers:FOLDER",
        retryable=True,
    )


# -- properties of a model ----------------------------------------------------------------------


def _tokenizer(model: SentenceTransformer) -> Tokenizer | None:
    """A copy of the model's fast tokenizer that neither pads nor truncates; None if it has no fast tokenizer."""
    from tokenizers import Tokenizer

    tokenizer = getattr(model, "tokenizer", None)
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(fast, Tokenizer):
        return None
    copy = _copy(fast)
    copy.no_padding()
    copy.no_truncation()
    return copy


def _copy(tokenizer: Tokenizer) -> Tokenizer:
    return type(tokenizer).from_str(tokenizer.to_str())


def _specials(tokenizer: Tokenizer | None) -> int:
    return int(tokenizer.num_special_tokens_to_add(False)) if tokenizer else 0


def _prompt(model: SentenceTransformer, *names: str) -> str:
    """The first of these prompts that the model has, as `encode_query` and `encode_document` choose it."""
    return next((model.prompts[name] for name in names if name in model.prompts), "") or ""


def _metric(model: SentenceTransformer) -> Metric:
    name = model.similarity_fn_name
    if name not in METRICS:
        raise InvalidInputError(
            f"the model compares vectors by {name!r}, which vecver does not know",
            code="unknown_metric",
            hint=f"use a model for one of: {', '.join(map(str, METRICS))}",
        )
    return METRICS[name]


def _describe(module: Any) -> str:
    mode = getattr(module, "pooling_mode", "")
    return " ".join([type(module).__name__, *([mode] if isinstance(mode, str) else mode)]).rstrip()


def _environment(model: SentenceTransformer, path: _Path) -> Json:
    import sentence_transformers
    import torch

    return {
        "runtime": path.runtime,
        "torch": torch.__version__,
        "sentence-transformers": sentence_transformers.__version__,
        "device": model.device.type,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "path": path.name,
    }
