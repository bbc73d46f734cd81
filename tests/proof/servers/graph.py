"""ONNX Runtime over HTTP: ``graph.py WEIGHTS HOST PORT``, and ``graph.py WEIGHTS`` to make a random graph."""

import sys
from pathlib import Path

import numpy as np

WIDTH, LAYERS = 1536, 8
"""72 MiB of float32."""


def make(folder: Path) -> None:
    """Write a chain of matrix products, each with its bias and a ReLU."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(8)
    nodes, held, before = [], [], "text"
    for layer in range(LAYERS):
        values = random.standard_normal((WIDTH, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)
        bias = random.standard_normal(WIDTH, dtype=np.float32) / np.float32(10)
        held += [numpy_helper.from_array(values, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
        nodes += [
            helper.make_node("MatMul", [before, f"w{layer}"], [f"product{layer}"]),
            helper.make_node("Add", [f"product{layer}", f"b{layer}"], [f"sum{layer}"]),
            helper.make_node("Relu", [f"sum{layer}"], [f"out{layer}"]),
        ]
        before = f"out{layer}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH]) for name in ("text", before)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], held)
    folder.mkdir(parents=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(folder / "model.onnx"))


def main(weights: str, host: str, port: str) -> None:
    import onnxruntime
    from front import serve

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(f"{weights}/model.onnx", options)

    def answer(text: str) -> list[float]:
        given = np.zeros((1, WIDTH), np.float32)
        data = np.frombuffer(text.encode()[:WIDTH], np.uint8)
        given[0, : len(data)] = data
        return [round(float(value), 3) for value in session.run(None, {"text": given})[0][0, :4]]

    serve(host, int(port), answer)


if __name__ == "__main__":
    main(*sys.argv[1:]) if sys.argv[3:] else make(Path(sys.argv[1]))
