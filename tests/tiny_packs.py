"""Small ONNX files in the shapes of InsightFace's packs, made for a test and meaning nothing.

The detector finds bright squares: where the mean of a 32-pixel cell is near white it reports a
box of 96 pixels about the cell, with the landmarks of a frontal face. The embedder multiplies
a coarse copy of the crop by a fixed random matrix.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_gate.align import TEMPLATE
from models import manifest

_STRIDES = (8, 16, 32)
_ANCHORS = 2


def install(folder: Path, pack_name: str = "buffalo_s") -> Path:
    """Write a pack's files and note their digests; return the pack's folder."""
    place = folder / pack_name
    place.mkdir(parents=True)
    names = manifest.pack(pack_name).insightface
    onnx.save(detector(), place / names["detector"])
    onnx.save(embedder(), place / names["embedder"])
    note(place)
    return place


def note(place: Path) -> None:
    """Note the digests of the models as they lie there now."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted(place.glob("*.onnx"))
    ]
    (place / manifest.NOTED).write_text("\n".join(lines))


def detector() -> onnx.ModelProto:
    """Build SCRFD's shape: nine outputs, for each stride score, box and five points."""
    nodes, weights, outputs = [], [], []
    points = ((TEMPLATE / 112 - 0.5) * 96).ravel()
    for stride in _STRIDES:
        nodes.append(
            helper.make_node(
                "AveragePool",
                ["input.1"],
                [f"cells{stride}"],
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
        )
        # Only the coarsest map sees anything; its second anchor is always silent.
        seen = stride == _STRIDES[-1]
        score = np.zeros((_ANCHORS, 3, 1, 1))
        score[0] = 20 / 3 if seen else 0
        extent = np.tile(np.full(4, 48 / stride), _ANCHORS)
        five = np.tile(points / stride, _ANCHORS)
        for kind, weight, bias, size in (
            ("score", score, np.array([-16.0, -50.0]) if seen else np.full(_ANCHORS, -50.0), 1),
            ("bbox", np.zeros((4 * _ANCHORS, 3, 1, 1)), extent, 4),
            ("kps", np.zeros((10 * _ANCHORS, 3, 1, 1)), five, 10),
        ):
            name = f"{kind}{stride}"
            weights += [_weight(f"{name}.w", weight), _weight(f"{name}.b", bias)]
            weights.append(numpy_helper.from_array(np.array([-1, size]), f"{name}.shape"))
            conv = [f"cells{stride}", f"{name}.w", f"{name}.b"]
            nodes.append(helper.make_node("Conv", conv, [f"{name}.map"]))
            nodes.append(
                helper.make_node("Transpose", [f"{name}.map"], [f"{name}.t"], perm=[0, 2, 3, 1])
            )
            last = f"{name}.flat" if kind == "score" else name
            nodes.append(helper.make_node("Reshape", [f"{name}.t", f"{name}.shape"], [last]))
            if kind == "score":
                nodes.append(helper.make_node("Sigmoid", [last], [name]))
            outputs.append((("score", "bbox", "kps").index(kind), stride, name, size))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for _, _, name, size in sorted(outputs)
    ]
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "h", "w"])
    return _model(nodes, [picture], values, weights)


def embedder(*, side: int = 112, length: int = 512) -> onnx.ModelProto:
    """Build ArcFace's shape: a 112x112 crop to 512 numbers."""
    random = np.random.default_rng(4)
    cells = 3 * (side // 14) ** 2
    nodes = [
        helper.make_node(
            "AveragePool", ["input.1"], ["cells"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["683"]),
    ]
    weights = [
        _weight("w", random.normal(size=(cells, length))),
        _weight("b", random.normal(size=length) * 0.1),
    ]
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["n", 3, side, side])
    vector = helper.make_tensor_value_info("683", TensorProto.FLOAT, ["n", length])
    return _model(nodes, [picture], [vector], weights)


def _weight(name: str, values: npt.NDArray[np.float64]) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
