"""Runs a model on padded token ids, with ONNX Runtime, torch or OpenVINO.

A runtime gets a batch and returns its vectors. The embedder chooses the shapes. The runtime promises that a row's bits
depend on nothing but the row and that shape.

Decisions
1. Networks that `bert` builds as graphs run on ONNX Runtime. MiniLM on one core of a busy AMD Zen 5, with numpy
   (OpenBLAS, our own erf), torch 2.13 alone, ONNX Runtime 1.32 and OpenVINO 2026.4: from start to the first vector
   0.15, 1.02, 0.22, 0.38 s; 1 text of 16 tokens 6.4, 7.3, 3.6, 3.5 ms; 4 of 64: 65, 61, 28, 27 ms; 4 of 256: 290, 286,
   132, 125 ms; installed 0, 700, 78, 180 MB. numpy is the smallest but half as fast, and its BLAS gives other bits for
   another number of threads, which only the whole process can set.
2. Under sentence-transformers OpenVINO runs the torch module as it is (onnxruntime needs an export, with two more
   packages), supports bfloat16, and was 1.1 to 1.2 times as fast as torch in float32. It converts the model in each
   process: 0.9 s beside the 4.5 s in which torch and sentence-transformers are imported, so stored conversions would
   save little.
3. One thread a batch, and one batch a core: a row's bits cannot depend on the number of threads, and on a busy machine
   no thread waits for another. So a query is one row here, of any length.
4. Milliseconds for 1, 4, 8 and 16 queries of 16 padded tokens in a batch: torch on two threads 6, 11, 16, 27; on one
   10, 17, 27, 49; OpenVINO (one) 6, 14, 28, 53. Of 48 tokens: 10, 23, 37, 77; 15, 40, 71, 137; 11, 36, 70, 142. Two
   threads give other bits than for a single query between 48 and 208 tokens, so there four or more go into a batch of
   256. On one thread 4 or 8 rows gain what there is to gain; wider than 48 OpenVINO gains under 20%.
5. OpenVINO chooses bfloat16 by default on CPUs that have it, so float32 is always set explicitly.
6. The package openvino-telemetry, which openvino requires, reports every import to Google Analytics unless the user
   opted out. A library must not do that, so it is hidden while openvino is imported; openvino then uses its own stub.
7. bfloat16 is refused if the CPU's flags do not include it: there torch is dozens of times slower, and OpenVINO
   computes in float32 without saying so.
8. On a CPU only OpenVINO computes in bfloat16: torch's bits differed between one thread and two (by 3e-4, and its
   "deterministic" flag changed nothing). On a GPU torch does, and pools in float32.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import util
from logging import CRITICAL
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from vecver.cores import usable_cores
from vecver.errors import InvalidInputError, say
from vecver.model import Vectors

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

PRECISIONS = {"bf16": "bfloat16"}  # name in a spec -> name in a recipe; float32 is the default
CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16")  # CPU flags as torch names them; one is enough

LEAST_TOKENS = 256  # in a torch batch; with fewer, bits depend on the number of threads
NARROW_QUERY = 48  # padded tokens up to which torch runs a query as a batch of one row

Ids = npt.NDArray[np.int64]


class Runtime(Protocol):
    """A model, ready to run."""

    name: str  # with version and precision, for `environment`
    rows: int  # in a batch of enough tokens; embedding one changed paragraph computes all of them

    @property
    def at_once(self) -> int:
        """Batches that run side by side."""

    def query_rows(self, width: int, count: int) -> int:
        """Rows of the next batch for `count` queries of `width` padded tokens; 1 runs a query alone."""

    def run(self, tokens: Ids, mask: Ids) -> Vectors:
        """`(rows, dim)` float32 for token ids and attention mask, both `(rows, width)`; safe in many threads."""


def check_known(precision: str) -> None:
    """Raises InvalidInputError (vecver does not support this precision)."""
    if precision not in ("float32", *PRECISIONS.values()):
        raise InvalidInputError(
            f"no embedder computes in {precision!r}",
            code="unknown_precision",
            hint=f"leave it out for float32, or take one of: {', '.join(PRECISIONS)}; "
            "a folder that is really called so is written with a slash at its end",
        )


def check_possible(precision: str, device: str) -> None:
    """Raises InvalidInputError (bfloat16 on a machine that does not support it)."""
    if precision == "bfloat16" and not has_bfloat16(device):
        raise InvalidInputError(
            "this embedder computes in bfloat16, and this machine does not: its CPU has neither AVX512_BF16 nor "
            "AMX_BF16, and torch sees no GPU that has it",
            code="no_bfloat16",
            hint=say(
                "use a machine that has it, or ingest all sources again with the same embedder without ':bf16'",
                cli="use a machine that has it, or ingest all sources again with the same --embedder without ':bf16'",
            ),
        )


def has_bfloat16(device: str) -> bool:
    """Whether this machine computes in bfloat16 natively."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device == "cpu" and any(flags.get(flag) for flag in CPU_BFLOAT16)


