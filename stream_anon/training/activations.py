"""Convolutions that compute in 8 bits: the activations' ranges, measured once, go into the graph.

Weights are stored in 8 bits anyway (`export`). Where what comes in is quantised too, an engine
multiplies integers, which is faster than bf16. A network whose answer is a direction in space
hardly notices (tests/training/test_activations.py holds the identity encoder's codes to a cosine
of 0.998 with themselves); a generator's pixels would be noisier, so it is not done to them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stream_anon.models.engine import core

PERCENTILE = 99.99
"""Of the values seen; what lies beyond is clipped."""

ROOM = 1.1
"""By how much the range is wider than that."""


def quantise_activations(path: Path, examples: NDArray[np.float32]) -> int:
    """Quantise what goes into the convolutions of an exported graph, in place.

    Every tensor that comes out of a rectifier (so never negative) and goes into a convolution is
    rounded to 8 bits with one scale. The graph's own input is left alone.

    Args:
        path: ``.onnx`` beside its ``.safetensors``, as `export.write_pair` writes them.
        examples: (n, ...) the kind of input the network is for; the ranges are theirs.

    Returns:
        How many tensors are quantised.

    Raises:
        ValueError: a tensor is negative somewhere: no rectifier stands before it.
    """
    model = onnx.load(path, load_external_data=False)
    given = {port.name for port in model.graph.input}
    names = _fed(model.graph, given)
    peaks = _peaks(path, names, examples)
    fresh: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        fresh.append(node)
        for name in set(node.output) & set(names):
            scale, zero = f"{name}.scale", f"{name}.zero"
            step = np.array(ROOM * peaks[name] / 255.0, np.float32)
            model.graph.initializer.extend(
                [
                    numpy_helper.from_array(step, scale),
                    numpy_helper.from_array(np.array(0, np.uint8), zero),
                ]
            )
            for kind, source, target in (
                ("QuantizeLinear", name, f"{name}.q"),
                ("DequantizeLinear", f"{name}.q", f"{name}.d"),
            ):
                fresh.append(helper.make_node(kind, [source, scale, zero], [target]))
            renamed[name] = f"{name}.d"
    del model.graph.node[:]
    model.graph.node.extend(fresh)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(model.SerializeToString())
    partial.replace(path)
    return len(names)


def _fed(graph: onnx.GraphProto, given: set[str]) -> list[str]:
    """What goes into convolutions and comes out of a rectifier, in order."""
    rectifiers = [node for node in graph.node if node.op_type.endswith("Relu")]
    rectified = {name for node in rectifiers for name in node.output}
    found = [node.input[0] for node in graph.node if node.op_type == "Conv"]
    return [name for name in dict.fromkeys(found) if name in rectified - given]


def _peaks(path: Path, names: list[str], examples: NDArray[np.float32]) -> dict[str, float]:
    model = core().read_model(str(path))
    model.add_outputs(names)
    net = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    first = len(net.outputs) - len(names)
    seen: dict[str, list[float]] = {name: [] for name in names}
    for start in range(0, len(examples), 16):
        answer = net([examples[start : start + 16]])
        for i, name in enumerate(names):
            values = answer[first + i]
            if values.min() < 0.0:
                raise ValueError(f"{name} is negative: no rectifier stands before it")
            seen[name].append(float(np.percentile(values, PERCENTILE)))
    return {name: max(float(np.mean(found)), 1e-6) for name, found in seen.items()}
