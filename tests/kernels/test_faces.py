"""Crops and pastes: the source against its twin, bit for bit, on random frames and faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.kernels.planes import PixelFormat
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.plans import crop_plans, paste_plans, tiles_of
from stream_anon.media.device.surface import batch_of
from tests.kernels.scenes import EXTENT, squares, surface, transform

TWIN = TwinModule("faces")

sizes = st.tuples(st.integers(1, 70), st.integers(1, 60))
formats = st.sampled_from(list(PixelFormat))


def crops(module, frames, faces, side):
    """One launch for all faces of all frames."""
    surfaces = [surface(module, *size, kind, seed) for size, kind, seed in frames]
    batch = batch_of(module, surfaces)
    plans = np.concatenate(
        [
            crop_plans(np.stack([face]), side, EXTENT, *frames[n][0], n)
            for n, face in faces
        ]
    )
    out = module.put(np.zeros((len(plans), side, side, 3), np.uint8))
    module.launch(
        "face_crop", out.size // 3, batch.addresses, batch.geometry, batch.colours,
        module.put(plans), np.int32(len(plans)), np.int32(side), out,
    )  # fmt: skip
    return module.get(out)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.lists(st.tuples(sizes, formats, st.integers(0, 99)), min_size=1, max_size=3),
    faces=st.lists(st.tuples(st.integers(0, 2), squares), min_size=1, max_size=4),
    side=st.sampled_from([1, 7, 32]),
)
def test_crops_agree_with_the_twin(compiled, frames, faces, side):
    faces = [(n % len(frames), face) for n, face in faces]
    found = crops(compiled["faces"], frames, faces, side)
    np.testing.assert_array_equal(found, crops(TWIN, frames, faces, side))


def paste(module, frames, faces, side, grid, seed):
    rng = np.random.default_rng(seed)
    surfaces = [surface(module, *size, kind, n) for size, kind, n in frames]
    batch = batch_of(module, surfaces)
    masks = rng.integers(0, 256, (len(faces), grid, grid)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.3] = 0
    masks[rng.random(masks.shape) < 0.3] = 255
    patches = rng.integers(0, 256, (len(faces), side, side, 3)).astype(np.uint8)
    rows, kept = [], []
    for number, (n, face) in enumerate(faces):
        row, found = paste_plans(
            masks[number : number + 1], face[None], side, EXTENT, *frames[n][0], n
        )
        rows.append(row)
        kept += [number] * len(found)
    plans = np.concatenate(rows)
    tiles, lists = tiles_of(plans)
    if len(tiles):
        module.launch(
            "face_paste", len(tiles) * 64, batch.addresses, batch.geometry, batch.colours,
            module.put(plans), module.put(tiles), np.int32(len(tiles)), module.put(lists),
            module.put(patches[kept]), np.int32(side), module.put(masks[kept]), np.int32(grid),
        )  # fmt: skip
    return [module.get(plane).copy() for one in surfaces for plane in one.planes]


@settings(max_examples=40, deadline=None)
@given(
    frames=st.lists(
        st.tuples(sizes, st.sampled_from([PixelFormat.NV12, PixelFormat.P010]), st.integers(0, 99)),
        min_size=1,
        max_size=2,
    ),
    faces=st.lists(st.tuples(st.integers(0, 1), squares), min_size=1, max_size=4),
    side=st.sampled_from([1, 16, 33]),
    grid=st.sampled_from([1, 16, 24]),
    seed=st.integers(0, 99),
)
def test_pastes_agree_with_the_twin(compiled, frames, faces, side, grid, seed):
    faces = [(n % len(frames), face) for n, face in faces]
    found = paste(compiled["faces"], frames, faces, side, grid, seed)
    for one, two in zip(found, paste(TWIN, frames, faces, side, grid, seed), strict=True):
        np.testing.assert_array_equal(one, two)


def test_faces_that_share_pixels_are_painted_in_order(compiled):
    """The later covers the earlier, however the threads run."""
    frames = [((64, 48), PixelFormat.NV12, 0)]
    one, two = transform(30, 24, 30), transform(34, 26, 30)
    there = paste(compiled["faces"], frames, [(0, one), (0, two)], 16, 16, 1)
    back = paste(compiled["faces"], frames, [(0, two), (0, one)], 16, 16, 1)
    assert any((a != b).any() for a, b in zip(there, back, strict=True))
    for a, b in zip(there, paste(TWIN, frames, [(0, one), (0, two)], 16, 16, 1), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9])
def test_faces_far_beyond_the_frame_are_its_border(compiled, far):
    frames = [((40, 30), PixelFormat.P010, 3)]
    for x, y in ((far, -far), (-far, far)):
        face = transform(x, y, 25)
        found = crops(compiled["faces"], frames, [(0, face)], 16)
        np.testing.assert_array_equal(found, crops(TWIN, frames, [(0, face)], 16))
        assert (found == found[0, 0, 0]).all()
