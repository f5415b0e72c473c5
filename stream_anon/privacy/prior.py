"""Public priors: where an identity comes from that is nobody's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ConfigError
from stream_anon.privacy.contract import Code, Codes, check_dimension, unit_rows
from stream_anon.privacy.randomness import SecureRandom
from stream_anon.privacy.sphere import directions


class Prior(Protocol):
    """A distribution of unit codes that was fixed before the video was seen."""

    @property
    def dimension(self) -> int:
        """Length of a code."""

    def draw(self, n: int, rng: SecureRandom) -> Codes:
        """(n, d): independent unit codes."""

    def mean_cosine(self) -> float:
        """Mean cosine between two independent draws: what a random pair looks like."""


@dataclass(frozen=True)
class UniformPrior:
    """Every direction alike."""

    dimension: int

    def __post_init__(self) -> None:
        check_dimension(self.dimension)

    def draw(self, n: int, rng: SecureRandom) -> Codes:
        """(n, d): uniform on the sphere."""
        return directions(self.dimension, n, rng)

    def mean_cosine(self) -> float:
        """0, by symmetry."""
        return 0.0


@dataclass(frozen=True, eq=False)
class BankPrior:
    """One of the codes of a public bank of synthetic identities, all alike.

    Args:
        bank: (K, d) unit rows. Codes of real people would hand *their* faces out.
    """

    bank: Codes

    def __post_init__(self) -> None:
        object.__setattr__(self, "bank", unit_rows(self.bank, "bank"))

    @property
    def dimension(self) -> int:
        """Length of a code."""
        return int(self.bank.shape[1])

    def draw(self, n: int, rng: SecureRandom) -> Codes:
        """(n, d): rows chosen exactly uniformly, with replacement."""
        rows: Codes = self.bank[rng.integers(self.bank.shape[0], n)]
        return rows

    def mean_cosine(self) -> float:
        """Squared length of the bank's mean."""
        return float(np.sum(self.bank.mean(axis=0) ** 2))


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """Normalised draws of a Gaussian fitted to public codes: keeps them where real ones lie.

    Args:
        mean: (d,).
        factor: (d, r); the covariance is ``factor @ factor.T`` (a public PCA, scaled).
    """

    mean: Code
    factor: NDArray[np.float64]

    def __post_init__(self) -> None:
        mean = np.array(self.mean, dtype=np.float64)
        factor = np.array(self.factor, dtype=np.float64)
        if mean.ndim != 1 or factor.ndim != 2 or factor.shape[0] != mean.size:
            raise ConfigError(
                f"a Gaussian prior needs mean (d,) and factor (d, r), "
                f"not {mean.shape} and {factor.shape}"
            )
        check_dimension(mean.size)
        if not (np.isfinite(mean).all() and np.isfinite(factor).all() and factor.any()):
            raise ConfigError("a Gaussian prior needs finite numbers and some variance")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "factor", factor)

    @property
    def dimension(self) -> int:
        """Length of a code."""
        return int(self.mean.size)

    def draw(self, n: int, rng: SecureRandom) -> Codes:
        """(n, d): mean + factor @ normal, normalised."""
        normal = rng.normal(n * self.factor.shape[1]).reshape(n, -1)
        rows = self.mean + normal @ self.factor.T
        drawn: Codes = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return drawn

    def mean_cosine(self) -> float:
        """||mean||^2 / (||mean||^2 + trace of the covariance), close where d is large."""
        length = float(self.mean @ self.mean)
        return length / (length + float(np.sum(self.factor**2)))
