"""torch behind the contract of ``engine.Engine``: the same weight files, on whichever device.

The graph of a file is walked operator by operator; what depends on constants alone is
computed once, when it is loaded. torch and onnx are optional and imported when asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ModelError, let_go, out_of_memory
from stream_anon.models import torch_tflite
from stream_anon.models.graph import Graph, read_onnx
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
        path: an ONNX file, its weights in it or beside it, or a TensorFlow Lite one.
        device: torch's name, such as ``cpu`` or ``cuda:0``.
        precision: inside; inputs and outputs are float32 in any case. Norms, places and
            quantisation are computed in single precision always.
        batches: sizes to which the first dimension is filled up, rising; larger batches are
            divided. None runs what is given. The network must treat each row on its own. Where
            the device has no memory for one of them, it is not tried again.
        images: inputs by name that are given as bytes (n, h, w, c), each with the mean and the
            scale of each channel: the network sees (value - mean) / scale as (n, c, h, w).
        bytes_out: the first output, (n, c, h, w) in [-1, 1], comes as uint8 (n, h, w, c).

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
        *,
        images: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
        bytes_out: bool = False,
    ) -> None:
        path = Path(path)
        try:
            import torch
        except ImportError as error:
            raise ModelError(f"{error.name} is not installed (the extra 'gpu')") from error
        self._torch = torch
        self._device = torch.device(device)
        self._kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[precision]
        self._batches = None if batches is None else tuple(batches)
        lite = path.suffix == ".tflite"
        graph = torch_tflite.read(path) if lite else read_onnx(path)
        self._load(path, graph, torch_tflite.operators(torch) if lite else operators(torch))
        self._images = {
            name: tuple(
                torch.tensor(list(part), dtype=torch.float32, device=self._device).view(1, -1, 1, 1)
                for part in scaling
            )
            for name, scaling in (images or {}).items()
        }
        self._bytes_out = bytes_out
        # A queue of its own: neither frames' kernels nor other networks wait for it.
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._graphs: dict[tuple[tuple[int, ...], ...], _Captured] = {}
        self._lock = threading.Lock()

    def _load(self, path: Path, graph: Graph, known: dict[str, Any]) -> None:
        strange = sorted({kind for kind, *_ in graph.nodes} - known.keys())
        if strange:
            raise ModelError(f"{path}: torch is not told of the operator {strange[0]}")
        self._constants = {k: self._constant(array) for k, array in graph.constants.items()}
        self.inputs, self.outputs = tuple(graph.inputs), tuple(graph.called)
        self._results = tuple(graph.outputs)
        self._steps: list[tuple[str, Any, dict[str, Any], tuple[str, ...], str]] = []
        with self._torch.inference_mode():
            for kind, attributes, names, made in graph.nodes:
                self._add(kind, known[kind], attributes, names, made)
        self._prune()

    def __call__(self, inputs: Sequence[Any]) -> list[NDArray[Any]]:
        """Run once: arrays in, in the order of ``inputs``, arrays out: float32, or bytes.

        Tensors of bytes or float32 are taken as well, wherever they lie.

        Raises:
            ValueError: the number or shape of the inputs does not fit.
            MemoryError: the device has no memory for a single row.
        """
        torch, given = self._torch, []
        for array in inputs:
            if isinstance(array, torch.Tensor):
                given.append(array)
                continue
            # Bytes travel as bytes.
            kind = array.dtype if array.dtype == np.uint8 else np.float32
            given.append(torch.from_numpy(np.require(array, kind, ["C", "W"])))
        queue: Any = nullcontext()
        if self._stream is not None:
            # Tensors are made in the caller's queue.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            queue = torch.cuda.stream(self._stream)
        with self._lock, queue, torch.inference_mode():
            return [self._fetched(one) for one in self._answers(given)]

    def _answers(self, inputs: Sequence[Any]) -> list[Any]:
        """Tensors on the host to tensors on the device, in parts that it has memory for."""
        if len(inputs) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs are wanted, {len(inputs)} were given")
        rows, start = len(inputs[0]), 0
        parts: list[list[Any]] = []
        while start < rows or not parts:
            sizes = self._batches
            most = rows if sizes is None else min(rows - start, sizes[-1])
            part = [tensor[start : start + most] for tensor in inputs]
            size = most if not sizes or not most else next(s for s in sizes if s >= most)
            try:
                parts.append(self._filled(part, size))
            except (RuntimeError, IndexError) as error:
                if out_of_memory(error):
                    self._step_down(size, error)
                    continue
                raise ValueError(" ".join(str(error).split())[-200:]) from error
            start += most
        return [
            columns[0] if len(columns) == 1 else self._torch.cat(columns)
            for columns in zip(*parts, strict=True)
        ]

    def _step_down(self, size: int, error: Exception) -> None:
        """No memory for a batch of ``size``: from now on smaller ones."""
        let_go(error)
        self._graphs.clear()
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()
        smaller = tuple(s for s in self._batches or () if s < size)
        if not smaller:
            raise MemoryError(f"no memory on {self._device} for a batch of {size}") from error
        self._batches = smaller

    def _fetched(self, tensor: Any) -> NDArray[Any]:
        """In the host's memory, owned by the caller."""
        if self._device.type != "cuda":
            return np.array(tensor.contiguous().numpy())
        host = self._torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        self._torch.cuda.current_stream().synchronize()
        return np.array(host.numpy())

    def _filled(self, inputs: Sequence[Any], size: int) -> list[Any]:
        """One part, filled up to a batch of ``size``; answers of its own rows, to be kept."""
        rows, given = len(inputs[0]), []
        for tensor in inputs:
            if self._device.type == "cuda" and tensor.device.type == "cpu":
                # First to the device, then to another type: torch would do it the other way round.
                tensor = tensor.pin_memory().to(self._device, non_blocking=True)
            if rows < size:
                # Repeated, not zero: a row of nothing may divide by nothing.
                more = tensor[-1:].expand(size - rows, *tensor.shape[1:])
                tensor = self._torch.cat([tensor, more])
            given.append(tensor)
        return [answer[:rows].clone() for answer in self._run(given)]

    def _run(self, given: list[Any]) -> list[Any]:
        if self._device.type != "cuda" or self._batches is None:
            return self.walk(given)
        key = tuple(tuple(tensor.shape) for tensor in given)
        captured = self._graphs.get(key)
        if captured is None:
            captured = self._graphs[key] = _Captured(self._torch, self, given)
        return captured(given)

    def walk(self, inputs: Sequence[Any]) -> list[Any]:
        """The network on tensors of one batch, whose answers are float32 or bytes."""
        values = dict(self._constants)
        for name, tensor in zip(self.inputs, inputs, strict=True):
            values[name] = self._placed(self._scaled(name, tensor))
        for (operator, function, attributes, names, made), ends in zip(
            self._steps, self._ends, strict=True
        ):
            found = function([values[n] if n else None for n in names], attributes)
            values[made] = self._fitting(found) if operator in SINGLE else found
            for name in ends:
                del values[name]
        found = [values[name].float() for name in self._results]
        if self._bytes_out:
            levels = self._torch.round((found[0] + 1.0) * 127.5).clamp(0.0, 255.0)
            found[0] = levels.permute(0, 2, 3, 1).to(self._torch.uint8)
        return [one.contiguous() for one in found]

    def _scaled(self, name: str, tensor: Any) -> Any:
        tensor = tensor.to(self._device)
        if name not in self._images:
            return tensor
        mean, scale = self._images[name]
        return (tensor.permute(0, 3, 1, 2).float() - mean) / scale

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

    def _add(
        self, kind: str, function: Any, attributes: dict[str, Any], names: tuple[str, ...],
        made: str,
    ) -> None:  # fmt: skip
        """Remember a node, or compute it now where all that it needs is constant."""
        if not all(n in self._constants for n in names if n):
            self._steps.append((kind, function, attributes, names, made))
            return
        given = [self._constants[n] if n else None for n in names]
        if kind == "DequantizeLinear":
            # Weights, stored in 8 bits: in single precision first, rounded once.
            given = [None if one is None else one.cpu() for one in given]
            self._constants[made] = self._placed(function(given, attributes))
            return
        found = function(given, attributes)
        self._constants[made] = self._fitting(found) if kind in SINGLE else found

    def _prune(self) -> None:
        """Drop constants that no step reads, and find out where each value is read last."""
        read = {name for step in self._steps for name in step[3]} | set(self._results)
        self._constants = {k: v for k, v in self._constants.items() if k in read}
        last: dict[str, int] = {}
        for number, step in enumerate(self._steps):
            last.update(dict.fromkeys((n for n in step[3] if n), number))
        kept = {*self._constants, *self._results}
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

    def __call__(self, inputs: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Run once: one array of images in, or a tensor wherever it lies; float32 arrays out.

        Raises:
            ValueError: it is not one array, or not of this shape.
        """
        (images,) = inputs
        if images.ndim != 4 or images.shape[3] != 3 or str(images.dtype)[-5:] != "uint8":
            raise ValueError(f"images must be (n, h, w, 3) uint8, are {images.shape}")
        if not isinstance(images, np.ndarray):
            turned = images.flip(-1) if self._turned else images
            return self._net([turned.permute(0, 3, 1, 2)])
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
        # Other threads allocate and copy meanwhile: only this one's calls are captured.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = engine.walk(self._inputs)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Run; the answers are overwritten by the next call."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return list(self._outputs)
