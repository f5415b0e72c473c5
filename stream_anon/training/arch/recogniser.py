"""A recogniser given as an ONNX file, rebuilt as a differentiable torch module.

Only the operators of mobile recognisers after batch-norm folding are walked;
any other operator is refused by name rather than guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FrozenConv(torch.autograd.Function):
    """A convolution with fixed weights, whose way back is a convolution too.

    torch's own backward pass of a depthwise convolution in bfloat16 costs
    seven times its forward pass on a CPU. The gradient of the input is the
    convolution of the gradient with the turned kernel, after spreading it out
    where the stride is two; the weights' gradient is never needed here.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, how: Tensor) -> Tensor:
        """(n,c,h,w) to (n,c',h',w'); ``how`` is (stride, padding, groups)."""
        stride, padding, groups = (int(v) for v in how)
        ctx.save_for_backward(weight)
        ctx.how = (stride, padding, groups)
        ctx.size = x.shape[2:]
        dtype = x.dtype
        return F.conv2d(x, weight.to(dtype), bias.to(dtype), stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient of the input only."""
        (weight,) = ctx.saved_tensors
        stride, padding, groups = ctx.how
        height, width = ctx.size
        weight = weight.to(gradient.dtype)
        kernel = weight.shape[2]
        if stride > 1 and groups == 1:
            extra = [side - ((out - 1) * stride - 2 * padding + kernel)
                     for side, out in zip(ctx.size, gradient.shape[2:], strict=True)]  # fmt: skip
            back = F.conv_transpose2d(gradient, weight, None, stride, padding, extra)
            return back, None, None, None
        if stride > 1:
            n, c = gradient.shape[:2]
            wide = gradient.new_zeros(n, c, height + 2 * padding - kernel + 1,
                                      width + 2 * padding - kernel + 1)  # fmt: skip
            wide = wide.contiguous(memory_format=torch.channels_last)
            wide[:, :, ::stride, ::stride] = gradient
            gradient = wide
        outputs, inputs = weight.shape[:2]
        turned = weight.flip(2, 3).unflatten(0, (groups, outputs // groups))
        turned = turned.transpose(1, 2).reshape(inputs * groups, outputs // groups, kernel, kernel)
        back = F.conv2d(gradient, turned, None, 1, kernel - 1 - padding, groups=groups)
        return back, None, None, None


class Clip(torch.autograd.Function):
    """Clamp whose gradient also passes above the upper bound.

    The gradient of torch's clamp is not vectorised in bfloat16 on a CPU, that
    of a threshold is; the upper bound (6) is seldom reached.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        """Clamp to [low, high]."""
        out = x.clamp(low, high)
        ctx.save_for_backward(out)
        ctx.low = low
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Zero where the output is at the lower bound."""
        (out,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, out, ctx.low), None, None


_frozen_conv: Callable[..., Tensor] = FrozenConv.apply
_clip: Callable[..., Tensor] = Clip.apply


class OnnxRecogniser(nn.Module):
    """An ONNX recogniser with 112 px input, as torch operations (weights frozen).

    Args:
        path: ONNX file with one input (n,3,112,112) and one output (n,d).
        mean: Subtracted from images in [0, 1], by channel.
        std: Divided by, by channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        path: Path,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        graph = onnx.load(str(path)).graph
        self._constants: dict[str, np.ndarray] = {
            item.name: numpy_helper.to_array(item) for item in graph.initializer
        }
        self._steps: list[tuple[str, str, list[str], tuple[int, int, int] | tuple[float, float]]]
        self._steps = []
        self._input = graph.input[0].name
        self._output = graph.output[0].name
        self.convolutions = nn.ParameterDict()
        for node in graph.node:
            self._add(node)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def _add(self, node: onnx.NodeProto) -> None:
        attributes = {a.name: a for a in node.attribute}
        out, inputs = node.output[0], list(node.input)
        if node.op_type == "Constant":
            self._constants[out] = numpy_helper.to_array(attributes["value"].t)
        elif node.op_type == "Conv":
            for name in inputs[1:]:
                key = name.replace(".", "_")
                self.convolutions[key] = nn.Parameter(
                    torch.from_numpy(self._constants[name].copy())
                )
            stride = attributes["strides"].ints[0]
            padding = attributes["pads"].ints[0]
            self._steps.append(("conv", out, inputs, (stride, padding, attributes["group"].i)))
        elif node.op_type == "Clip":
            low, high = (float(self._constants[name]) for name in inputs[1:3])
            self._steps.append(("clip", out, inputs[:1], (low, high)))
        elif node.op_type in {"Relu", "Add", "Reshape"}:
            self._steps.append((node.op_type.lower(), out, inputs, (0.0, 0.0)))
        else:
            msg = f"operator {node.op_type} is not supported"
            raise ValueError(msg)

    def run(self, images: Tensor, sides: tuple[int, ...] = ()) -> tuple[Tensor, list[Tensor]]:
        """Codes, and the last features at each of ``sides`` (56, 28, 14, 7).

        Args:
            images: (n,3,128,128) in the aligned face space, RGB in [-1, 1].
            sides: At which sides features are wanted.

        Returns:
            Unit codes (n,d) and a feature map for each side.
        """
        x = images[:, :, 8:120, 8:120] * 0.5 + 0.5
        x = (x - self.mean) / self.std
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        values = {self._input: x}
        kept: dict[int, Tensor] = {}
        for kind, out, inputs, numbers in self._steps:
            first = values[inputs[0]]
            if kind == "conv":
                weight, bias = (self.convolutions[n.replace(".", "_")] for n in inputs[1:3])
                result = _frozen_conv(first, weight, bias, torch.tensor(numbers))
            elif kind == "clip":
                result = _clip(first, numbers[0], numbers[1])
            elif kind == "relu":
                result = F.relu(first)
            elif kind == "add":
                result = first + values[inputs[1]]
            else:
                result = first.flatten(1)
            values[out] = result
            if result.ndim == 4:
                kept[result.shape[2]] = result
        code = F.normalize(values[self._output].float(), dim=1)
        return code, [kept[side] for side in sides]

    @torch.no_grad()
    def channels(self, sides: tuple[int, ...]) -> tuple[int, ...]:
        """How many channels the features at each of ``sides`` have."""
        device = next(self.buffers()).device
        _, features = self.run(torch.zeros(1, 3, 128, 128, device=device), sides)
        return tuple(feature.shape[1] for feature in features)

    def forward(self, images: Tensor) -> Tensor:
        """(n,3,128,128) in [-1, 1] to unit codes (n,d)."""
        return self.run(images)[0]
