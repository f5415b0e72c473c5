"""A network as a list of steps, whatever file it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ModelError


@dataclass(slots=True)
class Graph:
    """What ``TorchEngine`` runs.

    Attributes:
        inputs, outputs: names of values, in order.
        called: names of the outputs as the file has them.
        constants: by name.
        nodes: operator, attributes, names of inputs ("" for one that is left out), name of the
            output; in an order in which they can be computed.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    nodes: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = field(default_factory=list)


def read_onnx(path: Path) -> Graph:
    """Read an ONNX file, its weights in it or beside it.

    Raises:
        ModelError: onnx is missing, or the file cannot be read.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed (the extra 'gpu')") from error
    try:
        model = onnx.load(str(path))
    except (OSError, ValueError, onnx.checker.ValidationError, DecodeError) as error:
        raise ModelError(f"{path}: cannot be read as ONNX ({type(error).__name__})") from error
    graph = Graph()
    for tensor in model.graph.initializer:
        graph.constants[tensor.name] = np.array(onnx.numpy_helper.to_array(tensor))
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            value = onnx.numpy_helper.to_array(attributes["value"])
            graph.constants[node.output[0]] = np.array(value)
            continue
        graph.nodes.append((node.op_type, attributes, tuple(node.input), node.output[0]))
    graph.inputs = [one.name for one in model.graph.input if one.name not in graph.constants]
    graph.outputs = [one.name for one in model.graph.output]
    graph.called = list(graph.outputs)
    return graph
