"""The kernels that a frame needs, loaded once for all frames of a device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.cuda import CupyModule, MemoryModule
from stream_anon.kernels.twin import TwinModule

_TABLES = 64


class DeviceKernels:
    """Sources as modules of one kind, loaded when first used; safe to share between threads.

    Args:
        device: of the frames, as ``Frame.device``.
        load: makes the module of a source.
        host: thumbnails and crops are copied to the host's memory. The methods that there are
            work there; one that works on the device asks for False.
    """

    def __init__(
        self, device: str, load: Callable[[str], MemoryModule], *, host: bool = True
    ) -> None:
        self.device = device
        self.host = host
        self._load = load
        self._modules: dict[str, MemoryModule] = {}
        self._tables: dict[Hashable, tuple[Any, ...]] = {}
        self._lock = threading.RLock()
        self._av_context: Any = None

    def __getitem__(self, name: str) -> MemoryModule:
        """The module of ``name.cu``.

        Raises:
            KernelError: it cannot be compiled or run here.
        """
        with self._lock:
            module = self._modules.get(name)
            if module is None:
                module = self._modules[name] = self._load(name)
            return module

    def given(self, module: MemoryModule, array: Any) -> Any:
        """What a frame hands out: a copy in the host's memory, or the array itself."""
        return module.get(array) if self.host else array

    def table(
        self, key: Hashable, make: Callable[[], tuple[NDArray[Any], ...]], name: str = "maps"
    ) -> tuple[Any, ...]:
        """Constant arrays where the kernels can read them, put there once.

        Args:
            key: of the arrays.
            make: makes them in host memory.
            name: of a source whose module puts them.
        """
        with self._lock:
            found = self._tables.get(key)
            if found is None:
                if len(self._tables) >= _TABLES:
                    # Sizes that come and go must not fill a card's memory.
                    self._tables.clear()
                found = tuple(self[name].put(np.ascontiguousarray(one)) for one in make())
                self._tables[key] = found
            return found


    def av_context(self) -> Any:
        """FFmpeg's view of the GPU (``av.video.frame.CudaContext``): one for all frames."""
        from av.video.frame import CudaContext

        with self._lock:
            if self._av_context is None:
                # The primary context is CuPy's and torch's as well.
                self._av_context = CudaContext(device_id=0, primary_ctx=True)
            return self._av_context


def cuda_kernels() -> DeviceKernels:
    """On the first GPU that this process sees, by CuPy."""
    return DeviceKernels("cuda:0", CupyModule)


def twin_kernels() -> DeviceKernels:
    """In NumPy, on the CPU: the same calls, for tests."""
    return DeviceKernels("cpu", TwinModule)
