"""OpenVINO behind a small contract: a network file, fixed shapes, arrays in, arrays out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ModelError

Array = NDArray[Any]
Precision = Literal["auto", "f32", "bf16"]
Colours = Literal["RGB", "BGR"]


@lru_cache(maxsize=1)
def runtime() -> Any:
    """The module ``openvino``, imported on first use and without its telemetry.

    Its plain import writes a client id to ``~/intel`` and reports to Google Analytics
    (openvino/tools/ovc/__init__.py, 2026.4). Where the telemetry package is absent it uses a
    stub of its own, so absent it is while the import runs. All code here imports OpenVINO
    through this function.
    """
    kept = {name: sys.modules[name] for name in ("openvino_telemetry",) if name in sys.modules}
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # what import makes of None
    try:
        import openvino
    finally:
        del sys.modules["openvino_telemetry"]
        sys.modules.update(kept)
    return openvino


_making = threading.Lock()


@lru_cache(maxsize=1)
def _made() -> Any:
    return runtime().Core()


def core() -> Any:
    """The process's only ``openvino.Core``; all code here takes it from this function.

    A core's CPU plugin gives its thread a signal stack of its own, and puts back the one it
    found when it goes. Of two plugins, if the older goes first, the younger puts back memory
    that is no longer there (2026.4), and the next signal that Python handles, Ctrl-C or the
    end of a child, kills the process or writes over what lies there now. One that stays to
    the end of the process cannot.
    """
    # Locked: two threads that ask first would be given two.
    with _making:
        return _made()


def version() -> str:
    """Version of the engine, as ``2026.4.1``."""
    return str(runtime().__version__).split("-")[0]


def choose_precision(wanted: Precision = "auto") -> Literal["f32", "bf16"]:
    """What ``wanted`` means on this processor.

    ``auto`` is bf16 where the processor computes in it (AVX512-BF16 or AMX). Where it
    does not, bf16 would be emulated: slower than f32 and no better.
    """
    if wanted != "auto":
        return wanted
    can = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in can else "f32"


class Engine:
    """One network at one set of input shapes. Calls may come from any thread, one runs at a time.

    Attributes:
        inputs: names of the inputs, in order.
        outputs: names of the outputs, in order.
        precision: the arithmetic in use.
    """

    def __init__(
        self,
        path: str | Path,
        shapes: Mapping[str, Sequence[int]] | None = None,
        precision: Precision = "auto",
        threads: int = 1,
        images: Colours | None = None,
        adapt: Callable[[Any], Any] | None = None,
    ) -> None:
        """Read and compile.

        Args:
            path: an ONNX, OpenVINO or TFLite file.
            shapes: input name -> shape, in the network's own layout; whatever the file has
                frozen is replaced. None keeps the file's shapes.
            precision: arithmetic inside; inputs and outputs are float32 in any case.
            threads: of this network; 0 leaves it to OpenVINO.
            images: the first input takes (n, height, width, 3) uint8 BGR images, and the
                network wants them as float32 planes in this order: the graph converts.
            adapt: takes the graph (``openvino.Model``) as it was read and gives back the one
                that is used, before the shapes are set.

        Raises:
            ModelError: the file cannot be read, or not at these shapes.
        """
        self.precision = choose_precision(precision)
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.precision,
            # Pinned, the threads would fight the encoder's for the very same core.
            "ENABLE_CPU_PINNING": False,
        }
        if threads > 0:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core().read_model(str(path))
            if adapt is not None:
                model = adapt(model)
            if shapes is not None:
                model.reshape({name: list(shape) for name, shape in shapes.items()})
            self.inputs = tuple(str(port.get_any_name()) for port in model.inputs)
            self.outputs = tuple(str(port.get_any_name()) for port in model.outputs)
            if images is not None:
                model = _take_images(model, images)
            compiled = core().compile_model(model, "CPU", options)
            self._request = compiled.create_infer_request()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise ModelError(f"{path}: no network that can be run at {shapes}: {reason}") from error
        self._lock = threading.Lock()

    def __call__(self, inputs: Sequence[Array]) -> list[NDArray[np.float32]]:
        """Run once.

        Args:
            inputs: one array for each of ``self.inputs``, in order.

        Returns:
            One float32 array for each of ``self.outputs``, owned by the caller. They may hold
            NaN if the input or the weights make them so: whoever reads them checks.

        Raises:
            ValueError: the number, shape or type of the inputs does not fit.
        """
        if len(inputs) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs are wanted, {len(inputs)} were given")
        with self._lock:
            try:
                answer = self._request.infer(
                    {i: np.ascontiguousarray(array) for i, array in enumerate(inputs)}
                )
            except RuntimeError as error:
                raise ValueError(" ".join(str(error).split())[-200:]) from error
            # A copy: the request's own memory is overwritten by the next call.
            return [np.array(answer[i], np.float32) for i in range(len(self.outputs))]


class BatchEngine:
    """A network of one input whose first dimension is the batch; any number of rows at a call.

    TensorFlow Lite files are read as they are. Calls may come from any thread, one runs at a time.

    Args:
        path: a file that OpenVINO reads.
        shape: of one row, in the network's own layout.
        precision: arithmetic inside.
        threads: of this network.

    Raises:
        ModelError: the file cannot be read, or not at this shape.
    """

    def __init__(
        self,
        path: str | Path,
        shape: Sequence[int],
        precision: Precision = "f32",
        threads: int = 1,
    ) -> None:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": choose_precision(precision),
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._shape = tuple(shape)
        try:
            model = core().read_model(str(path))
            model.reshape({0: [-1, *shape]})
            self.outputs = tuple(str(port.get_any_name()) for port in model.outputs)
            self._request = core().compile_model(model, "CPU", options).create_infer_request()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise ModelError(f"{path}: no network that can be run at {shape}: {reason}") from error
        self._lock = threading.Lock()

    def __call__(self, rows: Array) -> list[NDArray[np.float32]]:
        """Run once: (n, *shape) to one float32 array (n, ...) for each output, owned by the caller.

        Raises:
            ValueError: the rows have another shape.
        """
        if rows.shape[1:] != self._shape or not len(rows):
            raise ValueError(f"rows must be (n, {self._shape}), got {rows.shape}")
        with self._lock:
            answer = self._request.infer({0: np.ascontiguousarray(rows, np.float32)})
            return [np.array(answer[i], np.float32) for i in range(len(self.outputs))]


def compile_bytes(
    path: str | Path,
    threads: int,
    precision: Precision,
    images: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    bytes_out: bool,
) -> Any:
    """Compile a network so that images go in, and may come out, as bytes.

    What would be several passes over float arrays becomes part of the graph.

    Args:
        path: an ONNX file whose first dimension is free.
        threads: of this network.
        precision: arithmetic inside.
        images: inputs that are given as uint8 (n, height, width, c), each with the mean and
            the scale of each channel: the network sees (value - mean) / scale as (n, c, h, w).
        bytes_out: the output, (n, c, h, w) in [-1, 1], comes as uint8 (n, h, w, c).

    Returns:
        A compiled model.

    Raises:
        ModelError: it cannot be loaded.
    """
    ov = runtime()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": choose_precision(precision),
    }
    try:
        model = core().read_model(str(path))
        if bytes_out:
            model = _give_bytes(model)
        steps = ov.preprocess.PrePostProcessor(model)
        for name, (mean, scale) in images.items():
            port = steps.input(name)
            port.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
            port.model().set_layout(ov.Layout("NCHW"))
            chosen = port.preprocess().convert_element_type(ov.Type.f32)
            chosen.mean(list(mean)).scale(list(scale))
        return core().compile_model(steps.build(), "CPU", options)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{Path(path).name} cannot be loaded: {reason}") from error


def _give_bytes(model: Any) -> Any:
    ops = runtime().opset13
    result = model.get_results()[0]
    face = result.input_value(0)
    one, half = np.float32(1.0), np.float32(127.5)
    levels = ops.round(ops.multiply(ops.add(face, one), half), "half_to_even")
    levels = ops.clamp(levels, 0.0, 255.0)
    across = ops.transpose(levels, np.array([0, 2, 3, 1]))
    return runtime().Model([ops.convert(across, "u8")], model.get_parameters(), "bytes")


def _take_images(model: Any, colours: Colours) -> Any:
    ov = runtime()
    formats = ov.preprocess.ColorFormat
    steps = ov.preprocess.PrePostProcessor(model)
    first = steps.input(0)
    given = formats.BGR
    first.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(given)
    first.model().set_layout(ov.Layout("NCHW"))
    first.preprocess().convert_element_type(ov.Type.f32)
    if colours == "RGB":
        first.preprocess().convert_color(formats.RGB)
    return steps.build()
