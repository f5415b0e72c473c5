"""The mesh network as a frozen torch module: a judge of where new faces look and what they do.

The graph is read by OpenVINO from the TFLite file that the product runs, and walked operator by
operator; what does not depend on the image is folded into constants. Another operator than this
network has is refused by name rather than guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_anon.alignment.mesh import SIDE
from stream_anon.alignment.topology import POINTS
from stream_anon.models.engine import core
from stream_anon.training.arch.recogniser import FrozenConv

_conv: Callable[..., Tensor] = FrozenConv.apply

Constants = dict[str, np.ndarray]
Step = tuple[str, str, list[str], tuple[int, ...]]


class MeshNet(nn.Module):
    """The network of `alignment.mesh`, differentiable in the image; weights frozen.

    Args:
        path: the TFLite file.

    Raises:
        ValueError: it holds an operator that is not known here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        model = core().read_model(str(path))
        self.weights = nn.ParameterDict()
        self._steps: list[Step] = []
        self._input = ""
        folded: Constants = {}
        outputs: dict[int, str] = {}
        for op in model.get_ordered_ops():
            kind, name = op.get_type_name(), op.get_friendly_name()
            inputs = [port.get_source_output() for port in op.inputs()]
            sources = [_key(port.get_node(), port.get_index()) for port in inputs]
            if kind == "Parameter":
                self._input = _key(op, 0)
            elif kind == "Constant":
                folded[_key(op, 0)] = np.array(op.get_data())
            elif kind == "Result":
                outputs[int(np.prod(op.input(0).get_shape()))] = sources[0]
            elif all(source in folded for source in sources):
                folded[_key(op, 0)] = _fold(kind, name, [folded[s] for s in sources])
            else:
                self._add(op, kind, name, sources, folded)
        if set(outputs) != {3 * POINTS, 1}:
            raise ValueError(f"{path}: not the outputs of a mesh network")
        self._points, self._presence = outputs[3 * POINTS], outputs[1]
        self.requires_grad_(False)

    def _add(
        self, op: Any, kind: str, name: str, sources: list[str], folded: Constants
    ) -> None:
        known = op.get_attributes()
        numbers: tuple[int, ...] = ()
        if kind in {"Convolution", "GroupConvolution"}:
            begin, end = known["pads_begin"], known["pads_end"]
            if set(known["dilations"]) != {1} or len(set(known["strides"])) != 1:
                raise ValueError(f"{name}: dilated or uneven convolutions are not supported")
            weight = folded[sources[1]]
            groups = 1
            if kind == "GroupConvolution":
                groups, weight = weight.shape[0], weight.reshape(-1, *weight.shape[2:])
            self.weights[_name(sources[1])] = _parameter(weight)
            # Left, right, top, bottom.
            numbers = (known["strides"][0], groups, begin[1], end[1], begin[0], end[0])
            kind = "Convolution"
        elif kind == "MaxPool":
            if set(known["pads_begin"]) | set(known["pads_end"]) != {0}:
                raise ValueError(f"{name}: padded pooling is not supported")
            numbers = (known["kernel"][0], known["strides"][0])
        elif kind == "Pad":
            low, high = folded[sources[1]].tolist(), folded[sources[2]].tolist()
            pairs = zip(reversed(low), reversed(high), strict=True)
            numbers = tuple(int(v) for pair in pairs for v in pair)
        elif kind == "Transpose":
            numbers = tuple(int(v) for v in folded[sources[1]])
        elif kind == "PRelu":
            self.weights[_name(sources[1])] = _parameter(folded[sources[1]].reshape(-1))
        elif kind == "Add":
            sources = sorted(sources, key=lambda source: source in folded)
            if sources[1] in folded:
                value = folded[sources[1]]
                self.weights[_name(sources[1])] = _parameter(value.reshape(-1))
        elif kind != "Reshape":
            raise ValueError(f"operator {kind} is not supported")
        self._steps.append((kind, _key(op, 0), sources, numbers))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Find meshes.

        Args:
            images: (n,3,192,192) RGB in [0, 1].

        Returns:
            (n,468,3) float32 in pixels as `alignment.mesh` states them, and (n,) logits of
            presence.
        """
        if torch.is_autocast_enabled(images.device.type):
            images = images.to(torch.get_autocast_dtype(images.device.type))
        values = {self._input: images}
        for kind, out, inputs, numbers in self._steps:
            values[out] = self._run(kind, [values.get(i) for i in inputs], inputs, numbers)
        points = values[self._points].flatten(1).float().view(-1, POINTS, 3)
        # The network's x is a distance from the left edge, not a pixel's number.
        points = points - points.new_tensor([0.5, 0.5, 0.0])
        return points, values[self._presence].flatten(1).float()[:, 0]

    def _run(
        self, kind: str, given: list[Tensor | None], names: list[str], numbers: tuple[int, ...]
    ) -> Tensor:
        x = given[0]
        assert x is not None  # noqa: S101 - graphs are in order
        if kind == "Convolution":
            stride, groups, *pads = numbers
            weight = self.weights[_name(names[1])]
            even = 0
            if len(set(pads)) == 1:
                even = pads[0]
            else:
                x = F.pad(x, tuple(pads))
            bias = x.new_zeros(len(weight))
            return _conv(x, weight, bias, torch.tensor((stride, even, groups)))
        if kind == "PRelu":
            return F.prelu(x, self.weights[_name(names[1])].to(x.dtype))
        if kind == "Add":
            other = given[1]
            if other is None:
                other = self.weights[_name(names[1])].to(x.dtype).view(1, -1, 1, 1)
            return x + other
        if kind == "MaxPool":
            kernel, stride = numbers
            pooled: Tensor = F.max_pool2d(x, kernel, stride)
            return pooled
        if kind == "Pad":
            return F.pad(x, numbers)
        # The image is given as (n,c,h,w), and both outputs are taken as rows: how a layout is
        # called matters for neither.
        return x


def _key(node: Any, index: int) -> str:
    return f"{node.get_friendly_name()}:{index}"


def _name(key: str) -> str:
    return key.replace(".", "_")


def _parameter(value: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(value.astype(np.float32).copy()), requires_grad=False)


def _fold(kind: str, name: str, given: list[np.ndarray]) -> np.ndarray:
    """An operator on constants."""
    if kind == "Convert":
        return given[0].astype(np.float32)
    if kind == "Unsqueeze":
        return np.expand_dims(given[0], tuple(int(v) for v in given[1]))
    if kind == "Reshape":
        # A zero keeps a side as it is.
        sides = [int(v) or given[0].shape[i] for i, v in enumerate(given[1])]
        return given[0].reshape(sides)
    if kind == "Transpose":
        return given[0].transpose([int(v) for v in given[1]])
    raise ValueError(f"operator {kind} ({name}) on constants is not supported")


def crop(images: Tensor, centre: Tensor, side: Tensor) -> Tensor:
    """Squares of images, as the network wants them.

    Args:
        images: (n,3,h,w) in [-1, 1].
        centre: (n,2) x and y in pixels.
        side: (n,) in pixels.

    Returns:
        (n,3,192,192) in [0, 1]; beyond the image its edge is repeated.
    """
    height, width = images.shape[2:]
    axis = (torch.arange(SIDE, device=images.device) + 0.5) / SIDE - 0.5
    x = centre[:, 0, None] + axis * side[:, None]
    y = centre[:, 1, None] + axis * side[:, None]
    u, v = (x + 0.5) * (2 / width) - 1, (y + 0.5) * (2 / height) - 1
    grid = torch.stack(
        [u[:, None, :].expand(-1, SIDE, -1), v[:, :, None].expand(-1, -1, SIDE)], 3
    )
    seen = F.grid_sample(
        images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    return (seen * 0.5 + 0.5).contiguous(memory_format=torch.channels_last)
