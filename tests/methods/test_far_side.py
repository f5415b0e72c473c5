"""Before a turned head lies what lies there: carried in from outside, whatever was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.masks import minimum_interior
from stream_anon.alignment.mesh_measures import direction
from stream_anon.methods.generative.far_side import TURNED, clear
from tests.methods.test_morph import mesh

SIDE = 128
HAIR, WALL, RAW = (10, 5, 5), (150, 160, 170), (255, 0, 0)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Hair everywhere in the drawing; a wall outside of the ellipse of the frame."""
    face = np.full((SIDE, SIDE, 3), HAIR, np.uint8)
    crop = np.full((SIDE, SIDE, 3), WALL, np.uint8)
    crop[minimum_interior(SIDE)] = RAW
    return face, crop


@pytest.mark.parametrize("yaw", [45.0, -45.0])
def test_before_a_turned_face_stands_the_wall(yaw):
    face, crop = scene()
    points = mesh(yaw, scale=0.7)
    turned = direction(points).yaw
    assert abs(turned) > TURNED[1]
    out = clear(face, crop, points, turned)
    ahead = points[:, 0].max() if turned > 0 else points[:, 0].min()
    step = 1 if turned > 0 else -1
    row = round(float(points[:, 1].mean()))
    seen = out[row, round(float(ahead)) + 9 * step].astype(int)
    assert np.abs(seen - WALL).max() < 12, "the wall"
    behind = out[row, round(float(ahead)) - 40 * step]
    assert np.array_equal(behind, HAIR), "the head"
    assert np.array_equal(out[2], face[2]), "hair above"


@settings(max_examples=30, deadline=None)
@given(st.floats(-60.0, 60.0), st.integers(0, 10_000))
def test_nothing_inside_the_ellipse_has_any_influence(yaw, seed):
    face, crop = scene()
    other = crop.copy()
    inside = minimum_interior(SIDE)
    rng = np.random.default_rng(seed)
    other[inside] = rng.integers(0, 256, (int(inside.sum()), 3), dtype=np.uint8)
    points = mesh(yaw, scale=0.7)
    turned = direction(points).yaw
    assert np.array_equal(clear(face, crop, points, turned), clear(face, other, points, turned))


def test_a_face_that_looks_ahead_is_left_as_it_is():
    face, crop = scene()
    for yaw in (0.0, TURNED[0], -TURNED[0]):
        assert clear(face, crop, mesh(), yaw) is face


def test_close_ups_are_as_large_as_they_were():
    face, crop = scene()
    large = np.repeat(np.repeat(face, 2, axis=0), 2, axis=1)
    points = mesh(45.0, scale=0.7)
    assert clear(large, crop, points, direction(points).yaw).shape == large.shape
