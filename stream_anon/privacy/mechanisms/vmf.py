"""Von Mises-Fisher: noise that never leaves the sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from stream_anon.privacy.contract import (
    IDEALISED,
    NEIGHBOURS,
    RANDOMNESS,
    Code,
    Codes,
    Guarantee,
    Mechanism,
    check_dimension,
    check_positive,
)
from stream_anon.privacy.mechanisms.l2_laplace import DIAMETER
from stream_anon.privacy.randomness import SecureRandom
from stream_anon.privacy.special import log_sphere_normaliser, mean_resultant, minimum
from stream_anon.privacy.sphere import Floats, at_cosine, cosines, until_full


def renyi_divergence(dimension: int, kappa: float, order: float) -> float:
    """Rényi divergence of ``order`` > 1 between the releases of two antipodal codes.

    ( log N((2a - 1) kappa) - log N(kappa) ) / (a - 1), N the normaliser. Antipodal codes are
    the worst pair: for others the argument is ||a z - (a - 1) z'|| kappa, which is smaller.
    """
    far = log_sphere_normaliser(dimension, (2.0 * order - 1.0) * kappa)
    return (far - log_sphere_normaliser(dimension, kappa)) / (order - 1.0)


def renyi_epsilon(dimension: int, kappa: float, tracks: int, delta: float) -> float:
    """epsilon at delta of ``tracks`` releases, through Rényi DP and the pure bound.

    Conversion of Canonne, Kamath, Steinke 2020, proposition 12.
    """
    pure = 2.0 * kappa * tracks
    # There a delta buys less than 2 per cent, and the series grow with kappa.
    if kappa > 20.0 * dimension:
        return pure

    def bound(log_order: float) -> float:
        over = math.exp(log_order)
        order = 1.0 + over
        divergence = tracks * renyi_divergence(dimension, kappa, order)
        return divergence + math.log(over / order) - (math.log(delta) + math.log(order)) / over

    # Orders beyond this cost long series and cannot win over the pure bound.
    return max(0.0, min(pure, minimum(bound, math.log(1e-3), math.log(1e3), steps=60)))


@dataclass(frozen=True)
class VonMisesFisher(Mechanism):
    """y on the sphere with density proportional to exp(kappa <z, y>).

    Sensitivity: |<z, y> - <z', y>| <= ||z - z'||_2 <= 2, and the normaliser does not depend on z.
    Guarantee: pure epsilon = 2 kappa; kappa ||z - z'||_2 metric DP; Rényi DP in closed form.
    Quoting kappa itself as epsilon, as published code does, is the metric form only.
    Source: Weggenmann and Kerschbaum, "Differential privacy for directional data" (CCS 2021);
    sampler: Wood 1994.
    Proof: ``docs/privacy/vmf.md``.
    """

    name: ClassVar[str] = "vmf"

    dimension: int
    kappa: float

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_positive("kappa", self.kappa)

    @classmethod
    def from_epsilon(cls, dimension: int, epsilon: float) -> Self:
        """The mechanism of pure epsilon: kappa = epsilon / 2."""
        check_positive("epsilon", epsilon)
        return cls(dimension, epsilon / 2.0)

    def guarantee(self) -> Guarantee:
        """Pure epsilon = 2 kappa."""
        return Guarantee(
            kind="pure",
            epsilon=2.0 * self.kappa,
            delta=0.0,
            sensitivity=DIAMETER,
            norm="l2",
            assumptions=(NEIGHBOURS, IDEALISED, RANDOMNESS),
            metric=f"{self.kappa:.4g} * ||z - z'||_2",
        )

    def parameters(self) -> dict[str, float]:
        """The concentration."""
        return {"kappa": self.kappa}

    def expected_cosine(self) -> float:
        """A_d(kappa) = I_{d/2}(kappa) / I_{d/2-1}(kappa), exactly."""
        return mean_resultant(self.dimension, self.kappa)

    def cosines(self, n: int, rng: SecureRandom) -> Floats:
        """(n,): cosine with the true code, density exp(kappa t) (1 - t^2)^((d - 3) / 2)."""
        m, kappa = self.dimension - 1.0, self.kappa
        b = m / (2.0 * kappa + math.hypot(2.0 * kappa, m))
        mode = (1.0 - b) / (1.0 + b)
        # 1 - mode^2 without cancellation for large kappa.
        top = kappa * mode + m * math.log(4.0 * b / (1.0 + b) ** 2)

        def propose(count: int) -> Floats:
            # Beta((d - 1) / 2, (d - 1) / 2), from the cosine of a uniform direction.
            beta = 0.5 * (1.0 + cosines(self.dimension, count, rng))
            t = (1.0 - (1.0 + b) * beta) / (1.0 - (1.0 - b) * beta)
            ratio = kappa * t + m * np.log1p(-mode * t) - top
            accepted: Floats = t[-rng.exponential(count) < ratio]
            return accepted

        return until_full(n, propose)

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        return at_cosine(code, self.cosines(n, rng), rng)
