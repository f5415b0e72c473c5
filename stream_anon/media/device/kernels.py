"""The kernels that a frame needs, loaded once for all frames of a device."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stream_anon.kernels.cuda import CupyModule, Module
from stream_anon.kernels.twin import TwinModule

NAMES = ("faces", "maps", "covers")


class DeviceKernels:
    """Sources as modules of one kind, loaded when first used; safe to share between threads.

    Args:
        device: ``cuda``, or what stands for it: told by frames.
        load: makes the module of a source.
    """

    def __init__(self, device: str, load: Callable[[str], Module]) -> None:
        self.device = device
        self._load = load
        self._modules: dict[str, Module] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Module:
        """The module of ``name.cu``.

        Raises:
            KernelError: it cannot be compiled or run here.
        """
        with self._lock:
            module = self._modules.get(name)
            if module is None:
                module = self._modules[name] = self._load(name)
            return module


def cuda_kernels() -> DeviceKernels:
    """On the current GPU, by CuPy."""
    return DeviceKernels("cuda", CupyModule)


def twin_kernels() -> DeviceKernels:
    """In NumPy, on the CPU: the same calls, for tests."""
    return DeviceKernels("cpu-twin", TwinModule)
