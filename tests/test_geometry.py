"""Transforms of the aligned face space."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.geometry import (
    ALIGNED_SIDE,
    MASK_CENTRE,
    MASK_SEMI_AXES,
    TEMPLATE,
    apply,
    invert,
    mask_radius,
    scale_of,
    similarity,
)

ANGLES = st.floats(-math.pi, math.pi)
SCALES = st.floats(0.02, 50.0)
SHIFTS = st.floats(-5000.0, 5000.0)


@given(ANGLES, SCALES, SHIFTS, SHIFTS)
def test_a_similarity_is_found_again(angle, scale, x, y):
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    points = TEMPLATE @ turn.T + (x, y)
    found = similarity(points)
    assert np.allclose(apply(found, points), TEMPLATE, atol=1e-5)
    assert scale_of(found) == pytest.approx(1 / scale)


@given(st.integers(0, 2**32 - 1))
def test_it_is_the_least_squares_optimum(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 30, (2, 5, 2))
    found = similarity(source, target)

    def error(transform):
        return float(((apply(transform, source) - target) ** 2).sum())

    least = error(found)
    a, b = found[0, 0], found[1, 0]
    for da, db, dx, dy in rng.normal(0, 0.01, (20, 4)):
        near = np.array([[a + da, -b - db, found[0, 2] + dx], [b + db, a + da, found[1, 2] + dy]])
        assert error(near) >= least - 1e-9


@given(ANGLES, SCALES, SHIFTS, SHIFTS)
def test_an_inverse_goes_back(angle, scale, x, y):
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    transform = np.array([[c, -s, x], [s, c, y]])
    assert np.allclose(apply(invert(transform), apply(transform, TEMPLATE)), TEMPLATE, atol=1e-6)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.full((5, 2), np.nan),
        np.full((5, 2), np.inf),
        np.zeros((4, 2)),
        np.zeros(10),
    ],
)
def test_what_is_no_set_of_points_is_refused(points):
    with pytest.raises(ValueError), np.errstate(invalid="ignore"):
        similarity(points)


def test_the_mask_reaches_forehead_jaw_and_cheeks():
    radius = mask_radius(TEMPLATE)
    assert (radius < 0.75).all()
    centre = np.array(MASK_CENTRE)
    assert mask_radius(centre[None])[0] == 0
    for axis in (0, 1):
        edge = centre.copy()
        edge[axis] += MASK_SEMI_AXES[axis]
        assert mask_radius(edge[None])[0] == pytest.approx(1.0)
    assert centre[1] + MASK_SEMI_AXES[1] <= ALIGNED_SIDE
