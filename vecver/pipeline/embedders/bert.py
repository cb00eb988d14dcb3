"""Builds ONNX graphs of BERT-like networks, with pooling: BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT and MPNet.

It reads a model's configuration and weights, and raises `Unfit` for anything it does not support: an unknown option, a
missing or an extra weight. The arithmetic is that of transformers' modelling code (Devlin et al. 2018,
arXiv:1810.04805; Song et al. 2020, arXiv:2004.09297 for MPNet's relative positions).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecver.pipeline.embedders.model_files import Unfit
from vecver.pipeline.embedders.onnx_graph import Graph

Json = dict[str, Any]
Weights = Mapping[str, npt.NDArray[Any]]
HIDDEN: Final = np.float32(-1e9)  # added to a masked token's attention score, so that its exp is 0
_KINDS: Final = ("bert", "roberta", "xlm-roberta", "camembert", "mpnet", "distilbert")
_OFFSET: Final = ("roberta", "xlm-roberta", "camembert", "mpnet")  # models whose positions start at pad_token_id + 1
_IGNORED: Final = re.compile(r"(.*\.)?(pooler|position_ids|cls|lm_head)\b.*")
_BUCKETS, _FARTHEST = 32, 128  # of MPNet's relative positions
_DISTIL: Final = {  # DistilBERT's names, as BERT has them
    "transformer.layer": "encoder.layer",
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_MPNET: Final = {  # MPNet's names, as BERT has them
    "attention.attn.q": "attention.self.query",
    "attention.attn.k": "attention.self.key",
    "attention.attn.v": "attention.self.value",
    "attention.attn.o": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
}


def positions_of(config: Json) -> int:
    """The number of positions of a model with this configuration."""
    first = _unplaced(config) + 1 if config["model_type"] in _OFFSET else 0
    return int(config["max_position_embeddings"]) - first


def _unplaced(config: Json) -> int:
    """The padding token, which has no position. MPNet's code always uses 1."""
    return 1 if config["model_type"] == "mpnet" else int(config["pad_token_id"])


def graph_of(config: Json, weights: Weights, pooling: str, *, normalised: bool, limit: int) -> tuple[bytes, Weights]:
    """The graph from token ids and mask, int64 `(rows, width)`, to float32 `(rows, dim)`, and its weights.

    `pooling` is mean or cls; `limit`: no text has more tokens. Raises Unfit.
    """
    network = _Network(_checked(config, limit), _named(weights, config["model_type"]))
    words = network.encoded(limit)
    network.check_all_used()
    return network.finish(words, pooling, normalised)


