"""Every sampler's radial or angular distribution, and proof that a wrong one would be seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from stream_anon.privacy import (
    Gaussian,
    L2Laplace,
    Laplace,
    PrivUnit,
    RandomisedResponse,
    VonMisesFisher,
)
from stream_anon.privacy.sphere import (
    at_cosine,
    below_cap_cosines,
    cap_cosines,
    cosines,
    directions,
)
from tests.privacy.tools import P_MIN, fixed, public_bank, random_code

N = 6000
DIMENSIONS = (3, 8, 64, 512)


def angle_cdf(dimension):
    """Distribution function of the cosine of a uniform direction."""
    a = (dimension - 1) / 2
    return lambda t: special.betainc(a, a, (1.0 + np.asarray(t)) / 2)


def vmf_cdf(dimension, kappa):
    grid = np.linspace(-1.0, 1.0, 200_001)[1:-1]
    log_density = kappa * grid + 0.5 * (dimension - 3) * np.log1p(-grid * grid)
    mass = integrate.cumulative_trapezoid(np.exp(log_density - log_density.max()), grid, initial=0)
    return lambda t: np.interp(t, grid, mass / mass[-1])


def privunit_cdf(made):
    uniform, g = angle_cdf(made.dimension), made.cap.g
    below = float(uniform(g))

    def cdf(t):
        share = uniform(t)
        # 1 - share without cancellation: the function is symmetric.
        inside = 1.0 - uniform(-np.asarray(t)) / uniform(-g)
        return np.where(
            t < g, (1.0 - made.p) * share / below, 1.0 - made.p + made.p * np.maximum(inside, 0.0)
        )

    return cdf


def p_value(sample, cdf):
    return stats.kstest(sample, cdf).pvalue


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_uniform_directions(dimension):
    rows = directions(dimension, N, fixed(1))
    fixed_direction = random_code(dimension)
    assert p_value(rows @ fixed_direction, angle_cdf(dimension)) > P_MIN
    assert p_value(cosines(dimension, N, fixed(2)), angle_cdf(dimension)) > P_MIN


@pytest.mark.parametrize("dimension", DIMENSIONS[1:])
def test_the_part_across_the_code_is_a_uniform_direction(dimension):
    code = np.eye(dimension)[0]
    t = np.full(N, 0.3)
    rows = at_cosine(code, t, fixed(3))
    assert rows @ code == pytest.approx(t)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0)
    across = rows[:, 1] / math.sqrt(1 - 0.09)
    assert p_value(across, angle_cdf(dimension - 1)) > P_MIN


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("sigmas", [0.0, 0.4, 2.0, 5.0])
def test_caps_are_sampled_exactly(dimension, sigmas):
    g = min(sigmas / math.sqrt(dimension), 0.97)
    uniform = angle_cdf(dimension)
    inside = cap_cosines(dimension, g, 1.0 - g * g, N, fixed(4))
    assert inside.min() >= g
    assert inside.max() <= 1.0
    assert p_value(inside, lambda t: 1.0 - uniform(-t) / uniform(-g)) > P_MIN
    below = below_cap_cosines(dimension, g, N, fixed(5))
    assert below.max() < g
    assert p_value(below, lambda t: uniform(t) / uniform(g)) > P_MIN


def test_a_cap_that_no_uniform_draw_ever_hits():
    # P(t >= 0.9) in 512 dimensions is 1e-186.
    t = cap_cosines(512, 0.9, 1 - 0.81, N, fixed(6))
    # Far out the tail is exponential with the slope of the log-density at g.
    excess = (t - 0.9) * (509 * 0.9 / 0.19)
    assert excess.mean() == pytest.approx(1.0, abs=0.05)
    assert (t >= 0.9).all()


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_laplace_coordinates(dimension):
    made, code = Laplace(dimension, 8.0), random_code(dimension)
    n = max(20, 60_000 // dimension)
    noise = (made._sample(code, n, fixed(7)) - code).ravel()
    assert made.scale == pytest.approx(2 * math.sqrt(dimension) / 8.0)
    assert p_value(noise, stats.laplace(scale=made.scale).cdf) > P_MIN
    assert p_value(noise, stats.laplace(scale=1.05 * made.scale).cdf) < P_MIN


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_l2_laplace_radius_and_direction(dimension):
    made, code = L2Laplace(dimension, 8.0), random_code(dimension)
    noise = made._sample(code, N, fixed(8)) - code
    radius = np.linalg.norm(noise, axis=1)
    assert p_value(radius, stats.gamma(dimension, scale=0.25).cdf) > P_MIN
    # The traps: a radius of one degree of freedom less, and a scale without the diameter 2.
    if dimension <= 64:
        assert p_value(radius, stats.gamma(dimension - 1, scale=0.25).cdf) < P_MIN
    assert p_value(radius, stats.gamma(dimension, scale=0.125).cdf) < P_MIN
    assert p_value(noise[:, 0] / radius, angle_cdf(dimension)) > P_MIN
    assert abs(np.corrcoef(radius, noise[:, 0] / radius)[0, 1]) < 0.05


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_gaussian_coordinates_and_radius(dimension):
    made, code = Gaussian(dimension, 4.0, 1e-6), random_code(dimension)
    noise = made._sample(code, N, fixed(9)) - code
    assert p_value(noise[:, 0], stats.norm(scale=made.sigma).cdf) > P_MIN
    assert p_value(noise[:, :3].ravel(), stats.norm(scale=1.06 * made.sigma).cdf) < P_MIN
    assert p_value((noise**2).sum(axis=1) / made.sigma**2, stats.chi2(dimension).cdf) > P_MIN


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("factor", [0.02, 1.0, 20.0])
def test_von_mises_fisher_angle(dimension, factor):
    kappa = factor * dimension
    made = VonMisesFisher(dimension, kappa)
    t = made.cosines(N, fixed(10))
    assert p_value(t, vmf_cdf(dimension, kappa)) > P_MIN
    if factor >= 1.0:
        assert p_value(t, vmf_cdf(dimension, 1.1 * kappa)) < P_MIN


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("epsilon", [0.5, 4.0, 64.0])
def test_privunit_angle(dimension, epsilon):
    made = PrivUnit(dimension, epsilon)
    t = made.cosines(N, fixed(11))
    # KS needs a continuous distribution: the two parts are one, joined at g.
    assert p_value(t, privunit_cdf(made)) > P_MIN
    inside = int(np.count_nonzero(t >= made.cap.g))
    assert stats.binomtest(inside, N, made.p).pvalue > P_MIN


def test_privunit_with_the_published_rejection_bug_would_be_seen():
    made = PrivUnit(512, 8.0)
    rng = fixed(12)
    tries = cosines(512, 25 * 400, rng).reshape(400, 25)
    hit = tries >= made.cap.g
    # 25 tries, then whatever came last: the cap of 0.3 % is missed nearly every time.
    buggy = np.where(hit.any(axis=1), tries[np.arange(400), hit.argmax(axis=1)], tries[:, -1])
    assert (buggy < made.cap.g).mean() > 0.8
    right = cap_cosines(512, made.cap.g, made.cap.complement, 400, rng)
    mixed = np.where(rng.uniform(400) < made.p, buggy, below_cap_cosines(512, made.cap.g, 400, rng))
    assert p_value(mixed, privunit_cdf(made)) < P_MIN
    assert (right >= made.cap.g).all()


@pytest.mark.parametrize("epsilon", [0.3, 2.0, 5.0])
def test_krr_frequencies(epsilon):
    size, n = 12, 40_000
    made = RandomisedResponse(public_bank(size, 16), epsilon)
    code = random_code(16)
    counts = np.bincount(made.indices(code, n, fixed(13)), minlength=size)
    expected = np.full(size, (1.0 - made.truth_probability) / (size - 1))
    expected[made.nearest(code)] = made.truth_probability
    assert stats.chisquare(counts, n * expected).pvalue > P_MIN
    # Choosing the "other" among all K would be seen.
    wrong = np.full(size, (1.0 - made.truth_probability) / size)
    wrong[made.nearest(code)] += made.truth_probability
    if epsilon < 5.0:
        assert stats.chisquare(counts, n * wrong).pvalue < P_MIN
