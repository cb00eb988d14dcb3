"""Embeds with models of BERT's kind without torch: a tokenizer, the mapped weights, and ONNX Runtime.

A model has the same fingerprint as under sentence-transformers: same files, modules, prompts and length. If this module
raises `Unfit`, `open` uses `sentence_transformers` instead.

Decisions
1. Only models whose options are fully understood are accepted: modules Transformer, Pooling (mean or cls) and
   Normalize, weights in one safetensors file, and no unknown option. sentence-transformers handles the others.
2. When a model opens, the first numbers of a few vectors (probes) are compared with those that sentence-transformers
   made of the same texts, with its tolerance. The probes of the bundled model are written below. Those of another model
   are stored as `probe` in its recipe when it is first opened, and compared with sentence-transformers if that is
   installed. `probe` is not part of the fingerprint.
3. safetensors files are read without the safetensors package: a JSON header, then arrays, which are mapped. The
   package's loader copies them (0.04 s).
4. On a machine with a GPU that torch can use, sentence-transformers embeds documents on the GPU, and queries stay here.
"""

from __future__ import annotations

import base64
import json
import mmap
from collections.abc import Sequence
from functools import cached_property
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json
from vecver.model import Embedder, Json, Metric, TokenCounts, Vectors
from vecver.pipeline.embedders import model_files
from vecver.pipeline.embedders.bert import graph_of
from vecver.pipeline.embedders.fixed_shapes import FixedShapes, check_probes
from vecver.pipeline.embedders.model_files import Unfit
from vecver.pipeline.embedders.runtimes import OnnxRuntime

if TYPE_CHECKING:
    from tokenizers import Tokenizer

METRICS: Final[dict[str | None, Metric]] = {None: "cosine", "cosine": "cosine", "dot": "ip", "euclidean": "l2"}
LONGEST: Final = 32_768  # tokens, for models that set no limit
PROBED: Final = 16  # leading numbers of each probe's vector that are compared
MINILM_PROBE: Final = (  # by sentence-transformers 6.2 and torch 2.13
    "99K+u8OGC7zAUUu98xSRPRQHYr1OvaS9BicsPZ3V/byzvb48+mTlu0JkNz2HozY8OU1QvPNZVj3L66y933gMPF8xmb1c53c8s3Qd"
    "verXdrxEPgC8EQsMPUN5rj3xwBQ9pgY1PVyRrL1bkjW9LECHOZurDDvx0xS9uu6LvYu3T7yH4IU7TjoDvEB96TxOrLy8w76YvVAp"
    "OT34shg93abIvNplozvInfA7nkhHvcrSF71eWFE8GV3xvLHcWb1WBkm999K+u8OGC7zAUUu98xSRPRQHYr1OvaS9BicsPZ3V/byz"
    "vb48+mTlu0JkNz2HozY8OU1QvPNZVj3L66y933gMPA=="
)
_POOLING: Final = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
_DTYPES: Final = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


