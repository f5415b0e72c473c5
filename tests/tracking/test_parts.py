"""Alignment, assignment, following and cuts, each on its own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from stream_anon import geometry
from stream_anon.alignment.align import align, align_all
from stream_anon.tracking import association, template_matching
from stream_anon.tracking.shot_boundary import CutDetector

CIRCLE = np.stack([np.cos(np.linspace(0, 7, 300)), np.sin(np.linspace(0, 7, 300))], axis=1)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.floats(0, 2), quarter_turns=st.integers(-1, 4))
def test_the_mask_covers_the_box_whatever_the_landmarks_say(
    seed: int, spread: float, quarter_turns: int
) -> None:
    rng = np.random.default_rng(seed)
    centres, halves = rng.uniform(-100, 2000, (4, 2)), rng.uniform(2, 900, (4, 2))
    marks = centres[:, None] + rng.normal(0, spread + 1e-9, (4, 5, 2)) * halves[:, None]
    marks[0] = np.nan
    boxes = np.hstack([centres - halves, centres + halves])
    transforms = align_all(boxes, marks, quarter_turns)
    assert np.isfinite(transforms).all()
    for transform, centre, half in zip(transforms, centres, halves, strict=True):
        outline = geometry.apply(transform, centre + CIRCLE * half)
        assert geometry.mask_radius(outline).max() <= 1.001


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.8, 3.0])
def test_a_good_frontal_face_keeps_the_plain_alignment(angle: float) -> None:
    cosine, sine = 1.4 * np.cos(angle), 1.4 * np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    marks = (geometry.TEMPLATE - 64) @ turn.T + (300, 200)
    plain = geometry.similarity(marks)
    centre = geometry.apply(geometry.invert(plain), np.array([geometry.MASK_CENTRE]))[0]
    half = np.array([38.0, 38.0]) * 1.4
    assert np.allclose(align(np.concatenate([centre - half, centre + half]), marks), plain)


def test_without_landmarks_the_face_stands_upright_as_the_frame_does() -> None:
    box = np.array([100.0, 50, 180, 160])
    up = geometry.apply(align(box, None), np.array([[140.0, 60.0], [140.0, 150.0]]))
    assert up[0, 1] < up[1, 1]
    # One turn counter-clockwise makes it upright: its top is on the stored frame's right.
    side = geometry.apply(align(box, None, 1), np.array([[175.0, 105.0], [105.0, 105.0]]))
    assert side[0, 1] < side[1, 1]
    assert abs(side[0, 0] - side[1, 0]) < 1e-9
    for bad in ([0, 0, 0, 9], [0, 0, np.nan, 9]):
        with pytest.raises(ValueError):
            align(np.array(bad, float), None)


@settings(max_examples=150, deadline=None)
@given(n=st.integers(1, 8), m=st.integers(1, 8), seed=st.integers(0, 10**6), barred=st.floats(0, 1))
def test_assignment_is_the_best_there_is(n: int, m: int, seed: int, barred: float) -> None:
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random((n, m)) < barred, np.inf, rng.random((n, m)))
    pairs = association.assign(cost)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    dear = np.where(np.isfinite(cost), cost, 100.0)
    rows, columns = linear_sum_assignment(dear)
    allowed = np.isfinite(cost[rows, columns])
    assert len(pairs) == allowed.sum()
    best = cost[rows, columns][allowed].sum()
    assert sum(cost[pair] for pair in pairs) == pytest.approx(best)


def test_assignment_refuses_what_is_no_cost() -> None:
    assert association.assign(np.full((3, 2), np.inf)) == []
    for bad in (np.nan, -np.inf):
        with pytest.raises(ValueError):
            association.assign(np.array([[0.0, bad]]))


def test_gates_close_on_distance_and_on_size() -> None:
    track = np.array([[0.0, 0, 100, 100]])
    boxes = np.array([[10.0, 0, 110, 100], [90, 0, 190, 100], [0, 0, 20, 20], [0, 0, 100, 100]])
    cost = association.costs(track, np.array([0.5]), boxes)[0]
    assert np.isfinite(cost).tolist() == [True, False, False, True]
    assert cost[3] < cost[0]


@pytest.mark.parametrize(("step", "size"), [*itertools.product([1, 3], [24, 60, 200])])
def test_following_finds_the_shift(step: int, size: int) -> None:
    rng = np.random.default_rng(size)
    coarse = rng.integers(0, 255, (45, 60)).astype(np.uint8)
    world = np.kron(coarse, np.ones((12, 12), np.uint8))
    first, second = world[60:420:step, 60:700:step], world[54:414:step, 45:685:step]
    box = np.array([300.0 - size / 2, 180 - size / 2, 300 + size / 2, 180 + size / 2])
    template = template_matching.cut(first, step, box)
    assert template is not None
    found, score = template_matching.find(
        template, second, step, np.array([300.0, 180.0]), 0.8 * size + 9
    )
    assert score > template_matching.GOOD
    assert np.abs(found - (315, 186)).max() <= max(2.0, 1.5 * step * template.stride)


def test_following_gives_up_where_there_is_nothing_to_follow() -> None:
    flat = np.full((90, 160), 99, np.uint8)
    assert template_matching.cut(flat, 1, np.array([10.0, 10, 50, 60])) is None
    noise = np.random.default_rng(0).integers(0, 255, (90, 160), np.uint8)
    assert template_matching.cut(noise, 1, np.array([-90.0, 10, -20, 60])) is None
    template = template_matching.cut(noise, 1, np.array([10.0, 10, 50, 60]))
    assert template is not None
    guess = np.array([400.0, 300.0])
    found, score = template_matching.find(template, noise, 1, guess, 10)
    assert score == 0
    assert (found == guess).all()
    _, score = template_matching.find(template, flat, 1, np.array([30.0, 35.0]), 10)
    assert score < template_matching.GOOD


def test_cuts_are_told_from_pans_fades_and_noise() -> None:
    rng = np.random.default_rng(0)

    def scene(k: int) -> np.ndarray:
        coarse = np.random.default_rng(k).integers(0, 255, (20, 40)).astype(np.uint8)
        return np.kron(coarse, np.ones((18, 18), np.uint8))

    cuts = CutDetector()
    assert not cuts.push(scene(0)[:, :640])
    for k in range(1, 6):
        assert not cuts.push(scene(0)[:, 6 * k : 640 + 6 * k])
    assert cuts.push(scene(1)[:, :640])
    for k in range(10):
        faded = scene(1)[:, :640] * (1 - 0.06 * k) + rng.normal(0, 3, (360, 640))
        assert not cuts.push(np.clip(faded, 0, 255).astype(np.uint8))
    assert cuts.push(scene(2)[:, :640])
