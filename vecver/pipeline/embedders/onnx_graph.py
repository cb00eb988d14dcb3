"""Writes an ONNX graph, node by node. It knows nothing of the network that the graph describes.

Weights are not part of the bytes: the graph names them, and ONNX Runtime gets them as arrays, so that 90 MB are mapped
and not copied. The format is https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, of which this is the needed part.

Decisions
1. Ninety lines here replace the package `onnx`, which takes 31 MB and 0.3 s of import for a file that is only written.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
OPSET: Final = 17
FLOAT, INT64 = 1, 7  # TensorProto.DataType
_TYPES: Final = {np.dtype("float32"): FLOAT, np.dtype("int64"): INT64}
_SMALL: Final = 64  # elements up to which a constant is stored in the graph


class Graph:
    """A graph under construction; every call returns a result's name. `weights`: the arrays it needs, by name."""

    def __init__(self) -> None:
        self.weights: dict[str, Array] = {}
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._count = 0

    def input(self, name: str, *dimensions: str) -> str:
        """An input of int64, with a name for each dimension."""
        self._inputs.append(_value(name, INT64, dimensions))
        return name

    def constant(self, value: Any, dtype: str = "float32") -> str:
        """Add an array or number: small ones are stored in the graph, large ones go to `weights`."""
        array = np.asarray(value, dtype)
        name = self._name("c")
        head = b"".join(_integer(1, size) for size in array.shape)
        head += _integer(2, _TYPES[array.dtype]) + _bytes(8, name.encode())
        if array.size <= _SMALL:
            self._constants.append(_bytes(5, head + _bytes(9, np.ascontiguousarray(array).tobytes())))
        else:
            self.weights[name] = np.ascontiguousarray(array)
            where = _bytes(1, b"location") + _bytes(2, b"weights")
            self._constants.append(_bytes(5, head + _bytes(13, where) + _integer(14, 1)))
        return name

    def add(self, operator: str, *inputs: str, **attributes: int | float | list[int]) -> str:
        """The result of an operator of ONNX on these values."""
        output = self._name("v")
        node = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode())
        node += _bytes(4, operator.encode())
        node += b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(_bytes(1, node))
        return output

    def model(self, output: str, *dimensions: str) -> bytes:
        """The bytes of the ONNX file; `output` is its float32 result."""
        graph = b"".join(self._nodes) + _bytes(2, b"graph") + b"".join(self._constants)
        graph += b"".join(_bytes(11, value) for value in self._inputs)
        graph += _bytes(12, _value(output, FLOAT, dimensions))
        return _integer(1, 9) + _bytes(8, _bytes(1, b"") + _integer(2, OPSET)) + _bytes(7, graph)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"


# -- protocol buffers ---------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _attribute(name: str, value: int | float | list[int]) -> bytes:
    head = _bytes(1, name.encode())
    if isinstance(value, list):
        return head + b"".join(_integer(8, item) for item in value) + _integer(20, 7)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + struct.pack("<f", value) + _integer(20, 1)
    return head + _integer(3, value) + _integer(20, 2)


def _value(name: str, kind: int, dimensions: tuple[str, ...]) -> bytes:
    shape = b"".join(_bytes(1, _bytes(2, dimension.encode())) for dimension in dimensions)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _integer(1, kind) + _bytes(2, shape)))
