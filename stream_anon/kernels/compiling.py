"""Machine code for any architecture, without a GPU: by NVRTC, or by nvcc."""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import sys
import tempfile
from pathlib import Path

from stream_anon.kernels.cuda import FOLDER, KernelError, run_compiler, source


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
        run_compiler([*command, "-o", str(result), str(FOLDER / f"{name}.cu")])
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
