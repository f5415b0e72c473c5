"""l2-Laplace: DP-Image's distance-scaled noise, the K-norm mechanism of the Euclidean ball."""

from __future__ import annotations

from dataclasses import dataclass
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
from stream_anon.privacy.randomness import SecureRandom
from stream_anon.privacy.special import mean_cosine
from stream_anon.privacy.sphere import directions

DIAMETER = 2.0
"""Largest Euclidean distance of two unit vectors."""


@dataclass(frozen=True)
class L2Laplace(Mechanism):
    """z + r u, u uniform on the sphere, r ~ Gamma(d, 2 / eps), then normalised.

    Density: proportional to exp(-(eps / 2) ||y - z||_2). Sensitivity: 2 in L2.
    Guarantee: pure epsilon; (eps / 2) ||z - z'||_2 metric DP, which is the form in which
    DP-Image states "image-aware" privacy: like faces are told apart less.
    Source: Hardt and Talwar 2010 (K-norm); Chatzikokolakis et al. 2013 (metric privacy);
    DP-Image (Xue et al., arXiv 2103.07073), whose exact norm and scale could not be read.
    Proof: ``docs/privacy/l2-laplace.md``.
    """

    name: ClassVar[str] = "l2-laplace"

    dimension: int
    epsilon: float

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_positive("epsilon", self.epsilon)

    @property
    def scale(self) -> float:
        """Scale of the radius: 2 / eps."""
        return DIAMETER / self.epsilon

    def guarantee(self) -> Guarantee:
        """Pure epsilon."""
        return Guarantee(
            kind="pure",
            epsilon=self.epsilon,
            delta=0.0,
            sensitivity=DIAMETER,
            norm="l2",
            assumptions=(NEIGHBOURS, IDEALISED, RANDOMNESS),
            metric=f"{1.0 / self.scale:.4g} * ||z - z'||_2",
        )

    def parameters(self) -> dict[str, float]:
        """Scale of the Gamma-distributed radius."""
        return {"scale": self.scale}

    def expected_cosine(self) -> float:
        """By quadrature over radius and angle; about eps / (2 d) while small.

        r^2 for r ~ Gamma(d, s) is no Gamma distribution; taken as the one with the same mean
        d (d + 1) s^2 and variance.
        """
        d = float(self.dimension)
        mean = d * (d + 1.0)
        variance = mean * ((d + 2.0) * (d + 3.0) - mean)
        return mean_cosine(self.dimension, mean * mean / variance, variance / mean * self.scale**2)

    def radii(self, n: int, rng: SecureRandom) -> Codes:
        """(n,): Gamma(d, scale), as the sum of d exponentials (d is a whole number)."""
        waits = rng.exponential(n * self.dimension).reshape(n, self.dimension)
        total: Codes = self.scale * waits.sum(axis=1)
        return total

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        radius = self.radii(n, rng)
        drawn: Codes = code + radius[:, None] * directions(self.dimension, n, rng)
        return np.asarray(drawn)
