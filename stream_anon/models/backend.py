"""Which engine runs the networks of a run, and where: OpenVINO on the CPU, or torch on a device.

The weights are the same files. Whoever needs a network asks a ``Backend`` for it and cannot tell
which engine answers; the tolerances between them stand in ``tests/models/test_torch_engine.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_anon.device import Choice
from stream_anon.errors import ModelError
from stream_anon.models import engine
from stream_anon.models.torch_engine import Precision, TorchEngine

Array = NDArray[Any]
Rows = Callable[[Array], list[NDArray[np.float32]]]
"""(n, ...) to one float32 array (n, ...) for each output."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Makes networks.

    Attributes:
        kind: the engine.
        device: torch's name of it.
        precision: torch's arithmetic; OpenVINO is told by whoever asks.
    """

    kind: Literal["openvino", "torch"] = "openvino"
    device: str = "cpu"
    precision: Precision = "f32"

    def rows(self, path: str | Path, shape: Sequence[int], outputs: int, threads: int = 1) -> Rows:
        """A network of one float input whose first dimension is the batch.

        Args:
            path: an ONNX or TensorFlow Lite file.
            shape: of one row.
            outputs: that it must have.
            threads: of OpenVINO.

        Raises:
            ModelError: it cannot be read, or has other outputs.
        """
        made: Any
        if self.kind == "torch":
            net = made = TorchEngine(path, self.device, self.precision)
            found = len(net.outputs)

            def run(rows: Array) -> list[NDArray[np.float32]]:
                if rows.shape[1:] != tuple(shape) or not len(rows):
                    raise ValueError(f"rows must be (n, {tuple(shape)}), got {rows.shape}")
                return net([rows])

            made = run
        else:
            made = engine.BatchEngine(path, shape, threads=threads)
            found = len(made.outputs)
        if found != outputs:
            raise ModelError(f"{path}: {outputs} outputs are wanted, it has {found}")
        rows: Rows = made
        return rows

    def bytes(
        self,
        path: str | Path,
        threads: int,
        precision: engine.Precision,
        images: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        *,
        bytes_out: bool,
    ) -> Callable[[Mapping[str, Array]], Array]:
        """A network of one output whose images go in, and may come out, as bytes.

        Args:
            path, threads, precision, images, bytes_out: as of ``engine.compile_bytes``.

        Returns:
            Takes arrays by their inputs' names and gives one that belongs to the caller.

        Raises:
            ModelError: it cannot be loaded.
        """
        if self.kind == "torch":
            half: Precision = "f32" if precision == "f32" else self.precision
            net = TorchEngine(path, self.device, half, images=images, bytes_out=bytes_out)

            def run(inputs: Mapping[str, Array]) -> Array:
                if inputs.keys() != set(net.inputs):
                    raise ValueError(f"the inputs are {', '.join(net.inputs)}")
                return net([inputs[name] for name in net.inputs])[0]

            return run
        compiled = engine.compile_bytes(path, threads, precision, images, bytes_out=bytes_out)
        request = compiled.create_infer_request()

        def infer(inputs: Mapping[str, Array]) -> Array:
            request.infer(inputs, share_inputs=True)
            # A copy: the request's own memory is overwritten by the next call.
            return np.array(request.get_output_tensor(0).data)

        return infer


OPENVINO = Backend()
"""The default: on the CPU."""

GPU = "cuda:0"
"""The first that this process sees."""


def backend_of(device: Choice) -> Backend:
    """What runs the networks of a run: torch in half precision on a GPU, OpenVINO elsewhere."""
    return OPENVINO if device.name == "cpu" else Backend("torch", GPU, "f16")