class LightEmbedder:
    """A local sentence-transformers model of BERT's kind. Texts of more than `max_tokens` are truncated."""

    def __init__(self, location: str, recipe: Json | None = None) -> None:
        """Open `minilm`, a folder, or a hub name that is in the cache; `recipe`: the stored recipe to reopen from.

        Raises Unfit (sentence-transformers may be able to open it), and as `model_files`.
        """
        folder = Path(_folder(location))
        files = model_files.file_digests(folder)
        if location == "minilm":
            model_files.check_minilm(files)
        model = _Model(folder)
        self.metric: Metric = model.metric
        self.environment: Json = {"device": "cpu", "path": "fixed shapes"}
        self._tokenizer = model.tokenizer()
        self._unknown = model.unknown(self._tokenizer)
        graph, weights = graph_of(
            model.config, model.weights(), model.pooling, normalised=model.normalised, limit=model.limit
        )
        try:
            runtime = OnnxRuntime(graph, weights)
        except ImportError as missing:
            raise model_files.Missing(missing.name or "onnxruntime") from missing
        self.environment["runtime"] = runtime.name
        self._path = FixedShapes(
            runtime, model.tokenizer(), model.prompts, model.limit, pad=model.config["pad_token_id"], left=False
        )
        probes = self._path.probes(alone=True)
        self.dim = probes[0].shape[0]
        specials = int(self._tokenizer.num_special_tokens_to_add(False))
        self.max_tokens = model.limit - specials - int(self.count_tokens([model.prompts["document"]])[0])
        self.name = location if location == "minilm" else f"sentence-transformers:{location}"
        identity: Json = {
            "name": "sentence-transformers",
            "files": files,
            "modules": model.modules,
            "prompts": model.prompts,
            "max_tokens": self.max_tokens,
            "dim": self.dim,
        }
        self.fingerprint = digest_json(identity)[:32]
        source = location if location == "minilm" else model_files.source_of(location)
        self.recipe: Json = {**identity, "location": source}
        self._check_probes(probes, location, recipe)

    def _check_probes(self, probes: list[Vectors], location: str, recipe: Json | None) -> None:
        """Compare the probes with sentence-transformers' vectors. Raises Unfit."""
        expected = MINILM_PROBE if location == "minilm" else (recipe or {}).get("probe")
        if expected is None and util.find_spec("sentence_transformers"):
            expected = _encoded(self._reference_probes(location))
        try:
            if expected is not None:
                check_probes(probes, _decoded(expected), "float32")
        except ValueError as error:
            raise Unfit(str(error)) from error
        if location != "minilm":
            self.recipe["probe"] = expected or _encoded(probes)

    def _reference_probes(self, location: str) -> list[Vectors]:
        from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

        opened = SentenceTransformerEmbedder(location)
        if opened.fingerprint != self.fingerprint:
            raise Unfit("sentence-transformers finds it in another space")
        return opened.probes()

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Content tokens of each text, without specials and prompt, not truncated; `(n,)`."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return np.array([len(encoding) for encoding in encodings], dtype=np.int64)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As `count_tokens`, with those that are not in the vocabulary, and those beyond `max_tokens`."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        return TokenCounts.of(ids, self._unknown, self.max_tokens)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`; a text has the same bits in any company."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._gpu.embed(texts) if self._gpu else self._path.documents(texts)

    @property
    def at_once(self) -> int:
        """Calls of `embed_queries` that keep the machine busy."""
        return self._path.at_once

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, with the model's query prompt; a query has the bits it has alone."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._path.queries(texts)

    @cached_property
    def _gpu(self) -> Embedder | None:
        """The same model on a GPU, or None; `environment` then describes the GPU."""
        if not has_gpu():
            return None
        from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

        opened = SentenceTransformerEmbedder(self.recipe["location"])
        if opened.environment["device"] == "cpu" or opened.fingerprint != self.fingerprint:
            return None
        self.environment = opened.environment
        return opened


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU and a torch built for it. Imports nothing."""
    torch = util.find_spec("torch") if Path("/dev/nvidia0").exists() else None
    if torch is None or torch.origin is None or util.find_spec("sentence_transformers") is None:
        return False
    version = Path(torch.origin).parent / "version.py"
    return version.is_file() and "cuda: Optional[str] = '" in version.read_text("utf-8")


# -- a model's folder -----------------------------------------------------------------------------


class _Model:
    """A model's folder, read as by sentence-transformers. Raises Unfit for anything it may read differently."""

    def __init__(self, folder: Path) -> None:
        modules = _json(folder / "modules.json", [])
        kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise Unfit(f"its modules are {', '.join(kinds) or 'not listed'}")
        self._words = folder / modules[0]["path"]
        self.config: Json = _json(self._words / "config.json", {})
        self.pooling, pools_prompts = _pooling(_json(folder / modules[1]["path"] / "config.json", {}))
        self.normalised = len(kinds) == 3
        self.modules = [kinds[0], f"Pooling {self.pooling}", *kinds[2:]]
        options = _json(folder / "config_sentence_transformers.json", {})
        prompts = options.get("prompts") or {}
        self.prompts = {name: str(prompts.get(name) or "") for name in ("query", "document")}
        if not pools_prompts and any(self.prompts.values()):
            raise Unfit("it leaves its prompts out when it pools")
        name = options.get("similarity_fn_name")
        if name not in METRICS:
            raise Unfit(f"it compares vectors by {name!r}")
        self.metric: Metric = METRICS[name]
        self.limit = self._limit(_json(self._words / "sentence_bert_config.json", {}))
        if self.config.get("pad_token_id") is None:
            raise Unfit("it has no padding")

    def _limit(self, options: Json) -> int:
        """The longest input in tokens, with specials."""
        known_options = {"max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name"}
        if options.get("do_lower_case") or set(options) - known_options:
            raise Unfit("its Transformer has options that are not known here")
        self._tokens: Json = _json(self._words / "tokenizer_config.json", {})
        if {self._tokens.get(f"{act}_side", "right") for act in ("padding", "truncation")} != {"right"}:
            raise Unfit("it pads or cuts on the left")
        limit = options.get("max_seq_length")
        if limit is None:
            most = (self._tokens.get("model_max_length"), self.config.get("max_position_embeddings"))
            limit = min([int(value) for value in most if value is not None], default=LONGEST)
        return min(int(limit), LONGEST)

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which neither pads nor truncates."""
        try:
            from tokenizers import Tokenizer
        except ImportError as missing:
            raise model_files.Missing(missing.name or "tokenizers") from missing
        file = self._words / "tokenizer.json"
        if not file.is_file():
            raise Unfit("it has no tokenizer.json")
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def unknown(self, tokenizer: Tokenizer) -> int | None:
        """The id of the unknown token."""
        token = self._tokens.get("unk_token")
        name = token.get("content") if isinstance(token, dict) else token
        return tokenizer.token_to_id(name) if isinstance(name, str) else None

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of model.safetensors, mapped."""
        return read_safetensors(self._words / "model.safetensors")


def read_safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file, by name; mapped (https://github.com/huggingface/safetensors#format). Raises Unfit."""
    if not path.is_file():
        raise Unfit("its weights are not in one file of safetensors")
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = int.from_bytes(data[:8], "little")
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _DTYPES:
            raise Unfit(f"its weights are {entry['dtype']}")
        begin, end = entry["data_offsets"]
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        array = np.frombuffer(data, dtype, (end - begin) // dtype.itemsize, 8 + size + begin)
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def _pooling(options: Json) -> tuple[str, bool]:
    """The pooling mode, and whether prompts are pooled too. Raises Unfit."""
    mode = options.get("pooling_mode")
    if mode is None:
        named = [name for name, on in options.items() if name.startswith("pooling_mode_") and on]
        mode = [_POOLING.get(name, name) for name in named] or ["mean"]
    modes = [mode] if isinstance(mode, str) else list(mode)
    if modes not in (["mean"], ["cls"]):
        raise Unfit(f"it pools by {', '.join(map(str, modes))}")
    return str(modes[0]), bool(options.get("include_prompt", True))


def _folder(location: str) -> str:
    """The folder of a model. Raises Unfit (it would have to be downloaded)."""
    source = model_files.source_of(location)
    if Path(source).is_dir():
        return source
    try:
        return str(model_files.hub_folder(source))
    except Exception as error:  # an error of the hub library, or it is missing
        raise Unfit("it is not in the local cache") from error


def _json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else default
    except ValueError as error:
        raise Unfit(f"{path.name} is not JSON") from error


# -- probes -------------------------------------------------------------------------------------


def _encoded(probes: Sequence[Vectors]) -> str:
    """The first numbers of each probe's vector, as stored in a recipe: float32, little-endian, in base64."""
    return base64.b64encode(np.stack(probes)[:, :PROBED].astype("<f4").tobytes()).decode()


def _decoded(probe: str) -> list[Vectors]:
    return list(np.frombuffer(base64.b64decode(probe), "<f4").reshape(4, -1).astype(np.float32))
