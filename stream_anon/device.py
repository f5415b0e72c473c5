"""Which device does the work, and what is missing for another."""

from __future__ import annotations

import ctypes
import importlib.util
from dataclasses import dataclass
from typing import Literal

from stream_anon.errors import UsageError

Name = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as its driver names it."""

    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A device and the reason for it, in words."""

    name: Name
    why: str


def gpus() -> list[Gpu]:
    """All GPUs that the NVIDIA driver shows to this process; empty without a driver.

    Asks the driver library itself, so that it works without torch or CuPy.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        handle, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
        if driver.cuDeviceGet(ctypes.byref(handle), index) != 0:
            continue
        driver.cuDeviceGetName(name, len(name), handle)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
        found.append(Gpu(index, name.value.decode(errors="replace"), memory.value))
    return found


def missing_for_cuda() -> str | None:
    """What this machine or installation lacks to work on a GPU, or None."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1) is installed"
    if not gpus():
        return "the NVIDIA driver shows no GPU to this process"
    for module in ("torch", "cupy"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (pip install 'stream-anon[gpu]')"
    return None


UNTRIED = "the GPU path has not been run on a GPU yet; --device cuda asks for it by name"
"""Why ``auto`` stays on the CPU. It goes when `make gpu-check` has passed on a GPU."""


def choose(wanted: Literal["auto", "cpu", "cuda"]) -> Choice:
    """Decide for a device.

    Raises:
        UsageError: ``cuda`` is asked for and something is missing.
    """
    if wanted == "cpu":
        return Choice("cpu", "asked for")
    missing = missing_for_cuda()
    if missing is None:
        return Choice("cuda", "asked for") if wanted == "cuda" else Choice("cpu", UNTRIED)
    if wanted == "cuda":
        raise UsageError(f"device 'cuda' cannot be used: {missing}")
    return Choice("cpu", missing)
