"""torch behind the contract of ``engine.Engine``: the same weight files, on whichever device.

The graph of an ONNX file is walked operator by operator; what depends on constants alone is
computed once, when it is loaded. torch and onnx are optional and imported here, when asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ModelError
from stream_anon.models.torch_ops import SINGLE, operators

Precision = Literal["f32", "f16", "bf16"]
Colours = Literal["RGB", "BGR"]

BATCHES = (1, 2, 4, 8, 16, 32)
"""Batch sizes that a GPU runs at, each a CUDA graph: a batch is filled up to the next of them."""

_WARM_UP = 3
"""Runs before a capture, in which the libraries choose their algorithms."""


class TorchEngine:
    """One network. Calls may come from any thread, one runs at a time.

    Attributes:
        inputs, outputs: names, in order.

    Args:
        path: an ONNX file, its weights in it or beside it.
        device: torch's name, such as ``cpu`` or ``cuda:0``.
        precision: inside; inputs and outputs are float32 in any case. Norms, places and
            quantisation are computed in single precision always.
        batches: sizes to which the first dimension is filled up, rising; larger batches are
            divided. None runs what is given. The network must treat each row on its own.

    Raises:
        ModelError: torch or onnx is missing, the file cannot be read, or it holds an operator
            that is not known here.
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        precision: Precision = "f32",
        batches: Sequence[int] | None = BATCHES,
    ) -> None:
        try:
            import onnx
            import torch
            from google.protobuf.message import DecodeError
        except ImportError as error:
            raise ModelError(f"{error.name} is not installed (the extra 'gpu')") from error
        self._torch = torch
        self._device = torch.device(device)
        self._kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[precision]
        self._batches = None if batches is None else tuple(batches)
        try:
            model = onnx.load(str(path))
        except (OSError, ValueError, onnx.checker.ValidationError, DecodeError) as error:
            raise ModelError(f"{path}: cannot be read as ONNX ({type(error).__name__})") from error
        known = operators(torch)
        strange = sorted({node.op_type for node in model.graph.node} - {*known, "Constant"})
        if strange:
            raise ModelError(f"{path}: torch is not told of the operator {strange[0]}")
        self._constants: dict[str, Any] = {}
        for tensor in model.graph.initializer:
            self._constants[tensor.name] = self._constant(onnx.numpy_helper.to_array(tensor))
        self.inputs = tuple(
            one.name for one in model.graph.input if one.name not in self._constants
        )
        self.outputs = tuple(one.name for one in model.graph.output)
        self._steps: list[tuple[str, Any, dict[str, Any], tuple[str, ...], str]] = []
        with torch.inference_mode():
            for node in model.graph.node:
                self._add(onnx, node, known)
        self._prune()
        self._graphs: dict[tuple[tuple[int, ...], ...], _Captured] = {}
        self._lock = threading.Lock()

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run once: arrays in, in the order of ``inputs``, float32 arrays out.

        Raises:
            ValueError: the number or shape of the inputs does not fit.
        """
        if len(inputs) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs are wanted, {len(inputs)} were given")
        rows = len(inputs[0])
        if self._batches is None or not rows:
            parts = [self._padded(inputs, rows)]
        else:
            most = self._batches[-1]
            parts = []
            for start in range(0, rows, most):
                part = [array[start : start + most] for array in inputs]
                parts.append(self._padded(part, self._size(len(part[0]))))
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _size(self, rows: int) -> int:
        return next(size for size in self._batches or () if size >= rows)

    def _padded(self, inputs: Sequence[NDArray[Any]], size: int) -> list[NDArray[np.float32]]:
        torch, rows = self._torch, len(inputs[0])
        given = []
        for array in inputs:
            # Bytes travel as bytes.
            kind = array.dtype if array.dtype == np.uint8 else np.float32
            tensor = torch.from_numpy(np.ascontiguousarray(array, kind))
            if len(tensor) < size:
                # Repeated, not zero: a row of nothing may divide by nothing.
                tensor = torch.cat([tensor, tensor[-1:].expand(size - rows, *tensor.shape[1:])])
            given.append(tensor)
        with self._lock, torch.inference_mode():
            try:
                answers = self._run(given)
            except (RuntimeError, IndexError) as error:
                raise ValueError(" ".join(str(error).split())[-200:]) from error
            return [
                answer[:rows].float().cpu().contiguous().numpy().copy() for answer in answers
            ]

    def _run(self, given: list[Any]) -> list[Any]:
        moved = [self._placed(tensor) for tensor in given]
        if self._device.type != "cuda" or self._batches is None:
            return self.walk(moved)
        key = tuple(tuple(tensor.shape) for tensor in moved)
        captured = self._graphs.get(key)
        if captured is None:
            captured = self._graphs[key] = _Captured(self._torch, self, moved)
        return captured(moved)

    def walk(self, inputs: Sequence[Any]) -> list[Any]:
        """The graph on tensors that lie on the device, in the network's arithmetic."""
        values = dict(self._constants)
        values.update(zip(self.inputs, inputs, strict=True))
        for (operator, function, attributes, names, made), ends in zip(
            self._steps, self._ends, strict=True
        ):
            found = function([values[n] if n else None for n in names], attributes)
            values[made] = self._fitting(found) if operator in SINGLE else found
            for name in ends:
                del values[name]
        return [values[name] for name in self.outputs]

    def _placed(self, tensor: Any) -> Any:
        out = tensor.to(self._device, self._kind)
        # Channels last is what tensor cores read.
        last = self._torch.channels_last
        return out.contiguous(memory_format=last) if out.dim() == 4 else out

    def _constant(self, array: NDArray[Any]) -> Any:
        tensor = self._torch.from_numpy(np.array(array))
        if not tensor.dtype.is_floating_point:
            # Numbers of axes and shapes stay in the host's memory; so do quantised weights,
            # until they are made floats.
            return tensor
        return self._placed(tensor)

    def _fitting(self, tensor: Any) -> Any:
        if not tensor.dtype.is_floating_point:
            return tensor
        return tensor.to(self._kind)

    def _add(self, onnx: Any, node: Any, known: dict[str, Any]) -> None:
        """Remember a node, or compute it now where all that it needs is constant."""
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        made = node.output[0]
        if node.op_type == "Constant":
            value = onnx.numpy_helper.to_array(attributes["value"])
            self._constants[made] = self._constant(value)
            return
        names = tuple(node.input)
        function = known[node.op_type]
        if node.op_type == "DequantizeLinear" and all(n in self._constants for n in names if n):
            # Weights, stored in 8 bits: in single precision first, rounded once.
            given = [self._constants[n].cpu() if n else None for n in names]
            self._constants[made] = self._placed(function(given, attributes))
            return
        if all(n in self._constants for n in names if n):
            given = [self._constants[n] if n else None for n in names]
            found = function(given, attributes)
            self._constants[made] = self._fitting(found) if node.op_type in SINGLE else found
            return
        self._steps.append((node.op_type, function, attributes, names, made))

    def _prune(self) -> None:
        """Drop constants that no step reads, and find out where each value is read last."""
        read = {name for step in self._steps for name in step[3]} | set(self.outputs)
        self._constants = {k: v for k, v in self._constants.items() if k in read}
        last: dict[str, int] = {}
        for number, step in enumerate(self._steps):
            last.update(dict.fromkeys((n for n in step[3] if n), number))
        kept = {*self._constants, *self.outputs}
        self._ends: list[list[str]] = [[] for _ in self._steps]
        for name, number in last.items():
            if name not in kept:
                self._ends[number].append(name)


