"""Per-coordinate Laplace noise as in IdentityDP, with the sensitivity that is one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

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
    check_dimension,
    check_positive,
)
from stream_anon.privacy.mechanisms import opendp
from stream_anon.privacy.randomness import SecureRandom
from stream_anon.privacy.special import mean_cosine

_ROUNDING = 1.0 + 1e-9
"""Unit codes are unit to 1e-15: the sensitivity is taken this much larger where it is proven."""


def l1_sensitivity(dimension: int) -> float:
    """Largest L1 distance of two unit vectors, 2 sqrt(d): (1, .., 1) / sqrt(d) and its opposite."""
    return 2.0 * math.sqrt(dimension)


def laplace_noise(scale: float, shape: tuple[int, int], rng: SecureRandom) -> Codes:
    """Independent Laplace numbers: an exponential with a random sign."""
    n = shape[0] * shape[1]
    sign = 1.0 - 2.0 * rng.integers(2, n)
    noise: Codes = (scale * sign * rng.exponential(n)).reshape(shape)
    return noise


def laplace_cosine(dimension: int, scale: float) -> float:
    """Mean cosine over uniformly distributed codes.

    ||eta||^2 has mean 2 d b^2 and variance 20 d b^4, and is taken as the Gamma distribution
    with both; off by less than 0.002 from d = 64 on.
    """
    return mean_cosine(dimension, dimension / 5.0, 10.0 * scale * scale)


@dataclass(frozen=True)
class Laplace(Mechanism):
    """z + eta, eta_i ~ Lap(b) independent, b = 2 sqrt(d) / eps, then normalised.

    Density: prod exp(-|y_i - z_i| / b) / (2b). Sensitivity: 2 sqrt(d) in L1, reached.
    Guarantee: pure epsilon (Dwork et al. 2006, theorem 1); also (1/b) ||z - z'||_1 metric DP.
    Source: IdentityDP (Wen et al., arXiv 2103.01745) names the mechanism; its sensitivity
    there is a maximum over a data set, which is none (``LaplaceDatasetMaximum``).
    Proof and traps: ``docs/privacy/laplace.md``.

    Args:
        sampler: ``opendp`` draws exact discrete Laplace noise on a fixed grid;
            ``idealised`` draws in float64 and rests on ideal real numbers.
    """

    name: ClassVar[str] = "laplace"

    dimension: int
    epsilon: float
    sampler: opendp.Sampler = "idealised"

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_positive("epsilon", self.epsilon)
        opendp.check_sampler(self.sampler)

    @cached_property
    def scale(self) -> float:
        """b of the Laplace distribution."""
        scale = l1_sensitivity(self.dimension) / self.epsilon
        if self.sampler == "opendp":
            scale *= _ROUNDING**2
            measurement = opendp.measurement("laplace", self.dimension, scale)
            proven = measurement.map(l1_sensitivity(self.dimension) * _ROUNDING)
            if proven > self.epsilon:  # never seen; the claim must not outrun the proof
                scale *= proven / self.epsilon * _ROUNDING
        return scale

    def guarantee(self) -> Guarantee:
        """Pure epsilon."""
        exact = self.sampler == "opendp"
        return Guarantee(
            kind="pure",
            epsilon=self.epsilon,
            delta=0.0,
            sensitivity=l1_sensitivity(self.dimension),
            norm="l1",
            assumptions=(
                (NEIGHBOURS, GRID, OPENDP_RANDOMNESS)
                if exact
                else (NEIGHBOURS, IDEALISED, RANDOMNESS)
            ),
            metric=f"{1.0 / self.scale:.4g} * ||z - z'||_1",
        )

    def parameters(self) -> dict[str, float]:
        """The scale b of every coordinate."""
        return {"scale": self.scale}

    def expected_cosine(self) -> float:
        """See ``laplace_cosine``; 1 / sqrt(1 + 2 d b^2) for large d."""
        return laplace_cosine(self.dimension, self.scale)

    @property
    def sampling(self) -> Sampling:
        """Exact with opendp, idealised without."""
        return "opendp grid" if self.sampler == "opendp" else "idealised"

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        if self.sampler == "opendp":
            return opendp.sample("laplace", code, n, self.scale)
        return code + laplace_noise(self.scale, (n, self.dimension), rng)


@dataclass(frozen=True)
class LaplaceDatasetMaximum(Mechanism):
    """IdentityDP as re-implemented in public: b = (largest L1 distance seen in a data set) / eps.

    NOT a guarantee. The largest distance among the codes of a data set is a lower bound of
    the sensitivity: two people outside it may lie further apart, up to 2 sqrt(d). With the
    published value for CelebA (30.27 at d = 512) the true pure epsilon is up to 1.495 times
    the nominal one. Kept to compare with published numbers; the ledger records no epsilon.
    Source: WahahaYes/FaceAnonEval, ``simswap/identity_dp.py``; papers.md section 1.1.

    Args:
        nominal_epsilon: what the papers call epsilon.
        dataset_maximum: largest pairwise L1 distance measured.
    """

    name: ClassVar[str] = "laplace-dataset-maximum-no-guarantee"

    dimension: int
    nominal_epsilon: float
    dataset_maximum: float

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_positive("nominal epsilon", self.nominal_epsilon)
        check_positive("dataset maximum", self.dataset_maximum)

    @property
    def scale(self) -> float:
        """b of the Laplace distribution."""
        return self.dataset_maximum / self.nominal_epsilon

    @property
    def worst_case_epsilon(self) -> float:
        """What the noise really gives against the true sensitivity: 2 sqrt(d) / b."""
        return l1_sensitivity(self.dimension) / self.scale

    def guarantee(self) -> Guarantee:
        """None."""
        return Guarantee(
            kind="none",
            epsilon=None,
            delta=0.0,
            sensitivity=l1_sensitivity(self.dimension),
            norm="l1",
            assumptions=(
                "no guarantee is claimed: the noise is scaled to the largest distance in a data "
                "set, which bounds nobody outside it",
            ),
        )

    def parameters(self) -> dict[str, float]:
        """Nominal values, and what they are worth."""
        return {
            "scale": self.scale,
            "nominal_epsilon": self.nominal_epsilon,
            "dataset_maximum": self.dataset_maximum,
            "worst_case_epsilon": self.worst_case_epsilon,
        }

    def expected_cosine(self) -> float:
        """See ``laplace_cosine``."""
        return laplace_cosine(self.dimension, self.scale)

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        return code + laplace_noise(self.scale, (n, self.dimension), rng)


def true_epsilon_of_coordinate_scale(dimension: int, scale: float) -> float:
    """Pure epsilon of Lap(``scale``) on every coordinate of a unit code: 2 sqrt(d) / scale.

    The check for a trap: with codes whose coordinates lie in [-c, c], Lap(2c / eps0) per
    coordinate is eps0 for *one* coordinate, and sqrt(d) / c * eps0 for the code
    (75 times eps0 at d = 512, c = 0.3).
    """
    check_dimension(dimension)
    check_positive("scale", scale)
    return float(np.float64(l1_sensitivity(dimension)) / scale)
