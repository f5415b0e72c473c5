"""The special functions against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from stream_anon.privacy.special import (
    bisect,
    log_cap,
    log_ndtr,
    log_sphere_normaliser,
    log_subtract,
    mean_cosine,
    mean_resultant,
    minimum,
)


@pytest.mark.parametrize(
    "x", [-1e4, -300.0, -37.5, -25.1, -24.9, -8.0, -1.0, 0.0, 1.0, 4.9, 5.1, 9.0]
)
def test_log_ndtr(x):
    assert log_ndtr(x) == pytest.approx(float(special.log_ndtr(x)), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("dimension", [3, 4, 16, 64, 512, 2048])
@pytest.mark.parametrize("g", [0.0, 1e-9, 0.01, 0.05, 0.075, 0.08, 0.2, 0.5, 0.9])
def test_log_cap(dimension, g):
    square = g * g
    log_q, log_rest = log_cap(dimension, square, 1.0 - square)
    # From the side of the equator, where SciPy keeps its digits too.
    q = 0.5 * special.betaincc(0.5, (dimension - 1) / 2, square)
    if q > 1e-290:
        assert log_q == pytest.approx(math.log(q), rel=1e-9, abs=1e-11)
    assert log_rest == pytest.approx(math.log1p(-q), rel=1e-9, abs=1e-13)


def test_log_cap_goes_where_the_plain_function_underflows():
    # q of a tiny cap tends to s^a / (2 a B(a, 1/2)), s = 1 - g^2.
    a, s = 511 / 2, 1e-8
    expected = a * math.log(s) - math.log(2 * a) - float(special.betaln(a, 0.5))
    assert log_cap(512, 1.0 - s, s)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dimension", [3, 4, 64, 512])
@pytest.mark.parametrize("kappa", [1e-3, 0.5, 4.0, 64.0, 700.0])
def test_sphere_normaliser_and_mean_resultant(dimension, kappa):
    order = dimension / 2 - 1
    bessel = special.ive(order, kappa)
    if bessel > 1e-280:
        log_bessel = math.log(bessel) + kappa
        expected = math.lgamma(order + 1) + order * math.log(2 / kappa) + log_bessel
        assert log_sphere_normaliser(dimension, kappa) == pytest.approx(expected, abs=2e-9)
        ratio = special.ive(order + 1, kappa) / bessel
        assert mean_resultant(dimension, kappa) == pytest.approx(ratio, rel=1e-10)
    if kappa < 0.1:
        return
    # The mean is the derivative of the log-normaliser.
    step = 1e-3 * kappa
    up, down = (log_sphere_normaliser(dimension, kappa + s) for s in (step, -step))
    assert (up - down) / (2 * step) == pytest.approx(mean_resultant(dimension, kappa), rel=1e-4)


def test_no_concentration_is_no_direction():
    assert log_sphere_normaliser(64, 0.0) == 0.0
    assert mean_resultant(64, 0.0) == 0.0


def test_log_subtract():
    assert log_subtract(2.0, 1.0) == pytest.approx(math.log(math.e**2 - math.e))
    assert log_subtract(1.0, 1.0) == -math.inf


def test_bisect_stops_on_the_safe_side():
    root = bisect(lambda x: x * x >= 2.0, 0.0, 2.0)
    assert root * root >= 2.0
    assert root == pytest.approx(math.sqrt(2.0), rel=1e-15)


def test_minimum():
    assert minimum(lambda x: (x - 0.3) ** 2 + 1.0, -5.0, 9.0) == pytest.approx(1.0)


@pytest.mark.parametrize("dimension", [3, 8, 64, 512])
def test_mean_cosine_against_a_simulation(dimension):
    generator = np.random.default_rng(1)
    noise = 0.1 * generator.normal(size=(4000, dimension))
    noise[:, 0] += 1.0
    simulated = (noise[:, 0] / np.linalg.norm(noise, axis=1)).mean()
    assert mean_cosine(dimension, dimension / 2, 2 * 0.01) == pytest.approx(simulated, abs=1e-3)
