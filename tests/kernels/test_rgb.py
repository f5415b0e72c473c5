"""RGB that DALI made of 4:2:0, back as NV12: the source, its twin, and what was before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.kernels.rgb import RADIUS, chroma_weights
from stream_anon.media.device import decoded
from stream_anon.media.device.decoded import from_rgb
from stream_anon.media.device.kernels import DeviceKernels, twin_kernels
from stream_anon.media.device.surface import to_planar
from stream_anon.media.pixel_formats import ycc_to_rgb
from tests.media.clips import texture

TWIN = twin_kernels()
SMPTE170M = 6


def back(kernels: DeviceKernels, rgb: np.ndarray) -> list[list[np.ndarray]]:
    module = kernels["rgb"]
    frames = from_rgb(kernels, module.put(rgb), 1)
    return [
        [plane.copy() for plane in to_planar(one, [module.get(p) for p in one.planes])]
        for one in frames
    ]


def drawn(planes: list[np.ndarray]) -> np.ndarray:
    """What DALI makes of planes: chroma as straight lines between its samples, then BT.601."""
    luma, *chroma = (plane.astype(np.float64) for plane in planes)
    for number, plane in enumerate(chroma):
        for axis in (0, 1):
            first, last = (np.take(plane, [k], axis) for k in (0, -1))
            wide = np.concatenate([first, plane, last], axis)
            count = plane.shape[axis]
            here = np.take(wide, range(1, count + 1), axis)
            near = [np.take(wide, range(k, count + k), axis) for k in (0, 2)]
            pair = np.stack([0.75 * here + 0.25 * n for n in near], axis + 1)
            plane = pair.reshape([2 * s if k == axis else s for k, s in enumerate(plane.shape)])
        chroma[number] = np.rint(plane)
    samples = np.stack([luma, *chroma, np.ones_like(luma)], -1)
    rgb = samples @ ycc_to_rgb(SMPTE170M, False, 8).astype(np.float64).T
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def planes_of(width: int, height: int, seed: int, spread: int) -> list[np.ndarray]:
    """Random samples whose colours RGB can hold, where ``spread`` is small."""
    rng = np.random.default_rng(seed)
    small = height // 2, width // 2
    return [
        rng.integers(90, 160, (height, width)).astype(np.uint8),
        *(rng.integers(128 - spread, 129 + spread, small).astype(np.uint8) for _ in range(2)),
    ]


@settings(max_examples=30, deadline=None)
@given(
    half=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_it_agrees_with_the_twin(compiled, half, count, seed):
    shape = (count, 2 * half[1], 2 * half[0], 3)
    rgb = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    for ours, twins in zip(back(compiled, rgb), back(TWIN, rgb), strict=True):
        for one, other in zip(ours, twins, strict=True):
            np.testing.assert_array_equal(one, other)


@settings(max_examples=30, deadline=None)
@given(half=st.tuples(st.integers(1, 40), st.integers(1, 30)), seed=st.integers(0, 99))
def test_what_rgb_can_hold_comes_back(half, seed):
    """Noise in chroma is the worst there is: each sample hangs on its neighbours the most."""
    planes = planes_of(2 * half[0], 2 * half[1], seed, 30)
    (found,) = back(TWIN, drawn(planes)[None])
    gaps = [np.abs(a.astype(int) - b) for a, b in zip(found, planes, strict=True)]
    assert gaps[0].max() == 0
    assert max(gap.max() for gap in gaps[1:]) <= 2
    assert np.mean([gap.mean() for gap in gaps[1:]]) <= 0.6


def test_smooth_colours_come_back_within_a_level():
    rgb = texture(0, 96, 64) // 2 + 64
    (first,) = back(TWIN, rgb[None])
    (second,) = back(TWIN, drawn(first)[None])
    for one, other in zip(first, second, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_without_the_filter_chroma_would_be_blurred(monkeypatch):
    """What the test above would miss if the means alone were taken."""
    planes = planes_of(64, 48, 3, 30)
    rgb = drawn(planes)[None]
    monkeypatch.setattr(decoded, "chroma_weights", lambda: np.array([65536], np.int32))
    (found,) = back(twin_kernels(), rgb)
    assert np.abs(found[1].astype(int) - planes[1]).mean() > 5


def test_weights_undo_the_blur():
    weights = chroma_weights() / 65536
    assert len(weights) == 2 * RADIUS + 1
    assert weights.sum() == pytest.approx(1.0)
    whole = np.convolve(weights, [1 / 8, 6 / 8, 1 / 8])
    whole[len(whole) // 2] -= 1.0
    assert np.abs(whole).max() < 1e-3
