from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from stream_anon.evaluation import scores

VALUES = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1, 1, width=32))


def gaussians(shift: float, n: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(shift, 1.0, n), rng.normal(0.0, 1.0, n)


def test_equal_error_of_two_gaussians_is_the_known_one():
    genuine, impostor = gaussians(2.0)
    assert scores.equal_error(genuine, impostor) == pytest.approx(norm.sf(1.0), abs=2e-3)


def test_true_accepts_of_two_gaussians_are_the_known_ones():
    genuine, impostor = gaussians(2.0)
    for far in (1e-1, 1e-2, 1e-3):
        found = scores.accepted(genuine, scores.threshold_at(impostor, far)).value
        assert found == pytest.approx(norm.sf(norm.isf(far) - 2.0), abs=1.5e-2)


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([1.0, 2.0], [-1.0, 0.0], 0.0),
        ([-1.0, 0.0], [1.0, 2.0], 1.0),
        ([0.5], [0.5], 0.5),
        ([0.0, 1.0], [0.0, 1.0], 0.5),
        ([3.0, 3.0, 3.0, 0.0], [2.0, -1.0, -1.0, -1.0], 0.25),
    ],
)
def test_equal_error_by_hand(genuine, impostor, expected):
    assert scores.equal_error(np.array(genuine), np.array(impostor)) == pytest.approx(expected)


@given(VALUES, VALUES)
def test_equal_error_turns_round_with_the_two_sides(genuine, impostor):
    rate = scores.equal_error(genuine, impostor)
    assert 0.0 <= rate <= 1.0
    assert scores.equal_error(-impostor, -genuine) == pytest.approx(rate, abs=1e-9)


@given(VALUES, st.floats(0, 0.99))
def test_a_threshold_never_lets_more_impostors_in_than_allowed(impostor, far):
    threshold = scores.threshold_at(impostor, far)
    assert (impostor > threshold).mean() <= far + 1e-12
    assert threshold in impostor


def test_a_threshold_is_the_lowest_that_keeps_its_promise():
    assert scores.threshold_at(np.arange(1000.0), 1e-2) == 989.0
    assert scores.threshold_at(np.arange(10.0), 1e-3) == 9.0


@pytest.mark.parametrize("far", [-0.1, 1.0, float("nan")])
def test_a_threshold_refuses_rates_that_are_none(far):
    with pytest.raises(ValueError, match="false accept rate"):
        scores.threshold_at(np.arange(3.0), far)


def test_values_that_are_not_finite_are_refused():
    bad, good = np.array([np.nan, 1.0]), np.array([0.0])
    for call in (
        lambda: scores.equal_error(bad, good),
        lambda: scores.equal_error(good, np.array([])),
        lambda: scores.threshold_at(bad, 0.1),
        lambda: scores.mean(bad),
        lambda: scores.mean(np.array([])),
    ):
        with pytest.raises(ValueError, match="needs|finite"):
            call()


def test_wilson_interval_is_the_textbook_one():
    none, half = scores.share(0, 100), scores.share(50, 100)
    assert (none.low, none.high) == pytest.approx((0.0, 0.03699), abs=1e-4)
    assert (half.low, half.high) == pytest.approx((0.40383, 0.59617), abs=1e-4)
    with pytest.raises(ValueError, match="no share"):
        scores.share(0, 0)


def test_bootstrap_interval_holds_the_rate_and_repeats():
    genuine, impostor = gaussians(1.0, 500)
    found = scores.equal_error_interval(genuine, impostor)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.1
    assert found == scores.equal_error_interval(genuine, impostor)


def test_rank_one_leaves_the_very_image_out():
    gallery = np.eye(4, dtype=np.float32)
    people = np.array([0, 0, 1, 1])
    probes = gallery[:1].copy()
    found = scores.rank_one(probes, people[:1], gallery, people, np.array([0]))
    # Its own image gone, all the others are equally far: the first of them is its person.
    assert found.value == 1.0
    probes[0, 2] = 0.5
    assert scores.rank_one(probes, people[:1], gallery, people, np.array([0])).value == 0.0
    assert scores.rank_one(probes, people[:1], gallery, people, np.array([-1])).value == 1.0


def test_rank_one_refuses_a_person_who_cannot_be_found():
    gallery = np.eye(2, dtype=np.float32)
    with pytest.raises(ValueError, match="not in the gallery"):
        scores.rank_one(gallery[:1], np.array([0]), gallery, np.array([0, 1]), np.array([0]))
