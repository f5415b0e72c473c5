"""The operators that our networks' ONNX files are made of, in torch.

Shapes, and what is computed from them, stay in the host's memory: so nothing waits for a GPU, and
a whole network can be captured as a CUDA graph. What half precision spoils (norms, places,
quantisation steps) is computed in single precision whatever the rest is computed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_anon.errors import ModelError

Attributes = Mapping[str, Any]
Operator = Callable[[Sequence[Any], Attributes], Any]

SINGLE = frozenset(
    {"DequantizeLinear", "GridSample", "InstanceNormalization", "QuantizeLinear", "ReduceL2"}
)
"""Operators that are computed in single precision."""

_FLOAT_TYPES = (1, 10, 11, 16)
"""ONNX's float, float16, double and bfloat16: all become what the network is computed in."""


def ints(value: Any) -> list[int]:
    """The whole numbers of a tensor in the host's memory: axes, shapes, widths."""
    return [int(v) for v in value.reshape(-1).tolist()]


def operators(torch: Any) -> dict[str, Operator]:
    """By ONNX's name: (inputs, attributes) -> output. An input that is left out is None.

    Args:
        torch: the module.
    """
    functional = torch.nn.functional

    def padded(x: Any, pads: Sequence[int]) -> tuple[Any, list[int]]:
        """What torch pads itself, and the input padded by what it cannot."""
        half = len(pads) // 2
        if list(pads[:half]) == list(pads[half:]):
            return x, list(pads[:half])
        widths = [w for k in reversed(range(half)) for w in (pads[k], pads[half + k])]
        return functional.pad(x, widths), [0] * half

    def convolution(x: Sequence[Any], at: Attributes) -> Any:
        source, padding = padded(x[0], at.get("pads", (0, 0, 0, 0)))
        bias = x[2] if len(x) > 2 else None
        stride, dilation = at.get("strides", (1, 1)), at.get("dilations", (1, 1))
        group = at.get("group", 1)
        return functional.conv2d(source, x[1], bias, stride, padding, dilation, group)

    def transposed(x: Sequence[Any], at: Attributes) -> Any:
        pads = at.get("pads", (0, 0, 0, 0))
        bias = x[2] if len(x) > 2 else None
        return functional.conv_transpose2d(
            x[0], x[1], bias, at.get("strides", (1, 1)), pads[:2], 0, at.get("group", 1)
        )

    def pooled(kind: str) -> Operator:
        def pool(x: Sequence[Any], at: Attributes) -> Any:
            padding = at.get("pads", (0, 0, 0, 0))[:2]
            shape, stride = at["kernel_shape"], at.get("strides", (1, 1))
            if kind == "max":
                return functional.max_pool2d(x[0], shape, stride, padding)
            counted = bool(at.get("count_include_pad", 0))
            return functional.avg_pool2d(x[0], shape, stride, padding, False, counted)

        return pool

    def gemm(x: Sequence[Any], at: Attributes) -> Any:
        a = x[0].mT if at.get("transA", 0) else x[0]
        b = x[1].mT if at.get("transB", 0) else x[1]
        product = (a @ b) * at.get("alpha", 1.0)
        return product + x[2] * at.get("beta", 1.0) if len(x) > 2 else product

    def sliced(x: Sequence[Any], _: Attributes) -> Any:
        starts, ends = ints(x[1]), ints(x[2])
        axes = ints(x[3]) if len(x) > 3 and x[3] is not None else list(range(len(starts)))
        steps = ints(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
        out = x[0]
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            place = list(range(out.shape[axis]))[start:end:step]
            if step > 0:
                cut: list[Any] = [slice(None)] * out.dim()
                cut[axis] = slice(place[0] if place else 0, place[-1] + 1 if place else 0, step)
                out = out[tuple(cut)]
            else:
                out = out.index_select(axis, torch.tensor(place, device=out.device))
        return out

    def axes_of(x: Sequence[Any], at: Attributes) -> list[int]:
        return list(at["axes"]) if "axes" in at else ints(x[1])

    def unsqueezed(x: Sequence[Any], at: Attributes) -> Any:
        out, axes = x[0], axes_of(x, at)
        rank = out.dim() + len(axes)
        for axis in sorted(a % rank for a in axes):
            out = out.unsqueeze(axis)
        return out

    def squeezed(x: Sequence[Any], at: Attributes) -> Any:
        return x[0].squeeze(tuple(axes_of(x, at)))

    def reshaped(x: Sequence[Any], at: Attributes) -> Any:
        wanted = ints(x[1])
        if not at.get("allowzero", 0):
            wanted = [x[0].shape[k] if n == 0 else n for k, n in enumerate(wanted)]
        return x[0].reshape(wanted)

    def resized(x: Sequence[Any], at: Attributes) -> Any:
        if at.get("mode") != b"nearest" or at.get("nearest_mode") != b"floor":
            raise ModelError(f"Resize by {at.get('mode')!r}")
        if len(x) > 3 and x[3] is not None:
            return functional.interpolate(x[0], size=ints(x[3])[2:], mode="nearest")
        scales = [float(v) for v in x[2].reshape(-1).tolist()][2:]
        return functional.interpolate(x[0], scale_factor=scales, mode="nearest")

    def divided(x: Sequence[Any], _: Attributes) -> Any:
        if x[0].dtype.is_floating_point or x[1].dtype.is_floating_point:
            return x[0] / x[1]
        return torch.div(x[0], x[1], rounding_mode="trunc")

    def scale_of(x: Sequence[Any], at: Attributes) -> tuple[Any, Any]:
        scale, zero = x[1], x[2] if len(x) > 2 and x[2] is not None else None
        if scale.dim() == 1 and scale.numel() > 1:
            shape = [1] * x[0].dim()
            shape[at.get("axis", 1)] = -1
            scale = scale.reshape(shape)
            zero = None if zero is None else zero.reshape(shape)
        return scale.float(), 0.0 if zero is None else zero.float()

    def quantised(x: Sequence[Any], at: Attributes) -> Any:
        scale, zero = scale_of(x, at)
        kind = x[2].dtype if len(x) > 2 and x[2] is not None else torch.uint8
        bounds = torch.iinfo(kind)
        steps = torch.round(x[0].float() / scale) + zero
        return steps.clamp(bounds.min, bounds.max).to(kind)

    def dequantised(x: Sequence[Any], at: Attributes) -> Any:
        scale, zero = scale_of(x, at)
        return (x[0].float() - zero) * scale

    def cast(x: Sequence[Any], at: Attributes) -> Any:
        if at["to"] in _FLOAT_TYPES:
            return x[0] if x[0].dtype.is_floating_point else x[0].float()
        return x[0].to(torch.int64)

    def clipped(x: Sequence[Any], at: Attributes) -> Any:
        low = x[1] if len(x) > 1 and x[1] is not None else at.get("min")
        high = x[2] if len(x) > 2 and x[2] is not None else at.get("max")
        return torch.clamp(x[0], *(None if v is None else float(v) for v in (low, high)))

    def sampled(x: Sequence[Any], at: Attributes) -> Any:
        return functional.grid_sample(
            x[0].float(),
            x[1].float(),
            at.get("mode", b"bilinear").decode(),
            at.get("padding_mode", b"zeros").decode(),
            bool(at.get("align_corners", 0)),
        )

    def shuffled(x: Sequence[Any], at: Attributes) -> Any:
        if at.get("mode", b"DCR") != b"CRD":
            raise ModelError("DepthToSpace in rows first")
        return functional.pixel_shuffle(x[0], at["blocksize"])

    return {
        "Add": lambda x, _: x[0] + x[1],
        "AveragePool": pooled("average"),
        "BatchNormalization": lambda x, at: functional.batch_norm(
            x[0], x[3], x[4], x[1], x[2], False, 0.0, at.get("epsilon", 1e-5)
        ),
        "Cast": cast,
        "Clip": clipped,
        "Concat": lambda x, at: torch.cat(list(x), at["axis"]),
        "Conv": convolution,
        "ConvTranspose": transposed,
        "DepthToSpace": shuffled,
        "DequantizeLinear": dequantised,
        "Div": divided,
        "Expand": lambda x, _: x[0] * torch.ones(ints(x[1]), dtype=x[0].dtype, device=x[0].device),
        "Flatten": lambda x, at: x[0].flatten(at.get("axis", 1)),
        "Gather": lambda x, at: x[0].index_select(
            at.get("axis", 0), x[1].reshape(-1).to(x[0].device)
        ).reshape((*x[0].shape[: at.get("axis", 0)], *x[1].shape,
                   *x[0].shape[at.get("axis", 0) + 1 :])),
        "Gemm": gemm,
        "GridSample": sampled,
        "InstanceNormalization": lambda x, at: functional.instance_norm(
            x[0].float(), None, None, x[1].float(), x[2].float(), True, 0.0,
            at.get("epsilon", 1e-5),
        ),
        "LeakyRelu": lambda x, at: functional.leaky_relu(x[0], at.get("alpha", 0.01)),
        "MatMul": lambda x, _: x[0] @ x[1],
        "Max": lambda x, _: torch.maximum(x[0], x[1]),
        "MaxPool": pooled("max"),
        "Mul": lambda x, _: x[0] * x[1],
        "QuantizeLinear": quantised,
        "ReduceL2": lambda x, at: torch.linalg.vector_norm(
            x[0].float(), dim=axes_of(x, at), keepdim=bool(at.get("keepdims", 1))
        ),
        "Relu": lambda x, _: functional.relu(x[0]),
        "Reshape": reshaped,
        "Resize": resized,
        "Shape": lambda x, _: torch.tensor(list(x[0].shape)),
        "Sigmoid": lambda x, _: torch.sigmoid(x[0]),
        "Slice": sliced,
        "Squeeze": squeezed,
        "Sub": lambda x, _: x[0] - x[1],
        "Transpose": lambda x, at: x[0].permute(at["perm"]),
        "Unsqueeze": unsqueezed,
    }  # fmt: skip