class TorchImages:
    """A network of one input that takes images as bytes, as ``Engine`` with ``images`` does.

    Attributes:
        inputs, outputs: names, in order.

    Args:
        path, device, precision: as of ``TorchEngine``.
        colours: the order of planes that the network wants; (n, h, w, 3) uint8 BGR are given.

    Raises:
        ModelError: as from ``TorchEngine``.
    """

    def __init__(
        self, path: str | Path, device: str, precision: Precision, colours: Colours
    ) -> None:
        # The sizes of what a detector looks at are many, and each is looked at alone.
        self._net = TorchEngine(path, device, precision, batches=None)
        self._turned = colours == "RGB"
        self.inputs, self.outputs = self._net.inputs, self._net.outputs

    def __call__(self, inputs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Run once: one array of images in, float32 arrays out.

        Raises:
            ValueError: it is not one array, or not of this shape.
        """
        (images,) = inputs
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images must be (n, h, w, 3) uint8, are {images.shape}")
        planes = images[..., ::-1] if self._turned else images
        return self._net([planes.transpose(0, 3, 1, 2)])


class _Captured:
    """A network at one set of shapes as a CUDA graph: one launch for all its kernels.

    Args:
        torch: the module.
        engine: whose graph.
        inputs: tensors of the shapes.
    """

    def __init__(self, torch: Any, engine: TorchEngine, inputs: Sequence[Any]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                engine.walk(self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = engine.walk(self._inputs)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Run; the answers are overwritten by the next call."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return list(self._outputs)
