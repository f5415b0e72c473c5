"""From torch to what ships: an ONNX graph whose weights lie in a safetensors file.

The weights exist once. ``<name>.safetensors`` holds them by name (8-bit with a
scale for each output channel where that pays, else half precision); ``<name>.onnx``
is the graph, and points into that file as ONNX external data. OpenVINO reads
the pair; torch or anything else can read the tensors alone.
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

OPSET = 17


def trace(net: nn.Module, examples: dict[str, Tensor], outputs: list[str]) -> onnx.ModelProto:
    """The ONNX graph of a net in evaluation mode, the first dimension free."""
    buffer = io.BytesIO()
    names = list(examples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        torch.onnx.export(
            net.eval().cpu().float(),
            tuple(t.contiguous() for t in examples.values()),
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in [*names, *outputs]},
            opset_version=OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def quantise(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 8 bits with one scale for each output channel (the first axis)."""
    peak = np.abs(weight.reshape(len(weight), -1)).max(1)
    scale = np.maximum(peak / 127.0, 1e-12).astype(np.float32)
    shaped = scale.reshape(-1, *([1] * (weight.ndim - 1)))
    return np.rint(weight / shaped).astype(np.int8), scale


def write_pair(
    model: onnx.ModelProto, path: Path, *, metadata: dict[str, str], eight_bit: bool
) -> None:
    """Write ``path`` (``.onnx``) and its ``.safetensors``.

    Args:
        model: A graph with its weights inside, as `trace` returns it.
        path: Where the graph goes; the weights go beside it.
        metadata: Kept in the header of the safetensors file.
        eight_bit: Whether weights of two and more dimensions are stored in 8 bits.
    """
    graph = model.graph
    stored: dict[str, NDArray[np.generic]] = {}
    nodes: list[onnx.NodeProto] = []
    external: list[TensorProto] = []
    kept: list[TensorProto] = []
    for item in graph.initializer:
        value = numpy_helper.to_array(item)
        if value.dtype != np.float32 or value.size < 512:
            kept.append(item)
            continue
        name = item.name
        if eight_bit and value.ndim >= 2:
            codes, scale = quantise(value)
            stored[f"{name}.q"] = codes
            kept.append(numpy_helper.from_array(scale, f"{name}.scale"))
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.scale"], [name], axis=0)
            )
        else:
            stored[f"{name}.h"] = value.astype(np.float16)
            nodes.append(helper.make_node("Cast", [f"{name}.h"], [name], to=TensorProto.FLOAT))
    for item in kept:
        value = numpy_helper.to_array(item)
        if value.dtype == np.float32 and value.size > 1:
            stored[item.name] = value
    weights = path.with_suffix(".safetensors")
    save_file(stored, weights, metadata=metadata)
    weights.chmod(0o644)
    raw = weights.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    for name, value in stored.items():
        begin, end = header[name]["data_offsets"]
        tensor = TensorProto()
        tensor.name = name
        tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        tensor.dims.extend(value.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (
            ("location", weights.name),
            ("offset", str(8 + size + begin)),
            ("length", str(end - begin)),
        ):
            tensor.external_data.add(key=key, value=text)
        external.append(tensor)
    small = [item for item in kept if item.name not in stored]
    body = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*small, *external])
    graph.node.extend([*nodes, *body])
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(model.SerializeToString())
    partial.replace(path)


def load_weights(net: nn.Module, weights: Path) -> None:
    """Fill a net without batch normalisation from the ``.safetensors`` of its export.

    Raises:
        ValueError: a parameter is missing, or has another shape.
    """
    stored = load_file(weights)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if f"{name}.q" in stored:
                codes = stored[f"{name}.q"].astype(np.float32)
                scale = stored[f"{name}.scale"].reshape(-1, *([1] * (codes.ndim - 1)))
                value = codes * scale
            else:
                found = stored.get(f"{name}.h", stored.get(name))
                if found is None:
                    msg = f"{weights.name} holds no {name}"
                    raise ValueError(msg)
                value = found.astype(np.float32)
            if value.shape != tuple(parameter.shape):
                msg = f"{weights.name}: {name} has shape {value.shape}"
                raise ValueError(msg)
            parameter.copy_(torch.from_numpy(value))


def load_folded(net: nn.Module, graph: Path) -> None:
    """Fill a net whose batch normalisations were folded into its convolutions at export.

    Convolutions and linear layers are met in the graph in the order in which the net has them;
    what a batch normalisation does is then nothing but to add the convolution's bias.

    Args:
        net: as it was exported; in evaluation mode afterwards.
        graph: the ``.onnx``, its ``.safetensors`` beside it.

    Raises:
        ValueError: the layers do not fit.
    """
    model = onnx.load(str(graph))
    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            codes, scale = (stored[name].astype(np.float32) for name in node.input[:2])
            stored[node.output[0]] = codes * scale.reshape(-1, *([1] * (codes.ndim - 1)))
        elif node.op_type == "Cast" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]].astype(np.float32)
    found = [
        [stored[name].astype(np.float32) for name in node.input[1:3]]
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm"}
    ]
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    plain = sum(isinstance(m, nn.Conv2d) for m in layers)
    if len(found) != len(layers) or len(norms) != plain:
        raise ValueError(f"{graph.name} has {len(found)} layers, {len(layers)} are wanted")
    with torch.no_grad():
        after = iter(norms)
        for layer, (weight, bias) in zip(layers, found, strict=True):
            if weight.shape != tuple(layer.weight.shape):
                raise ValueError(f"{graph.name}: a layer has shape {weight.shape}")
            layer.weight.copy_(torch.from_numpy(weight))
            if isinstance(layer, nn.Linear):
                layer.bias.copy_(torch.from_numpy(bias))
                continue
            norm = next(after)
            assert norm.running_mean is not None  # noqa: S101 - they are tracked
            assert norm.running_var is not None  # noqa: S101
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0)
            norm.weight.fill_((1.0 + norm.eps) ** 0.5)
            norm.bias.copy_(torch.from_numpy(bias))
    net.eval()


def export(
    net: nn.Module,
    path: Path,
    examples: dict[str, Tensor],
    *,
    output: str,
    metadata: dict[str, str],
    eight_bit: bool = True,
) -> None:
    """Export a net; see the module's text."""
    write_pair(trace(net, examples, [output]), path, metadata=metadata, eight_bit=eight_bit)
