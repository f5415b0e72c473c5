"""TensorFlow Lite graphs for ``TorchEngine``: OpenVINO reads the file, torch runs what it holds.

OpenVINO is here in any case and reads the very file for the CPU path, so both paths start from
one and the same graph: no second parser of a binary format. What comes out of it is a few dozen
operators in OpenVINO's own words (opset), which are said again in torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stream_anon.errors import ModelError
from stream_anon.models.engine import core
from stream_anon.models.graph import Graph
from stream_anon.models.torch_ops import Attributes, Operator, ints


def read(path: Path) -> Graph:
    """Read a file.

    Raises:
        ModelError: OpenVINO cannot read it.
    """
    try:
        model = core().read_model(str(path))
    except RuntimeError as error:
        why = " ".join(str(error).split())[-200:]
        raise ModelError(f"{path}: cannot be read as TensorFlow Lite ({why})") from error
    return graph_of(model)


def graph_of(model: Any) -> Graph:
    """The steps of an ``openvino.Model``."""
    graph = Graph()
    names: dict[tuple[str, int], str] = {}

    def name_of(port: Any) -> str:
        key = port.get_node().get_friendly_name(), port.get_index()
        return names.setdefault(key, f"v{len(names)}")

    for port in model.inputs:
        graph.inputs.append(name_of(port))
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Parameter":
            continue
        if kind == "Constant":
            graph.constants[name_of(node.output(0))] = np.array(node.data)
            continue
        sources = tuple(name_of(port.get_source_output()) for port in node.inputs())
        if kind == "Result":
            continue
        graph.nodes.append((kind, dict(node.get_attributes()), sources, name_of(node.output(0))))
    for port in model.outputs:
        graph.called.append(str(port.get_any_name()))
        graph.outputs.append(name_of(port.get_node().input(0).get_source_output()))
    return graph


def operators(torch: Any) -> dict[str, Operator]:
    """By OpenVINO's name: (inputs, attributes) -> output.

    Args:
        torch: the module.
    """
    functional = torch.nn.functional

    def padded(x: Any, at: Attributes) -> tuple[Any, list[int]]:
        """What torch pads itself, and the input padded by what it cannot."""
        begin, end = list(at["pads_begin"]), list(at["pads_end"])
        if at.get("auto_pad") == "valid":
            return x, [0, 0]
        if begin == end:
            return x, begin
        return functional.pad(x, [begin[1], end[1], begin[0], end[0]]), [0, 0]

    def convolution(x: Sequence[Any], at: Attributes) -> Any:
        source, padding = padded(x[0], at)
        return functional.conv2d(
            source, x[1], None, list(at["strides"]), padding, list(at["dilations"])
        )

    def grouped(x: Sequence[Any], at: Attributes) -> Any:
        source, padding = padded(x[0], at)
        groups, kernels = x[1].shape[0], x[1].flatten(0, 1)
        return functional.conv2d(
            source, kernels, None, list(at["strides"]), padding, list(at["dilations"]), groups
        )

    def pooled(x: Sequence[Any], at: Attributes) -> Any:
        if at.get("rounding_type", "floor") != "floor" or set(at["dilations"]) != {1}:
            raise ModelError("MaxPool with holes or rounded up")
        source = x[0]
        begin, end = list(at["pads_begin"]), list(at["pads_end"])
        if any((*begin, *end)) and at.get("auto_pad") != "valid":
            lowest = torch.finfo(source.dtype).min
            source = functional.pad(source, [begin[1], end[1], begin[0], end[0]], value=lowest)
        return functional.max_pool2d(source, list(at["kernel"]), list(at["strides"]))

    def pad(x: Sequence[Any], at: Attributes) -> Any:
        if at.get("pad_mode") != "constant":
            raise ModelError(f"Pad by {at.get('pad_mode')}")
        begin, end = ints(x[1]), ints(x[2])
        widths = [w for k in reversed(range(len(begin))) for w in (begin[k], end[k])]
        value = float(x[3].reshape(-1)[0]) if len(x) > 3 else 0.0
        return functional.pad(x[0], widths, value=value)

    def reshaped(x: Sequence[Any], at: Attributes) -> Any:
        wanted = ints(x[1])
        if at.get("special_zero", False):
            wanted = [x[0].shape[k] if n == 0 else n for k, n in enumerate(wanted)]
        return x[0].reshape(wanted)

    def resized(x: Sequence[Any], at: Attributes) -> Any:
        axes = ints(x[2])
        linear = at["mode"] in ("linear", "linear_onnx")
        if not linear or at["coordinate_transformation_mode"] != "half_pixel":
            raise ModelError(f"Interpolate by {at['mode']}")
        if at["shape_calculation_mode"] != "sizes" or axes not in ([1, 2], [2, 3]):
            raise ModelError(f"Interpolate over {axes}")
        source = x[0].permute(0, 3, 1, 2) if axes == [1, 2] else x[0]
        out = functional.interpolate(source, size=ints(x[1]), mode="bilinear")
        return out.permute(0, 2, 3, 1) if axes == [1, 2] else out

    def unfolded(x: Sequence[Any], at: Attributes) -> Any:
        count, channels, high, wide = x[0].shape
        side = at["block_size"]
        if at["mode"] != "blocks_first":
            return functional.pixel_shuffle(x[0], side)
        rest = channels // (side * side)
        blocks = x[0].reshape(count, side, side, rest, high, wide).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(count, rest, high * side, wide * side)

    def unsqueezed(x: Sequence[Any], _: Attributes) -> Any:
        out, axes = x[0], ints(x[1])
        rank = out.dim() + len(axes)
        for axis in sorted(a % rank for a in axes):
            out = out.unsqueeze(axis)
        return out

    return {
        "Add": lambda x, _: x[0] + x[1],
        "Clamp": lambda x, at: torch.clamp(x[0], at["min"], at["max"]),
        "Concat": lambda x, at: torch.cat(list(x), at["axis"]),
        # Weights of 16 bits that are made floats: constants are floats here already.
        "Convert": lambda x, _: x[0],
        "Convolution": convolution,
        "DepthToSpace": unfolded,
        "GroupConvolution": grouped,
        "Interpolate": resized,
        "MaxPool": pooled,
        "Multiply": lambda x, _: x[0] * x[1],
        "PRelu": lambda x, _: torch.where(x[0] >= 0, x[0], x[0] * x[1]),
        "Pad": pad,
        "Relu": lambda x, _: functional.relu(x[0]),
        "Reshape": reshaped,
        "Sigmoid": lambda x, _: torch.sigmoid(x[0]),
        "Transpose": lambda x, _: x[0].permute(ints(x[1])),
        "Unsqueeze": unsqueezed,
    }
