"""The kernels that a frame needs, loaded once for all frames of a device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.cuda import CupyModule, MemoryModule
from stream_anon.kernels.streams import CupyStreams, Streams
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.pool import SurfacePool

_TABLES = 64


class DeviceKernels:
    """Sources as modules of one kind, loaded when first used; safe to share between threads.

    Args:
        device: of the frames, as ``Frame.device``.
        load: makes the module of a source.
        streams: the device's queues of work; None for a device that has none.

    Attributes:
        streams: see above.
        luma_step: which luma was asked for last: that of the next frames is fetched ahead.
    """

    def __init__(
        self,
        device: str,
        load: Callable[[str], MemoryModule],
        *,
        streams: Streams | None = None,
    ) -> None:
        self.device = device
        self.streams = Streams() if streams is None else streams
        self.luma_step: int | None = None
        self._load = load
        self._modules: dict[str, MemoryModule] = {}
        self._tables: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}
        self._pool: SurfacePool | None = None
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

    def trim(self) -> None:
        """Let go of memory that is kept for frames to come."""
        self.pool.trim()

    @property
    def pool(self) -> SurfacePool:
        """Memory of frames."""
        with self._lock:
            if self._pool is None:
                self._pool = SurfacePool(self["maps"], self.streams)
            return self._pool

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
                    # Sizes that come and go must not fill a card's memory; but what another
                    # queue still reads may not be handed to the next array.
                    for _, event in self._tables.values():
                        self.streams.finish(event)
                    self._tables.clear()
                arrays = tuple(self[name].put(np.ascontiguousarray(one)) for one in make())
                found = self._tables[key] = arrays, self.streams.record()
        self.streams.wait(found[1])
        return found[0]


    def av_context(self) -> Any:
        """FFmpeg's view of the GPU (``av.video.frame.CudaContext``): one for all frames."""
        from av.video.frame import CudaContext

        with self._lock:
            if self._av_context is None:
                # The primary context is CuPy's and torch's as well.
                self._av_context = CudaContext(device_id=0, primary_ctx=True)
            return self._av_context


@lru_cache(maxsize=1)
def cuda_kernels() -> DeviceKernels:
    """On the first GPU that this process sees, by CuPy; the same for all runs of the process."""
    return DeviceKernels("cuda:0", CupyModule, streams=CupyStreams())


def twin_kernels() -> DeviceKernels:
    """In NumPy, on the CPU: the same calls, for tests."""
    return DeviceKernels("cpu", TwinModule)
