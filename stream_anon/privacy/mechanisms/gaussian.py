"""Gaussian noise, calibrated exactly (Balle and Wang 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from stream_anon.privacy.contract import (
    GRID,
    IDEALISED,
    NEIGHBOURS,
    OPENDP_RANDOMNESS,
    RANDOMNESS,
    Code,
    Codes,
    Guarantee,
    Mechanism,
    Sampling,
    check_delta,
    check_dimension,
    check_positive,
)
from stream_anon.privacy.mechanisms import opendp
from stream_anon.privacy.mechanisms.l2_laplace import DIAMETER
from stream_anon.privacy.randomness import SecureRandom
from stream_anon.privacy.special import bisect, log_ndtr, log_subtract, mean_cosine, minimum


def log_delta(epsilon: float, sigma: float, sensitivity: float = DIAMETER) -> float:
    """log of the smallest delta of N(0, sigma^2) at ``epsilon``; Balle and Wang, theorem 8."""
    a = sensitivity / (2.0 * sigma)
    b = epsilon * sigma / sensitivity
    return log_subtract(log_ndtr(a - b), epsilon + log_ndtr(-a - b))


def analytic_sigma(epsilon: float, delta: float, sensitivity: float = DIAMETER) -> float:
    """Smallest sigma that is (epsilon, delta)-DP."""
    target = math.log(delta)

    def private(log_sigma: float) -> bool:
        return log_delta(epsilon, math.exp(log_sigma), sensitivity) <= target

    # No noise below sigma = D / (4 (sqrt(eps) + 5)) is private, and none above needs more.
    low = math.log(sensitivity) - math.log(4.0 * (math.sqrt(epsilon) + 5.0)) - 20.0
    high = math.log(sensitivity) + math.log(40.0 / min(epsilon, 1.0)) + 20.0
    return math.exp(bisect(private, low, high))


def zcdp_epsilon(rho: float, delta: float) -> float:
    """epsilon of rho-zCDP at delta; Canonne, Kamath, Steinke 2020, corollary 13."""

    def bound(log_order: float) -> float:
        over = math.exp(log_order)  # order - 1
        order = 1.0 + over
        return rho * order + math.log(over / order) - (math.log(delta) + math.log(order)) / over

    return max(0.0, minimum(bound, -25.0, 25.0))


@dataclass(frozen=True)
class Gaussian(Mechanism):
    """z + N(0, sigma^2 I), then normalised.

    Density: Gaussian. Sensitivity: 2 in L2.
    Guarantee: (eps, delta) with the smallest sigma for which
    Phi(1/s - eps s/2) - e^eps Phi(-1/s - eps s/2) <= delta; rho-zCDP with rho = 2 / sigma^2.
    Source: Balle and Wang, "Improving the Gaussian mechanism" (ICML 2018), theorem 8.
    Proof: ``docs/privacy/gaussian.md``.

    Args:
        delta: chance-like slack of the guarantee; at most one in the number of people concerned.
        sampler: ``opendp`` draws exact discrete Gaussian noise on a fixed grid.
            What is proven for that is zCDP, so sigma is then calibrated through zCDP, which
            is some per cent larger.
    """

    name: ClassVar[str] = "gaussian"

    dimension: int
    epsilon: float
    delta: float
    sampler: opendp.Sampler = "idealised"

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_positive("epsilon", self.epsilon)
        check_delta(self.delta)
        opendp.check_sampler(self.sampler)

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of every coordinate."""
        if self.sampler == "idealised":
            return analytic_sigma(self.epsilon, self.delta)

        def private(log_sigma: float) -> bool:
            rho = 2.0 * math.exp(-2.0 * log_sigma)
            return zcdp_epsilon(rho, self.delta) <= self.epsilon

        start = math.log(analytic_sigma(self.epsilon, self.delta))
        # 1e-9 for codes that are unit to 1e-15 only; see test_mechanisms for opendp's own map.
        return math.exp(bisect(private, start, start + 3.0)) * (1.0 + 1e-9)

    @property
    def rho(self) -> float:
        """zCDP parameter of one release."""
        return DIAMETER**2 / (2.0 * self.sigma**2)

    def guarantee(self) -> Guarantee:
        """(epsilon, delta)."""
        exact = self.sampler == "opendp"
        return Guarantee(
            kind="approximate",
            epsilon=self.epsilon,
            delta=self.delta,
            sensitivity=DIAMETER,
            norm="l2",
            assumptions=(
                (NEIGHBOURS, GRID, OPENDP_RANDOMNESS)
                if exact
                else (NEIGHBOURS, IDEALISED, RANDOMNESS)
            ),
            metric=f"zCDP with rho = {1.0 / (2.0 * self.sigma**2):.4g} * ||z - z'||_2^2",
        )

    def parameters(self) -> dict[str, float]:
        """Standard deviation and zCDP parameter."""
        return {"sigma": self.sigma, "rho": self.rho}

    def expected_cosine(self) -> float:
        """By quadrature over radius and angle; 1 / sqrt(1 + d sigma^2) for large d."""
        return mean_cosine(self.dimension, self.dimension / 2.0, 2.0 * self.sigma**2)

    @property
    def sampling(self) -> Sampling:
        """Exact with opendp, idealised without."""
        return "opendp grid" if self.sampler == "opendp" else "idealised"

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        if self.sampler == "opendp":
            return opendp.sample("gaussian", code, n, self.sigma)
        noise = rng.normal(n * self.dimension).reshape(n, self.dimension)
        drawn: Codes = code + self.sigma * noise
        return drawn
