"""PrivUnit: among the pure mechanisms on the sphere, the one that keeps most of the code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

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
from stream_anon.privacy.special import bisect, log_beta, log_cap
from stream_anon.privacy.sphere import Floats, at_cosine, below_cap_cosines, cap_cosines

_LOG_SMALLEST = math.log(1e-9)


@dataclass(frozen=True, slots=True)
class Cap:
    """The cap {<y, z> >= g} and how often it is chosen."""

    g: float
    complement: float
    """1 - g^2."""
    log_q: float
    """log of the cap's share of the sphere."""
    log_odds: float
    """log(p / (1 - p)), p the probability of the cap."""
    cosine: float
    """Expected cosine."""


def _cap(dimension: int, epsilon: float, log_complement: float) -> Cap:
    complement = math.exp(log_complement)
    square = -math.expm1(log_complement)
    log_q, log_rest = log_cap(dimension, square, complement)
    a = (dimension - 1) / 2
    # E <y, z> = (e^eps - 1) M(g) / (e^eps q + 1 - q), M(g) = E[t; t >= g] for uniform y.
    log_moment = a * log_complement - math.log(2.0 * a) - log_beta(0.5, a)
    log_growth = epsilon + math.log(-math.expm1(-epsilon))
    log_total = float(np.logaddexp(epsilon + log_q, log_rest))
    return Cap(
        g=math.sqrt(square),
        complement=complement,
        log_q=log_q,
        log_odds=epsilon + log_q - log_rest,
        cosine=math.exp(log_growth + log_moment - log_total),
    )


@dataclass(frozen=True)
class PrivUnit(Mechanism):
    """With probability p uniform on the cap {<y, z> >= g}, else uniform on the rest.

    Density (to the uniform): p / q on the cap, (1 - p) / (1 - q) outside, q the cap's share.
    Sensitivity: none; two values of density, whatever z and z'.
    Guarantee: pure epsilon = log of their ratio, p (1 - q) / ((1 - p) q): given g, p follows
    from epsilon. g is chosen for the largest expected cosine, at which that cosine equals g.
    Source: Bhowmick et al. 2018 (arXiv 1812.00984), algorithm 1, here without its 1/m
    rescaling, which normalisation undoes; optimal in its family: Asi, Feldman, Talwar 2022.
    The cap is sampled by exact conditional sampling: published code gives up after 25
    rejections and returns an unconditioned draw.
    Proof: ``docs/privacy/privunit.md``.
    """

    name: ClassVar[str] = "privunit"

    dimension: int
    epsilon: float

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_positive("epsilon", self.epsilon)

    @cached_property
    def cap(self) -> Cap:
        """The cap with the largest expected cosine.

        d/dg E has the sign of E - g, so the optimum is where the two meet. Below a
        complement 1 - g^2 of 1e-9 (cosine above 0.9999999995) it is left there: any g is
        private, p being computed from it.
        """

        def beyond(log_complement: float) -> bool:
            cap = _cap(self.dimension, self.epsilon, log_complement)
            return cap.cosine > cap.g

        # The complement falls as g rises: "E > g" holds from the optimum upwards.
        best = bisect(beyond, _LOG_SMALLEST, -1e-12)
        return _cap(self.dimension, self.epsilon, best)

    @property
    def p(self) -> float:
        """Probability of the cap."""
        return 1.0 / (1.0 + math.exp(-min(self.cap.log_odds, 700.0)))

    def guarantee(self) -> Guarantee:
        """Pure epsilon."""
        return Guarantee(
            kind="pure",
            epsilon=self.epsilon,
            delta=0.0,
            sensitivity=DIAMETER,
            norm="l2",
            assumptions=(NEIGHBOURS, IDEALISED, RANDOMNESS),
        )

    def parameters(self) -> dict[str, float]:
        """The cap's threshold and its probability."""
        return {"g": self.cap.g, "p": self.p, "log_cap_share": self.cap.log_q}

    def expected_cosine(self) -> float:
        """Closed form; equals g."""
        return self.cap.cosine

    def cosines(self, n: int, rng: SecureRandom) -> Floats:
        """(n,): cosine with the true code."""
        cap = self.cap
        inside = rng.uniform(n) < self.p
        t = np.empty(n)
        count = int(np.count_nonzero(inside))
        t[inside] = cap_cosines(self.dimension, cap.g, cap.complement, count, rng)
        t[~inside] = below_cap_cosines(self.dimension, cap.g, n - count, rng)
        return t

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        return at_cosine(code, self.cosines(n, rng), rng)
