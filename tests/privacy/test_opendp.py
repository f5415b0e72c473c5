"""opendp's exact samplers: calibration by its own proof, distribution, and life without it.

opendp takes its randomness from the operating system, so that nothing here is fixed: the
statistical thresholds are such that a right sampler fails once in 10^9 runs.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
from scipy import stats

from stream_anon.errors import ConfigError
from stream_anon.privacy import Gaussian, Laplace, Releases, compose, mechanism
from stream_anon.privacy.mechanisms import opendp
from stream_anon.track_state import TrackState
from tests.privacy.tools import fixed, random_code

needs_opendp = pytest.mark.skipif(not opendp.installed(), reason="the [privacy] extra is absent")
NEVER = 1e-9


@needs_opendp
@pytest.mark.parametrize("epsilon", [0.01, 1.0, 8.0, 1024.0])
@pytest.mark.parametrize("dimension", [3, 512])
def test_the_scale_is_private_by_opendps_own_map(dimension, epsilon):
    laplace = Laplace(dimension, epsilon, "opendp")
    measurement = opendp.measurement("laplace", dimension, laplace.scale)
    assert measurement.map(2 * math.sqrt(dimension)) <= epsilon
    assert laplace.scale == pytest.approx(2 * math.sqrt(dimension) / epsilon, rel=1e-8)
    gaussian = Gaussian(dimension, epsilon, 1e-6, "opendp")
    rho = opendp.measurement("gaussian", dimension, gaussian.sigma).map(2.0)
    assert rho <= gaussian.rho * (1 + 1e-12)
    from stream_anon.privacy.mechanisms.gaussian import zcdp_epsilon

    assert zcdp_epsilon(rho, 1e-6) <= epsilon
    # Some per cent more noise than the analytic calibration, which is proven for real numbers.
    assert 1.0 < gaussian.sigma / Gaussian(dimension, epsilon, 1e-6).sigma < 1.25


@needs_opendp
def test_opendps_conversion_of_zcdp_agrees():
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=float, nan=False), size=3), dp.l2_distance(T=float)
    curve = dp.c.make_zCDP_to_approxDP(dp.m.make_gaussian(*space, scale=2.0)).map(2.0)
    from stream_anon.privacy.mechanisms.gaussian import zcdp_epsilon

    assert curve.epsilon(1e-6) == pytest.approx(zcdp_epsilon(2.0**2 / (2 * 2.0**2), 1e-6), rel=1e-6)


@needs_opendp
def test_the_distribution_is_right():
    code = random_code(16)
    made = Laplace(16, 4.0, "opendp")
    noise = (made._sample(code, 150, fixed(1)) - code).ravel()
    assert stats.kstest(noise, stats.laplace(scale=made.scale).cdf).pvalue > NEVER
    normal = Gaussian(16, 4.0, 1e-6, "opendp")
    noise = (normal._sample(code, 150, fixed(1)) - code).ravel()
    assert stats.kstest(noise, stats.norm(scale=normal.sigma).cdf).pvalue > NEVER


@needs_opendp
def test_it_is_chosen_where_it_is_installed_and_says_so():
    for name, more in (("laplace", {}), ("gaussian", {"delta": 1e-6})):
        made = mechanism(name, dimension=32, epsilon=2.0, **more)
        assert made.sampling == "opendp grid"
        assert "opendp" in " ".join(made.guarantee().assumptions)
        release = Releases(made).of(TrackState(1), random_code(32))
        assert np.linalg.norm(release.code) == pytest.approx(1.0)


@needs_opendp
def test_its_gaussian_is_composed_by_what_is_proven_for_it():
    made = Gaussian(64, 1.0, 1e-6, "opendp")
    row = compose(made.record(), 10, accountant="dp-accounting")
    assert row.method == "zCDP"
    assert row.epsilon < 4.0


def test_without_it_the_default_is_idealised(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert mechanism("laplace", dimension=16, epsilon=1.0).sampling == "idealised"
    with pytest.raises(ConfigError, match="stream-anon\\[privacy\\]"):
        mechanism("laplace", dimension=16, epsilon=1.0, sampler="opendp")
    with pytest.raises(ConfigError, match="stream-anon\\[privacy\\]"):
        Gaussian(16, 1.0, 1e-6, "opendp")