def _narrow_rows(count: int) -> int:
    """Rows for `count` narrow queries on one thread; see Decisions."""
    return 1 if count < 3 else 4 if count < 6 else 8


def cores() -> int:
    """Batches that fill this CPU with a thread each."""
    import torch

    return threads if (threads := torch.get_num_threads()) > 1 else os.cpu_count() or 1


# -- ONNX Runtime -------------------------------------------------------------------------------


class OnnxRuntime:
    """Runs a graph of `bert` on ONNX Runtime, one thread a batch. Raises ONNX Runtime's errors when loading fails."""

    rows = 4  # 8 are no faster

    def __init__(self, graph: bytes, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; it warns of machines without a GPU
        self._weights = dict(weights)  # kept alive: the session uses them in place
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in self._weights.values()]
        options.add_external_initializers(list(self._weights), values)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.at_once = usable_cores()
        self.name = f"onnxruntime {onnxruntime.__version__} float32"

    def query_rows(self, width: int, count: int) -> int:
        return 1 if width > NARROW_QUERY else _narrow_rows(count)

    def run(self, tokens: Ids, mask: Ids) -> Vectors:
        (vectors,) = self._session.run(None, {"ids": tokens, "mask": mask})
        return vectors


# -- torch --------------------------------------------------------------------------------------


class TorchRuntime:
    """Runs the model with torch, on the device it is on."""

    def __init__(self, model: SentenceTransformer, precision: str) -> None:
        import torch

        self._model, self._device = model, model.device
        self.rows = 8 if model.device.type == "cpu" else 64  # 16 are no faster on two cores
        if precision == "bfloat16":
            model[0].bfloat16()
        self.name = f"torch {torch.__version__} {precision}"

    @property
    def at_once(self) -> int:
        """1 for a GPU and for torch with several threads, which one batch fills."""
        import torch

        return cores() if self._device.type == "cpu" and torch.get_num_threads() == 1 else 1

    def query_rows(self, width: int, count: int) -> int:
        full = -(-LEAST_TOKENS // width)
        if width > NARROW_QUERY:
            return full
        if self.at_once > 1:
            return _narrow_rows(count)
        return 1 if count < 4 else full

    def run(self, tokens: Ids, mask: Ids) -> Vectors:
        import torch

        with torch.inference_mode():
            ids, shown = (torch.from_numpy(values).to(self._device) for values in (tokens, mask))
            vectors: Vectors = _vectors(self._model, ids, shown).cpu().numpy()
        return vectors


def _vectors(stages: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Run a batch through the model's modules in order, from the second on in float32."""
    features = {"input_ids": ids, "attention_mask": mask}
    for stage in stages:
        features = {name: value.float() if _is_half(value) else value for name, value in stage(features).items()}
    return features["sentence_embedding"]


def _is_half(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16


# -- OpenVINO -----------------------------------------------------------------------------------


def openvino_installed() -> bool:
    """Whether OpenVINO is installed; whether it works shows when the model opens."""
    return util.find_spec("openvino") is not None


class OpenVINORuntime:
    """Runs the model with OpenVINO, one thread a batch. Raises OpenVINO's errors when the conversion fails."""

    rows = 4  # 8 are no faster

    def __init__(self, model: SentenceTransformer, precision: str) -> None:
        openvino = _import_openvino()
        self.at_once = cores()
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "NUM_STREAMS": self.at_once,
            "INFERENCE_NUM_THREADS": self.at_once,
            "ENABLE_CPU_PINNING": False,  # other work on a pinned core would stall its batch
        }
        self._compiled = openvino.Core().compile_model(_converted(model, openvino), "CPU", settings)
        self.name = f"openvino {openvino.__version__.partition('-')[0]} {precision}"

    def query_rows(self, width: int, count: int) -> int:
        return 1 if width > NARROW_QUERY else _narrow_rows(count)

    def run(self, tokens: Ids, mask: Ids) -> Vectors:
        (vectors,) = self._compiled.create_infer_request().infer([tokens, mask]).values()
        return vectors


def _import_openvino() -> Any:
    hidden = "openvino_telemetry"
    if hidden in sys.modules:
        import openvino

        return openvino
    sys.modules[hidden] = None  # type: ignore[assignment]  # so that importing it fails
    try:
        import openvino
    finally:
        del sys.modules[hidden]
    return openvino


def _converted(model: SentenceTransformer, openvino: Any) -> Any:
    """The model as OpenVINO's graph, for batches of any shape."""
    import torch

    class Stages(torch.nn.Module):  # tracing walks all attributes, so only the modules are passed
        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(model)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return _vectors(self.stages, ids, mask)

    ids = torch.full((2, 16), 5)
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0  # mask some tokens, otherwise the traced model drops the mask
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            Stages().eval(), (ids, mask), check_trace=False, strict=False
        )
        return openvino.convert_model(traced, example_input=(ids, mask))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence deprecation warnings: tracing reads every attribute of a model."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
