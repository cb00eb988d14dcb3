"""Opens an embedder by its name or its recipe, and defines the hashing embedder, which needs no model.

Decisions
1. A recipe holds what makes vectors comparable: digests of weights and tokenizer, modules, prompts, length. Runtime,
   device and versions change a vector by about 1e-7, so they belong to `environment`. Otherwise every upgrade of torch
   would require embedding everything again.
2. `location` in a recipe (package, hub name or folder) says where to find the model and is not part of the fingerprint:
   the same files make the same space wherever they lie. An endpoint's `url` is part of it, since the weights behind an
   endpoint cannot be checked.
3. `:bf16` at the end of a spec is a precision and makes another space, so it is in the recipe. Other precisions
   (`:int8`, `:fp16`) are refused instead of being looked up as a folder. int8 is not offered: one file of weights gave
   other vectors on another CPU (cosine down to 0.69).
4. API keys are an argument of `open_embedder`, since everyone who clones a repository can read its recipes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json
from vecver.errors import InvalidInputError, SpaceMismatchError
from vecver.model import Embedder, Endpoints, Json, Metric, TokenCounts, Vectors
from vecver.near import near
from vecver.pipeline.embedders import endpoint_recipes
from vecver.pipeline.embedders.endpoint_recipes import recipe_of
from vecver.pipeline.embedders.model_files import Missing, Unfit, not_installed
from vecver.pipeline.embedders.objects import found_among
from vecver.pipeline.embedders.runtimes import PRECISIONS
from vecver.pipeline.embedders.shapes import SHAPES

DEFAULT = "minilm"
UNSEEN = {"location", *endpoint_recipes.UNSEEN}  # fields of a recipe that do not affect whether vectors are comparable
KINDS = ("minilm", "sentence-transformers", *SHAPES, "hashing")
SPECS = (
    "minilm[:bf16], sentence-transformers:NAME_OR_FOLDER[:bf16], openai:MODEL[@URL,URL…] "
    "(or voyage, cohere, ollama; vllm, infinity, tei with a URL), hashing"
)


def open_embedder(spec: str | Json, *, api_key: str | None = None, endpoints: Endpoints | None = None) -> Embedder:
    """Open the embedder that a spec string or an embedder's own recipe names.

    `minilm` is the bundled all-MiniLM-L6-v2; `sentence-transformers:` takes a hub name or a folder; with
    `:bf16` after it, either computes in bfloat16, on a CPU or GPU that has it;
    `openai:MODEL@https://host/v1` is any OpenAI-compatible endpoint (without `@URL`: OpenAI itself), with commas
    between several that serve one model; `voyage:`, `cohere:`, `ollama:`, `vllm:`, `infinity:` and `tei:` are others.
    They alone use `api_key` and `endpoints`. `hashing` needs no model.

    Raises InvalidInputError (unknown spec, missing package or folder, the recipe of a caller's object),
    BackendError (a model or endpoint that does not answer), IntegrityError (the bundled weights are not the
    published ones) and SpaceMismatchError (a recipe whose files or dimension are others now).
    """
    if isinstance(spec, str):
        return _open(spec, api_key, endpoints)
    found_among((), spec)
    if spec.get("name") not in ("sentence-transformers", *SHAPES, "hashing"):
        raise _unknown(str(spec.get("name")))
    try:
        opened = _reopen(spec, api_key, endpoints)
    except KeyError as missing:
        raise InvalidInputError(
            f"the recipe of embedder {spec['name']!r} lacks {missing}",
            code="bad_embedder_recipe",
            hint="pass the recipe of an embedder unchanged, or a spec string",
        ) from missing
    _check_same(spec, opened.recipe)
    return opened


def fingerprint(recipe: Json) -> str:
    """32 hex characters: the digest of a recipe without its `location` and `probe`."""
    return digest_json({field: value for field, value in recipe.items() if field not in UNSEEN})[:32]


_PRECISION = re.compile(r"(.*):((?:bf|fp|int|float|bfloat)\d+)", re.DOTALL)


def _behind_endpoints(recipe: Json, api_key: str | None, endpoints: Endpoints | None) -> Embedder:
    from vecver.pipeline.embedders.openai import OpenAIEmbedder  # most versions have a model of this machine

    return OpenAIEmbedder(recipe, api_key=api_key, endpoints=endpoints)


def _open(spec: str, api_key: str | None, endpoints: Endpoints | None) -> Embedder:
    if spec == "hashing":
        return HashingEmbedder()
    if recipe := recipe_of(spec):
        return _behind_endpoints(recipe, api_key, endpoints)
    model, precision = _split(spec)
    kind, _, location = model.partition(":")
    if model == "minilm" or (kind == "sentence-transformers" and location):
        return _local(location or model, precision)
    raise _unknown(spec)


def _split(spec: str) -> tuple[str, str]:
    """A spec without its precision, and the precision (float32 by default)."""
    match = _PRECISION.fullmatch(spec)
    return (match[1], PRECISIONS.get(match[2], match[2])) if match else (spec, "float32")


def _reopen(recipe: Json, api_key: str | None, endpoints: Endpoints | None) -> Embedder:
    if recipe["name"] == "sentence-transformers":
        return _local(recipe["location"], recipe.get("precision", "float32"), recipe)
    if recipe["name"] in SHAPES:
        recipe["model"], recipe["dim"], recipe.get("urls") or recipe["url"]  # a KeyError names what is missing
        return _behind_endpoints(recipe, api_key, endpoints)
    return HashingEmbedder()


def _local(location: str, precision: str, recipe: Json | None = None) -> Embedder:
    """A local model, opened without torch if possible, otherwise with sentence-transformers."""
    from vecver.pipeline.embedders.light import LightEmbedder
    from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

    unfit = Unfit(f"{precision} is computed by torch or OpenVINO")
    if precision == "float32":
        try:
            return LightEmbedder(location, recipe)
        except Unfit as reason:
            unfit = reason
    try:
        embedder = SentenceTransformerEmbedder(location, precision)
    except InvalidInputError as error:
        if error.code != "missing_package":
            raise
        raise _needs_more(unfit, error) from error
    embedder.environment["light"] = f"was not used: {unfit}"
    return embedder


def _needs_more(unfit: Unfit, missing: InvalidInputError) -> InvalidInputError:
    """The error if neither `light` nor sentence-transformers can run a model."""
    if isinstance(unfit, Missing):
        return not_installed(unfit.package, "embed")
    return InvalidInputError(
        f"this model needs the package {missing.context['package']}: {unfit}",
        code="missing_package",
        hint="pip install 'vecver[models]'",
        package=missing.context["package"],
    )


def _check_same(recorded: Json, opened: Json) -> None:
    other = sorted(key for key in (recorded.keys() | opened.keys()) - UNSEEN if recorded.get(key) != opened.get(key))
    if other:
        raise SpaceMismatchError(
            f"embedder {recorded['name']!r} is another one now: {', '.join(other)} differ from its recipe",
            code="embedder_changed",
            hint="restore the files that the recipe names, or embed the dataset again with the new model",
            recipe={key: recorded.get(key) for key in other},
            found={key: opened.get(key) for key in other},
        )


def _unknown(spec: str) -> InvalidInputError:
    return InvalidInputError(
        f"no embedder is called {spec!r}",
        code="unknown_embedder",
        hint=f"one of: {SPECS}",
        did_you_mean=_near_specs(spec),
    )


def _near_specs(spec: str | Json) -> list[str]:
    """Specs similar to a mistyped one: its first part is a near miss, or it is only a model's name."""
    if not isinstance(spec, str):
        return []
    kind, colon, target = spec.partition(":")
    if not colon and "minilm" in kind.lower():
        return ["minilm"]
    if not colon and not near(kind, KINDS) and ("/" in kind or "-" in kind):
        return [f"sentence-transformers:{spec}"]
    return [name + colon + target for name in near(kind, KINDS)]


# -- the embedder that needs no model -----------------------------------------------------------

_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """Signed feature hashing of lower-cased words and pairs of words (Weinberger et al. 2009, arXiv:0902.2206).

    Counts are integers and each component is one float64 division, so a text has the same bits on every
    machine. A text of n words has 2n-1 features, an odd number of ±1, so no vector is zero; all texts
    without a word share one vector.
    """

    dim = 256
    metric: Metric = "cosine"
    max_tokens = 32_768  # there is no real limit; a round number keeps chunkers' arithmetic finite
    at_once = 1  # pure Python: threads would take turns

    def __init__(self) -> None:
        self.name = "hashing"
        self.recipe: Json = {"name": "hashing", "version": 1, "dim": self.dim}
        self.fingerprint = fingerprint(self.recipe)
        self.environment: Json = {"runtime": f"numpy {np.__version__}", "device": "cpu"}

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Words of each text; `(n,)`."""
        return np.array([len(_WORD.findall(text)) for text in texts], dtype=np.int64)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As `count_tokens`; no word is unknown or truncated."""
        none = np.zeros(len(texts), dtype=np.int64)
        return TokenCounts(self.count_tokens(texts), none, none)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, 256)` float32, each row of length 1."""
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            counts = np.zeros(self.dim, dtype=np.int64)
            for feature in _features(text):
                slot, sign = _hash(feature)
                counts[slot] += sign
            out[row] = counts / np.sqrt(np.float64(counts @ counts))
        return out

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, with the same bits."""
        return self.embed(texts)


def _features(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [*words, *(f"{first} {second}" for first, second in pairwise(words))] or [""]


@lru_cache(maxsize=100_000)
def _hash(feature: str) -> tuple[int, int]:
    value = int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return value % HashingEmbedder.dim, 1 if value >> 63 else -1
