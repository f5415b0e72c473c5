"""What is said of a GPU that cannot be used; a stand-in for CuPy says no."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from stream_anon.kernels.cuda import CupyModule, KernelError


class NoDriver(RuntimeError):
    """CuPy's own error of the runtime."""


class NotCompiled(Exception):
    """CuPy's own error of the compiler."""


def stand_in(count, compiled):
    def counted() -> int:
        if isinstance(count, Exception):
            raise count
        return count

    def compile_() -> None:
        if isinstance(compiled, Exception):
            raise compiled

    runtime = SimpleNamespace(getDeviceCount=counted, CUDARuntimeError=NoDriver)
    cuda = SimpleNamespace(
        runtime=runtime, compiler=SimpleNamespace(CompileException=NotCompiled)
    )
    return SimpleNamespace(
        cuda=cuda, RawModule=lambda **_: SimpleNamespace(compile=compile_)
    )


@pytest.mark.parametrize(
    ("count", "compiled", "said"),
    [
        (NoDriver("driver version is insufficient"), None, "finds no GPU .driver version is"),
        (0, None, "finds no GPU"),
        (1, NotCompiled("nvrtc: error:\n invalid value for --gpu-architecture"), "invalid value"),
        (1, OSError("libnvrtc.so.13: cannot open shared object file"), "libnvrtc.so.13"),
        (1, NoDriver("CUDA_ERROR_NO_BINARY_FOR_GPU"), "NO_BINARY"),
    ],
)
def test_one_line_says_why(monkeypatch, count, compiled, said):
    monkeypatch.setitem(sys.modules, "cupy", stand_in(count, compiled))
    with pytest.raises(KernelError, match=said) as caught:
        CupyModule("faces")
    assert "\n" not in str(caught.value)


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(KernelError, match="CuPy is not installed"):
        CupyModule("faces")


def test_a_module_that_compiles_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", stand_in(1, None))
    assert CupyModule("faces")