def _checked(config: Json, limit: int) -> Json:
    """The configuration with BERT's option names. Raises Unfit."""
    kind = config.get("model_type")
    if kind not in _KINDS:
        raise Unfit(f"its network is of the kind {kind!r}")
    if kind == "distilbert":
        config = {
            **config,
            "hidden_size": config["dim"],
            "num_attention_heads": config["n_heads"],
            "num_hidden_layers": config["n_layers"],
            "hidden_act": config["activation"],
            "layer_norm_eps": 1e-12,
        }
        if config.get("sinusoidal_pos_embds"):
            raise Unfit("its positions are sinusoidal")
    if config.get("hidden_act") not in ("gelu", "relu"):
        raise Unfit(f"its activation is {config.get('hidden_act')!r}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise Unfit(f"its positions are {config['position_embedding_type']!r}")
    if config.get("is_decoder") or config.get("add_cross_attention") or config.get("quantization_config"):
        raise Unfit("it is a decoder, or quantised")
    if limit > positions_of(config):
        raise Unfit(f"it reads {limit} tokens and has {positions_of(config)} positions")
    return config


def _named(weights: Weights, kind: str) -> dict[str, npt.NDArray[Any]]:
    """The weights with BERT's names, as float32."""
    other = _DISTIL if kind == "distilbert" else _MPNET if kind == "mpnet" else {}
    named = {}
    for name, value in weights.items():
        if _IGNORED.fullmatch(name):
            continue
        name = name.removeprefix({"xlm-roberta": "roberta", "camembert": "roberta"}.get(kind, kind) + ".")
        for theirs, ours in other.items():
            name = re.sub(rf"(^|\.){re.escape(theirs)}(?=\.)", rf"\g<1>{ours}", name)
        named[name] = value.astype(np.float32, copy=False)
    return named


class _Network:
    """Builds the graph."""

    def __init__(self, config: Json, weights: dict[str, npt.NDArray[Any]]) -> None:
        self._config, self._weights, self._unused = config, weights, set(weights)
        self._graph = Graph()
        self._ids = self._graph.input("ids", "rows", "width")
        self._mask = self._graph.input("mask", "rows", "width")
        self._heads, self._size = int(config["num_attention_heads"]), int(config["hidden_size"])
        if self._size % self._heads:
            raise Unfit("its heads do not share its width evenly")

    def encoded(self, limit: int) -> str:
        """The output of the layers, `(rows * width, size)`."""
        add, constant = self._graph.add, self._graph.constant
        words = self._normed(self._embedded(limit), "embeddings.LayerNorm")
        self._shape3 = add("Shape", words)  # rows, width, size
        words = add("Reshape", words, constant([-1, self._size], "int64"))
        shown = add("Sub", constant(1.0), add("Cast", self._mask, to=1))
        bias = add("Unsqueeze", add("Mul", shown, constant(HIDDEN)), constant([1, 2], "int64"))
        if self._config["model_type"] == "mpnet":
            bias = add("Add", bias, self._relative(limit))
        for number in range(int(self._config["num_hidden_layers"])):
            words = self._layer(words, bias, f"encoder.layer.{number}.")
        return words

    def finish(self, words: str, pooling: str, normalised: bool) -> tuple[bytes, Weights]:
        """The bytes of the graph with pooling, and its weights."""
        add, constant = self._graph.add, self._graph.constant
        words = add("Reshape", words, self._shape3)
        if pooling == "cls":
            vectors = add("Gather", words, constant(0, "int64"), axis=1)
        elif pooling == "mean":
            mask = add("Cast", self._mask, to=1)
            total = add("ReduceSum", add("Mul", words, add("Unsqueeze", mask, constant([2], "int64"))),
                        constant([1], "int64"), keepdims=0)  # fmt: skip
            vectors = add("Div", total, add("ReduceSum", mask, constant([1], "int64"), keepdims=1))
        else:
            raise Unfit(f"it pools by {pooling!r}")
        if normalised:
            square = add("ReduceSum", add("Mul", vectors, vectors), constant([1], "int64"), keepdims=1)
            vectors = add("Div", vectors, add("Max", add("Sqrt", square), constant(1e-12)))
        return self._graph.model(vectors, "rows", "dim"), self._graph.weights

    def check_all_used(self) -> None:
        """Raises Unfit if a weight was not used, since then the network is another one."""
        if self._unused:
            raise Unfit(f"it has weights that are not known here: {', '.join(sorted(self._unused)[:3])}")

    def _embedded(self, limit: int) -> str:
        """The sum of token and position embeddings, `(rows, width, size)`."""
        add, constant = self._graph.add, self._graph.constant
        positions = self._weight("embeddings.position_embeddings.weight")
        if "embeddings.token_type_embeddings.weight" in self._weights:
            positions = positions + self._weight("embeddings.token_type_embeddings.weight")[0]
        words = add("Gather", constant(self._weight("embeddings.word_embeddings.weight")), self._ids)
        if self._config["model_type"] in _OFFSET:
            padding = _unplaced(self._config)
            real = add("Cast", add("Not", add("Equal", self._ids, constant(padding, "int64"))), to=7)
            counted = add("Mul", add("CumSum", real, constant(1, "int64")), real)
            where = add("Add", counted, constant(padding, "int64"))
            return add("Add", words, add("Gather", constant(positions), where))
        zero = constant([0], "int64")
        width = add("Slice", add("Shape", self._ids), constant([1], "int64"), constant([2], "int64"), zero)
        return add("Add", words, add("Slice", constant(positions[:limit]), zero, width, zero))

    def _layer(self, words: str, bias: str, at: str) -> str:
        add = self._graph.add
        query = self._split(words, at + "attention.self.query", [0, 2, 1, 3], 1 / math.sqrt(self._size // self._heads))
        key = self._split(words, at + "attention.self.key", [0, 2, 3, 1])
        value = self._split(words, at + "attention.self.value", [0, 2, 1, 3])
        weight = add("Softmax", add("Add", add("MatMul", query, key), bias), axis=-1)
        mixed = add("Transpose", add("MatMul", weight, value), perm=[0, 2, 1, 3])
        mixed = add("Reshape", mixed, self._graph.constant([-1, self._size], "int64"))
        attended = add("Add", self._linear(mixed, at + "attention.output.dense"), words)
        words = self._normed(attended, at + "attention.output.LayerNorm")
        inner = self._activated(self._linear(words, at + "intermediate.dense"))
        return self._normed(add("Add", self._linear(inner, at + "output.dense"), words), at + "output.LayerNorm")

    def _split(self, words: str, name: str, order: list[int], scale: float = 1.0) -> str:
        """A linear map split by heads: `(rows, heads, width, size / heads)` after the permutation `order`."""
        add, constant = self._graph.add, self._graph.constant
        outer = add("Slice", self._shape3, constant([0], "int64"), constant([2], "int64"), constant([0], "int64"))
        heads = constant([self._heads, self._size // self._heads], "int64")
        split = add("Reshape", self._linear(words, name, scale), add("Concat", outer, heads, axis=0))
        return add("Transpose", split, perm=order)

    def _linear(self, words: str, name: str, scale: float = 1.0) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        if scale != 1.0:
            weight, bias = weight * np.float32(scale), bias * np.float32(scale)
        return self._graph.add("Gemm", words, self._graph.constant(weight), self._graph.constant(bias), transB=1)

    def _activated(self, words: str) -> str:
        add, constant = self._graph.add, self._graph.constant
        if self._config["hidden_act"] == "relu":
            return add("Relu", words)
        one_plus_erf = add("Add", add("Erf", add("Div", words, constant(math.sqrt(2)))), constant(1.0))
        return add("Mul", add("Mul", words, one_plus_erf), constant(0.5))

    def _normed(self, words: str, name: str) -> str:
        scale, shift = (self._graph.constant(self._weight(f"{name}.{part}")) for part in ("weight", "bias"))
        epsilon = float(self._config["layer_norm_eps"])
        return self._graph.add("LayerNormalization", words, scale, shift, axis=-1, epsilon=epsilon)

    def _relative(self, limit: int) -> str:
        """MPNet's attention bias by the distance of two tokens, `(1, heads, width, width)`."""
        add, constant = self._graph.add, self._graph.constant
        apart = np.arange(limit)[None, :] - np.arange(limit)[:, None]
        near, exact = _BUCKETS // 2, _BUCKETS // 4
        distance = np.abs(apart)
        far = np.log(np.maximum(distance, 1).astype(np.float32) / exact) / math.log(_FARTHEST / exact)
        far = np.minimum(exact + (far * (near - exact)).astype(np.int64), near - 1)
        bucket = np.where(apart > 0, near, 0) + np.where(distance < exact, distance, far)
        bias = self._weight("encoder.relative_attention_bias.weight")[bucket].transpose(2, 0, 1)[None]
        zero, axes = constant([0, 0], "int64"), constant([2, 3], "int64")
        ends = add("Slice", self._shape3, constant([1], "int64"), constant([2], "int64"), constant([0], "int64"))
        return add("Slice", constant(bias), zero, add("Concat", ends, ends, axis=0), axes)

    def _weight(self, name: str) -> npt.NDArray[Any]:
        if name not in self._weights:
            raise Unfit(f"it has no weight {name!r}")
        self._unused.discard(name)
        return self._weights[name]
