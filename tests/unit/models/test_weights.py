"""The pure steps from a published model to what is kept."""

from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest

from models import weights

MODELS = Path(__file__).parents[3] / "models" / "files" / "open"


def _model(values: list[float]) -> bytes:
    weight = onnx.numpy_helper.from_array(np.array(values, np.float32), "w")
    count = onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "n")
    vector = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [len(values)])
    answer = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [len(values)])
    node = onnx.helper.make_node("Mul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [vector], [answer], [weight, count])
    content: bytes = onnx.helper.make_model(graph).SerializeToString()
    return content


def _weights(model: bytes) -> list[float]:
    graph = onnx.load_from_string(model).graph
    return [float(value) for value in onnx.numpy_helper.to_array(graph.initializer[0])]


class TestZeroDenormals:
    """`zero_denormals`."""

    def test_zeroes_only_what_is_tiny(self) -> None:
        """Denormals of either sign become zero; everything else keeps its bits."""
        kept = [1.0, -2.5, 1e-14, -1e-14, 0.0]

        edited = weights.zero_denormals(_model([*kept, 1e-40, -1e-40, 9e-16]))

        assert _weights(edited) == [*(float(np.float32(value)) for value in kept), 0, 0, 0]

    def test_leaves_the_rest_of_the_file(self) -> None:
        """A model without tiny weights comes back byte for byte, counts and names included."""
        model = _model([1.0, 2.0])

        assert weights.zero_denormals(model) == model

    @pytest.mark.parametrize("model", [b"\xff", b"\x3a\xff\x01abc", b"\x0b"])
    def test_refuses_what_does_not_parse(self, model: bytes) -> None:
        """Cut-off and foreign bytes are refused."""
        with pytest.raises(weights.NotAModel):
            weights.zero_denormals(model)

    def test_the_kept_embedder_has_none_left(self) -> None:
        """No weight of the installed embedder is denormal, so it runs at full speed."""
        for tensor in onnx.load(str(MODELS / "embedder.onnx")).graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.float32:
                tiny = (values != 0) & (np.abs(values) < weights.SMALLEST)
                assert not tiny.any(), tensor.name


class TestPythonLiteral:
    """`python_literal`."""

    def test_reads_the_bytes_without_running_the_file(self) -> None:
        """The literal is read; the line that would end the process is not run."""
        source = b"import sys\nsys.exit(1)\nWEIGHTS = b'\\x08abc'\n"

        assert weights.python_literal(source) == b"\x08abc"

    @pytest.mark.parametrize("source", [b"", b"WEIGHTS = 'text'", b"OTHER = b'x'"])
    def test_refuses_other_files(self, source: bytes) -> None:
        """No such name, or not bytes: refused."""
        with pytest.raises(weights.NotAModel, match="WEIGHTS"):
            weights.python_literal(source)
