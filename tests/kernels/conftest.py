"""Every kernel source, compiled once for the CPU; and on the GPU where there is one."""

from __future__ import annotations

import pytest

from stream_anon.kernels.cuda import KernelError, ShimModule
from stream_anon.media.device.kernels import DeviceKernels, cuda_kernels


@pytest.fixture(scope="session")
def shim(tmp_path_factory) -> DeviceKernels:
    """The sources themselves, run by g++."""
    folder = tmp_path_factory.mktemp("shim")

    def load(name: str) -> ShimModule:
        try:
            return ShimModule(name, folder)
        except KernelError as error:
            if "not installed" in str(error):
                pytest.skip(str(error))
            raise

    return DeviceKernels("cpu", load)


@pytest.fixture(
    scope="session", params=["shim", pytest.param("gpu", marks=pytest.mark.gpu)]
)
def compiled(request) -> DeviceKernels:
    """The sources, run by g++ and, where there is one, by a GPU."""
    if request.param == "gpu":
        return cuda_kernels()
    found: DeviceKernels = request.getfixturevalue("shim")
    return found
