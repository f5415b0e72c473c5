"""One ``.cu`` source, three ways to use it: compile it, run it on a GPU, run it on the CPU.

CuPy runs it where there is a GPU (``CupyModule``). The g++ shim runs the very same source on the
CPU, for tests (``ShimModule``). ``cubin`` compiles it without a GPU for any architecture.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stream_anon.errors import StreamAnonError

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

    def staged(self, array: Any) -> NDArray[Any]:
        """The array copied once into host memory of its own, which an encoder may read in place."""

    def wait(self) -> None:
        """Until everything that was launched from this thread is done."""


def source(name: str) -> str:
    """The text of ``name.cu``, with what it includes of this folder in its place."""
    text = (FOLDER / f"{name}.cu").read_text(encoding="utf-8")
    return INCLUDE.sub(lambda found: (FOLDER / found[1]).read_text(encoding="utf-8"), text)


def cubin(name: str, architecture: str, *, quick: bool = False) -> int:
    """Compile for one architecture; no GPU needed.

    NVRTC does it where its library is found (as CuPy would), nvcc otherwise.

    Args:
        name: of the source.
        architecture: such as ``sm_90``.
        quick: leave most of the optimisation out; a quarter of the time.

    Returns:
        Size of the machine code in bytes.

    Raises:
        KernelError: there is neither, or the source is refused.
    """
    library = _nvrtc()
    if library is not None:
        return _cubin_by_nvrtc(library, name, architecture, quick)
    compiler = shutil.which("nvcc")
    if compiler is None:
        raise KernelError("NVRTC and nvcc are not installed")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "out.cubin"
        command = [compiler, "-cubin", f"-arch={architecture}", "-Werror", "all-warnings"]
        command += ["-Ofast-compile=max"] if quick else []
        _run([*command, "-o", str(result), str(FOLDER / f"{name}.cu")])
        return result.stat().st_size


def _nvrtc() -> ctypes.CDLL | None:
    """The library of the wheel ``nvidia-cuda-nvrtc``, or one that the system knows."""
    found = [
        str(path)
        for entry in sys.path
        for path in sorted(Path(entry).glob("nvidia/*/lib/libnvrtc.so.*"))
        if "builtins" not in path.name
    ]
    system = ctypes.util.find_library("nvrtc")
    for candidate in [*found, *([system] if system else [])]:
        try:
            # It opens this one by its bare name, and finds it only if it is loaded already.
            for beside in sorted(Path(candidate).parent.glob("libnvrtc-builtins.so.*")):
                ctypes.CDLL(str(beside), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    return None


def _cubin_by_nvrtc(library: ctypes.CDLL, name: str, architecture: str, quick: bool) -> int:
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    text = source(name).encode()
    file = f"{name}.cu".encode()
    if library.nvrtcCreateProgram(ctypes.byref(program), text, file, 0, None, None):
        raise KernelError("NVRTC cannot be started")
    try:
        words = [f"-arch={architecture}".encode(), b"--std=c++17"]
        words += [b"--Ofast-compile=max"] if quick else []
        options = (ctypes.c_char_p * len(words))(*words)
        if library.nvrtcCompileProgram(program, len(words), options):
            library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            library.nvrtcGetProgramLog(program, log)
            raise KernelError(f"NVRTC failed: {log.value.decode(errors='replace').strip()[:600]}")
        if library.nvrtcGetCUBINSize(program, ctypes.byref(size)):
            raise KernelError(f"NVRTC made no machine code for {architecture}")
        return size.value
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _run(command: list[str]) -> None:
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

    def staged(self, array: Any) -> NDArray[Any]:
        """A copy."""
        return np.array(array, order="C", copy=True)

    def wait(self) -> None:
        """Everything is done when it is launched."""


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
        _run(
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
        """A copy on the GPU; an array that is there already stays."""
        return self._cupy.ascontiguousarray(self._cupy.asarray(array))

    def zeros(self, shape: tuple[int, ...], kind: DTypeLike) -> Any:
        """CuPy's; nothing is copied to the GPU."""
        return self._cupy.zeros(shape, kind)

    def get(self, array: Any) -> NDArray[Any]:
        """A copy on the CPU."""
        result: NDArray[Any] = self._cupy.asnumpy(array)
        return result

    def address(self, array: Any) -> int:
        """Of its first byte on the GPU."""
        return int(array.data.ptr)

    def shared(self, plane: Any) -> Any:
        """A view; what was written to it was written on the default stream, or is done."""
        return self._cupy.from_dlpack(plane)

    def staged(self, array: Any) -> NDArray[Any]:
        """A copy in page-locked memory, which CuPy's pool takes back when nobody holds it."""
        # Page-locked memory is written by the card itself; any other is copied once more.
        memory = self._cupy.cuda.alloc_pinned_memory(array.nbytes)
        count = array.size
        out = np.frombuffer(memory, array.dtype, count).reshape(array.shape)
        array.get(out=out)
        return out

    def wait(self) -> None:
        """For CuPy's current stream."""
        self._cupy.cuda.get_current_stream().synchronize()

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel over at least so many threads, on CuPy's current stream."""
        self._module.get_function(kernel)((-(-threads // THREADS),), (THREADS,), args)
