"""How much of a device's memory kernels hold: counted array by array, and bounded.

``Metered`` stands before any module. On the twin it is how a bound is computed and how running out
of memory is tried; on a GPU CuPy's own pool counts (``evaluation/benchmarks/gpu_memory.py``).
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stream_anon.kernels.cuda import Fetch, MemoryModule


class Meter:
    """Bytes that are held now, and the most that ever were.

    Args:
        limit: bytes from which there is no more; None for no bound.

    Attributes:
        held, peak: see above.
        refused: how often there was none.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.held = self.peak = self.refused = 0
        # An array may be collected while this very lock is held.
        self._lock = threading.RLock()

    def take(self, count: int) -> None:
        """Hold so many bytes more.

        Raises:
            MemoryError: they are beyond the limit.
        """
        with self._lock:
            if self.limit is not None and self.held + count > self.limit:
                self.refused += 1
                raise MemoryError(
                    f"{count} bytes are wanted on the device, {self.held} of {self.limit} are held"
                )
            self.held += count
            self.peak = max(self.peak, self.held)

    def give(self, count: int) -> None:
        """Hold so many bytes less."""
        with self._lock:
            self.held -= count


class Metered:
    """A module whose arrays are counted for as long as they live.

    Args:
        module: that does the work.
        meter: counts; shared by all modules of a device.
    """

    def __init__(self, module: MemoryModule, meter: Meter) -> None:
        self._module = module
        self._meter = meter

    def _held(self, count: int, make: Any) -> Any:
        self._meter.take(count)
        try:
            array = make()
        except BaseException:
            # Raised again: the ladder steps down on it. What was not taken is not counted.
            self._meter.give(count)
            raise
        weakref.finalize(array, self._meter.give, count)
        return array

    def put(self, array: NDArray[Any]) -> Any:
        """See ``MemoryModule``."""
        return self._held(int(array.nbytes), lambda: self._module.put(array))

    def zeros(self, shape: tuple[int, ...], kind: DTypeLike) -> Any:
        """See ``MemoryModule``."""
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        return self._held(count, lambda: self._module.zeros(shape, kind))

    def take(self, array: Any, rows: NDArray[np.intp]) -> Any:
        """See ``MemoryModule``."""
        count = int(array.nbytes) // max(1, len(array)) * len(rows)
        return self._held(count, lambda: self._module.take(array, rows))

    def get(self, array: Any) -> NDArray[Any]:
        """See ``MemoryModule``."""
        return self._module.get(array)

    def fetch(self, array: Any) -> Fetch:
        """See ``MemoryModule``."""
        return self._module.fetch(array)

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """See ``MemoryModule``."""
        self._module.launch(kernel, threads, *args)

    def address(self, array: Any) -> int:
        """See ``MemoryModule``."""
        return self._module.address(array)

    def host(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """See ``MemoryModule``."""
        return self._module.host(shape, kind)

    def write(self, target: Any, host: NDArray[Any]) -> None:
        """See ``MemoryModule``."""
        self._module.write(target, host)

    def owns(self, array: Any) -> bool:
        """See ``MemoryModule``."""
        return self._module.owns(array)

    def trim(self) -> None:
        """See ``MemoryModule``."""
        self._module.trim()

    def shared(self, plane: Any) -> Any:
        """See ``MemoryModule``: somebody else's memory, which is not counted."""
        return self._module.shared(plane)

    def copy(self, target: Any, array: Any) -> None:
        """See ``MemoryModule``."""
        self._module.copy(target, array)
