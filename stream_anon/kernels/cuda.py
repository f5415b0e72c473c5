"""One ``.cu`` source, three ways to use it: compile it, run it on a GPU, run it on the CPU.

CuPy runs it where there is a GPU (``CupyModule``). The g++ shim runs the very same source on the
CPU, for tests (``ShimModule``). ``compiling.cubin`` compiles it without a GPU for any architecture.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stream_anon.errors import StreamAnonError
from stream_anon.kernels.streams import Streams

FOLDER = Path(__file__).parent / "sources"
THREADS = 128
"""Threads of a block; no kernel depends on it."""

KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')
INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


class KernelError(StreamAnonError):
    """A kernel could not be compiled or loaded here."""


class Module(Protocol):
    """The kernels of one source, somewhere they can run."""

    def put(self, array: NDArray[Any]) -> Any:
        """The array where the kernels can read and write it."""

    def get(self, array: Any) -> NDArray[Any]:
        """It, back as a NumPy array."""

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel on so many threads; scalars are NumPy scalars of the exact type."""


class MemoryModule(Module, Protocol):
    """A module whose arrays can be named by their addresses, in tables that kernels read."""

    def zeros(self, shape: tuple[int, ...], kind: DTypeLike) -> Any:
        """An array of zeros, where the kernels can read and write it."""

    def address(self, array: Any) -> int:
        """Where the array's memory begins."""

    def shared(self, plane: Any) -> Any:
        """What holds memory of this module's device (DLPack), as an array on that memory."""

    def host(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """An array of zeros in the host's memory that ``write`` copies from without a detour."""

    def write(self, target: Any, host: NDArray[Any]) -> None:
        """Copy into an array of the kernels'; ``host`` must not change until the queue is through
        with it, and stays alive until then."""

    def fetch(self, array: Any) -> Fetch:
        """Begin to copy back; what the queue is given later does not change what comes."""

    def copy(self, target: Any, array: Any) -> None:
        """Copy between arrays of the kernels' memory, or views of them, of one shape."""

    def take(self, array: Any, rows: NDArray[np.intp]) -> Any:
        """A copy of these rows, contiguous, where the kernels can read it."""

    def owns(self, array: Any) -> bool:
        """Whether it is an array of the kernels' memory."""

    def trim(self) -> None:
        """Give back memory that is kept for later use: somebody found none."""


class Modules(Protocol):
    """The modules of several sources, by name."""

    streams: Streams

    def __getitem__(self, name: str) -> MemoryModule:
        """The module of ``name.cu``."""

    def trim(self) -> None:
        """Give back memory that is kept for later use: somebody found none."""


class Fetch(Protocol):
    """An array on its way into the host's memory."""

    def wait(self) -> NDArray[Any]:
        """It, once it is there. Nobody else holds it."""


def source(name: str) -> str:
    """The text of ``name.cu``, with what it includes of this folder in its place."""
    text = (FOLDER / f"{name}.cu").read_text(encoding="utf-8")
    return INCLUDE.sub(lambda found: (FOLDER / found[1]).read_text(encoding="utf-8"), text)


def run_compiler(command: list[str]) -> None:
    """Run a compiler.

    Raises:
        KernelError: it refuses what it is given.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise KernelError(f"{Path(command[0]).name} failed: {done.stderr.strip()[:600]}")


class HostArrays:
    """Arrays of kernels that run on the CPU: NumPy's."""

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """A contiguous copy."""
        return np.array(array, order="C", copy=True)

    def zeros(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """NumPy's."""
        return np.zeros(shape, kind)

    def get(self, array: Any) -> NDArray[Any]:
        """The array itself."""
        result: NDArray[Any] = array
        return result

    def address(self, array: Any) -> int:
        """Of its first byte."""
        return int(array.ctypes.data)

    def shared(self, plane: Any) -> NDArray[Any]:
        """A view, read-only where its owner says so."""
        return np.from_dlpack(plane)

    def host(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """NumPy's."""
        return np.zeros(shape, kind)

    def write(self, target: Any, host: NDArray[Any]) -> None:
        """At once."""
        target[...] = host

    def fetch(self, array: Any) -> Fetch:
        """At once."""
        return Fetched(np.array(array, order="C", copy=True))

    def copy(self, target: Any, array: Any) -> None:
        """At once."""
        target[...] = array

    def take(self, array: Any, rows: NDArray[np.intp]) -> NDArray[Any]:
        """NumPy's."""
        return np.ascontiguousarray(array[rows])

    def owns(self, array: Any) -> bool:
        """Every NumPy array."""
        return isinstance(array, np.ndarray)

    def trim(self) -> None:
        """Nothing is kept."""


class Fetched:
    """What has been copied already.

    Args:
        array: owned by whoever waits.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def wait(self) -> NDArray[Any]:
        """See ``Fetch.wait``."""
        return self._array


class ShimModule(HostArrays):
    """The source compiled by g++ and run on the CPU, one thread after the other.

    Args:
        name: of the source.
        folder: where the library is built.

    Raises:
        KernelError: there is no g++, or it refuses the source.
    """

    def __init__(self, name: str, folder: Path) -> None:
        compiler = shutil.which("g++")
        if compiler is None:
            raise KernelError("g++ is not installed")
        text = source(name)
        lines = ['#include "cpu_shim.h"', f'#include "{FOLDER / f"{name}.cu"}"']
        for kernel, parameters in KERNEL.findall(text):
            names = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", parameters))
            lines.append(
                f'extern "C" void launch_{kernel}(unsigned grid_, unsigned block_, {parameters})'
                f" {{ shim_launch(grid_, block_, {kernel}, {names}); }}"
            )
        wrapper, library = folder / f"{name}.cpp", folder / f"{name}.so"
        wrapper.write_text("\n".join(lines) + "\n", encoding="utf-8")
        options = ["-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Werror"]
        run_compiler(
            [
                compiler,
                *options,
                "-ffp-contract=off",
                f"-I{FOLDER.parent / 'shim'}",
                str(wrapper),
                "-o",
                str(library),
            ]
        )
        self._library = ctypes.CDLL(str(library))

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel over at least so many threads."""
        function = getattr(self._library, f"launch_{kernel}")
        function.restype = None
        function(
            ctypes.c_uint(-(-threads // THREADS)), ctypes.c_uint(THREADS), *map(_c_value, args)
        )


def _c_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    return np.ctypeslib.as_ctypes_type(value.dtype)(value.item())


class CupyModule:
    """The source compiled by NVRTC and run on the current GPU by CuPy.

    Raises:
        KernelError: CuPy is not installed or finds no GPU, or the source cannot be compiled and
            loaded: another CUDA than the driver's, no NVRTC, a GPU too old.
    """

    def __init__(self, name: str) -> None:
        try:
            import cupy
        except ImportError as error:
            raise KernelError("CuPy is not installed (the extra 'gpu')") from error
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise KernelError(f"CuPy finds no GPU ({error})") from error
        if count < 1:
            raise KernelError("CuPy finds no GPU")
        self._cupy = cupy
        self._copied: list[tuple[Any, NDArray[Any]]] = []
        self._lock = threading.Lock()
        # IEEE square roots, and no fused multiply-add that the twin does not make.
        self._module = cupy.RawModule(
            code=source(name), options=("--std=c++17", "--prec-sqrt=true", "--fmad=false")
        )
        try:
            # Now, not at the first frame: whoever asked for a GPU is told before anything starts.
            self._module.compile()
        except (RuntimeError, OSError, cupy.cuda.compiler.CompileException) as error:
            why = " ".join(str(error).split())[:300]
            raise KernelError(f"{name}.cu cannot be loaded on this GPU: {why}") from error

    def put(self, array: NDArray[Any]) -> Any:
        """A copy on the GPU; an array that is there already stays.

        CuPy copies through pinned memory of its own: neither the host nor the queue waits.
        """
        return self._cupy.ascontiguousarray(self._cupy.asarray(array))

    def zeros(self, shape: tuple[int, ...], kind: DTypeLike) -> Any:
        """CuPy's; nothing is copied to the GPU."""
        return self._cupy.zeros(shape, kind)

    def get(self, array: Any) -> NDArray[Any]:
        """A copy on the CPU."""
        return self.fetch(array).wait()

    def address(self, array: Any) -> int:
        """Of its first byte on the GPU."""
        return int(array.data.ptr)

    def shared(self, plane: Any) -> Any:
        """A view. Decoders write on the default stream, for which the current one waits."""
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(self._cupy.cuda.Stream.null)
        self._cupy.cuda.get_current_stream().wait_event(event)
        return self._cupy.from_dlpack(plane)

    def host(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """Pinned."""
        from cupyx import zeros_pinned

        made: NDArray[Any] = zeros_pinned(shape, kind)
        return made

    def write(self, target: Any, host: NDArray[Any]) -> None:
        """On CuPy's current stream."""
        stream = self._cupy.cuda.get_current_stream()
        # Named, or CuPy copies at once and beside every queue.
        target.set(host, stream=stream)
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        with self._lock:
            self._copied = [pair for pair in self._copied if not pair[0].done]
            self._copied.append((event, host))

    def fetch(self, array: Any) -> Fetch:
        """On CuPy's current stream, into pinned memory."""
        return _Pinned(self._cupy, self._cupy.ascontiguousarray(array))

    def copy(self, target: Any, array: Any) -> None:
        """On CuPy's current stream."""
        target[...] = array

    def take(self, array: Any, rows: NDArray[np.intp]) -> Any:
        """CuPy's."""
        return self._cupy.ascontiguousarray(array[self._cupy.asarray(rows)])

    def owns(self, array: Any) -> bool:
        """Every CuPy array."""
        return isinstance(array, self._cupy.ndarray)

    def trim(self) -> None:
        """CuPy's pool, all of it that nobody uses."""
        self._cupy.get_default_memory_pool().free_all_blocks()

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel over at least so many threads, on CuPy's current stream."""
        self._module.get_function(kernel)((-(-threads // THREADS),), (THREADS,), args)


class _Pinned:
    """A copy from the GPU that is under way.

    Args:
        cupy: the module.
        array: contiguous; kept until the copy is done.
    """

    def __init__(self, cupy: Any, array: Any) -> None:
        from cupyx import empty_pinned

        self._from, self._to = array, empty_pinned(array.shape, array.dtype)
        stream = cupy.cuda.get_current_stream()
        array.get(stream=stream, out=self._to, blocking=False)
        self._event = cupy.cuda.Event(block=True, disable_timing=True)
        self._event.record(stream)

    def wait(self) -> NDArray[Any]:
        """See ``Fetch.wait``."""
        self._event.synchronize()
        self._from = None
        result: NDArray[Any] = self._to
        return result

    def __del__(self) -> None:
        # Given up: pinned memory must not be used again while the copy still writes to it.
        event = getattr(self, "_event", None)
        if event is not None:
            event.synchronize()
