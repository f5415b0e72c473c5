"""Every source compiles for every architecture, without a GPU."""

from __future__ import annotations

import importlib

import pytest

from stream_anon.kernels.compiling import cubin
from stream_anon.kernels.cuda import FOLDER, KERNEL, KernelError, source
from stream_anon.kernels.twin import TwinModule

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_120")
"""Turing to Blackwell; sm_87 is Jetson Orin."""

SOURCES = sorted(path.stem for path in FOLDER.glob("*.cu"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_it_compiles(name: str, architecture: str):
    compiles(name, architecture, quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_it_compiles_as_it_is_run(name: str, architecture: str):
    compiles(name, architecture, quick=False)


def compiles(name: str, architecture: str, *, quick: bool) -> None:
    try:
        size = cubin(name, architecture, quick=quick)
    except KernelError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        if architecture == "sm_87" and "architecture" in str(error):
            pytest.skip(f"this compiler has no sm_87: {error}")
        raise
    assert size > 1000


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "visual_mixer"])
def test_every_kernel_has_a_twin(name: str):
    twin = importlib.import_module(f"stream_anon.kernels.{name}")
    kernels = [kernel for kernel, _ in KERNEL.findall(source(name))]
    assert kernels
    for kernel in kernels:
        assert callable(getattr(twin, kernel))


def test_a_source_or_kernel_without_a_twin_is_refused():
    with pytest.raises(KernelError, match="no twin"):
        TwinModule("nothing")
    with pytest.raises(KernelError, match="no twin"):
        TwinModule("faces").launch("nothing", 1)
