"""Pure steps from a published model to the bytes that are kept: no network, no disk.

The denormal step edits the floats where they lie in the ONNX file, so its result is the same
whatever version of any serializer is installed, and its digest can stand in the manifest.
"""

import ast
from collections.abc import Iterator

import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _INITIALIZER, _RAW_DATA, _DATA_TYPE = 7, 5, 9, 2
_FLOAT = 1
"""`TensorProto.DataType.FLOAT`; the field numbers above are those of onnx.proto."""

SMALLEST = 1e-15
"""Weights nearer to zero than this are set to zero: 190,805 of the embedder's are denormal
(below 1.2e-38), each costs a processor about a hundred times an ordinary product, and
together they contribute nothing at float32 precision."""


class NotAModel(Exception):
    """The bytes are not what the manifest says they hold."""


def python_literal(source: bytes) -> bytes:
    """Return the bytes literal assigned to `WEIGHTS` in a Python file, without running it.

    Args:
        source: The file's content.

    Raises:
        NotAModel: There is no such assignment.
    """
    for node in ast.parse(source).body:
        named = isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "WEIGHTS" for target in node.targets
        )
        if named and isinstance(node, ast.Assign):
            value = ast.literal_eval(node.value)
            if isinstance(value, bytes):
                return value
    raise NotAModel("no bytes named WEIGHTS in the file")


def zero_denormals(model: bytes) -> bytes:
    """Return the ONNX model with every float weight below `SMALLEST` set to zero.

    Args:
        model: A serialized ONNX model whose weights lie in `raw_data`, little-endian.

    Raises:
        NotAModel: The bytes do not parse as an ONNX model.
    """
    edited = bytearray(model)
    for start, stop in _float_spans(model):
        weights = np.frombuffer(edited, dtype="<f4", count=(stop - start) // 4, offset=start)
        weights[np.abs(weights) < SMALLEST] = 0.0
    return bytes(edited)


def _float_spans(model: bytes) -> Iterator[tuple[int, int]]:
    for graph in _spans(model, (0, len(model)), _GRAPH):
        for tensor in _spans(model, graph, _INITIALIZER):
            kinds = [value for field, value, _ in _fields(model, tensor) if field == _DATA_TYPE]
            if kinds == [_FLOAT]:
                yield from _spans(model, tensor, _RAW_DATA)


def _spans(model: bytes, inside: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    for field, start, stop in _fields(model, inside):
        if field == wanted:
            yield start, stop


def _fields(model: bytes, inside: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, stop) of each field; a varint gives its value as start."""
    at, end = inside
    while at < end:
        key, at = _varint(model, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(model, at)
            yield key >> 3, value, 0
            continue
        if kind == _BYTES:
            size, at = _varint(model, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise NotAModel(f"wire type {kind} at byte {at}")
        if at + size > end:
            raise NotAModel(f"a field runs past its end at byte {at}")
        yield key >> 3, at, at + size
        at += size


def _varint(model: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(model):
            raise NotAModel("the file ends inside a number")
        byte = model[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
