"""What is said of a GPU that cannot be used; a stand-in for CuPy says no."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
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


class Recorded:
    """CuPy's streams, events and arrays, as far as copies need them; every call is noted."""

    def __init__(self, monkeypatch) -> None:
        self.calls: list[tuple] = []
        self.done = False
        calls, outer = self.calls, self

        class Event:
            def __init__(self, **given):
                calls.append(("event", given))

            def record(self, stream):
                calls.append(("record", stream))

            def synchronize(self):
                calls.append(("synchronize",))

            @property
            def done(self):
                return outer.done

        class Array:
            shape, dtype = (2, 3), np.dtype(np.uint8)

            def set(self, host, stream=None):
                calls.append(("set", stream))

            def get(self, stream=None, out=None, blocking=True):
                calls.append(("get", stream, blocking))
                out[...] = 7

        made = stand_in(1, None)
        made.cuda.Event, made.cuda.get_current_stream = Event, lambda: "paint"
        made.ascontiguousarray, made.ndarray = (lambda array: array), Array
        pinned = SimpleNamespace(
            zeros_pinned=lambda shape, kind: np.zeros(shape, kind),
            empty_pinned=lambda shape, kind: np.empty(shape, kind),
        )
        monkeypatch.setitem(sys.modules, "cupy", made)
        monkeypatch.setitem(sys.modules, "cupyx", pinned)
        self.array, self.module = Array(), CupyModule("maps")


def test_copies_go_through_the_current_queue_and_nobody_waits(monkeypatch):
    known = Recorded(monkeypatch)
    host = known.module.host((2, 3), np.uint8)
    known.module.write(known.array, host)
    assert [call for call in known.calls if call[0] in ("set", "record")] == [
        ("set", "paint"), ("record", "paint")
    ]  # fmt: skip
    # Pinned memory lives until the copy is through, and no longer.
    assert [held is host for _, held in known.module._copied] == [True]
    known.done = True
    known.module.write(known.array, other := known.module.host((2, 3), np.uint8))
    assert [held is other for _, held in known.module._copied] == [True]
    known.calls.clear()
    fetch = known.module.fetch(known.array)
    assert ("get", "paint", False) in known.calls
    assert ("synchronize",) not in known.calls
    np.testing.assert_array_equal(fetch.wait(), np.full((2, 3), 7))
    assert ("synchronize",) in known.calls


def test_a_copy_that_nobody_waits_for_is_waited_for_before_its_memory_goes(monkeypatch):
    known = Recorded(monkeypatch)
    fetch = known.module.fetch(known.array)
    assert ("synchronize",) not in known.calls
    del fetch
    assert ("synchronize",) in known.calls
