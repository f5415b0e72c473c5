"""The kernels' NumPy twins behind the contract of a compiled module.

A twin is a Python module of this room with the source's name and one function for each kernel,
of the kernel's name and arguments. So what is launched on a GPU, through the g++ shim or here is
one and the same call.
"""

from __future__ import annotations

import importlib
from typing import Any

from stream_anon.kernels.cuda import HostArrays, KernelError


class TwinModule(HostArrays):
    """The twin of one source.

    Args:
        name: of the source.

    Raises:
        KernelError: it has no twin here.
    """

    def __init__(self, name: str) -> None:
        try:
            self._twin = importlib.import_module(f"stream_anon.kernels.{name}")
        except ImportError as error:
            raise KernelError(f"{name}.cu has no twin") from error

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """Run the twin of a kernel; it finds out itself how much there is to do.

        Raises:
            KernelError: there is none of that name.
        """
        function = getattr(self._twin, kernel, None)
        if function is None:
            raise KernelError(f"{kernel} has no twin")
        function(*args)
