"""Fixed streams, random codes, one of each mechanism, and an auditor."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from stream_anon.privacy import (
    BankPrior,
    Code,
    Gaussian,
    Independent,
    L2Laplace,
    Laplace,
    LaplaceDatasetMaximum,
    Mechanism,
    PrivUnit,
    RandomisedResponse,
    SecureRandom,
    UniformPrior,
    UnsafeSeedWarning,
    VonMisesFisher,
)

# With fixed streams a p-value is a constant: a right sampler keeps the one it was seen to have.
P_MIN = 0.001


def fixed(seed: int) -> SecureRandom:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsafeSeedWarning)
        return SecureRandom(unsafe_seed=seed)


def random_code(dimension: int, seed: int = 5) -> Code:
    code = fixed(seed).normal(dimension)
    return code / np.linalg.norm(code)


def public_bank(size: int, dimension: int, seed: int = 6) -> np.ndarray:
    rows = fixed(seed).normal(size * dimension).reshape(size, dimension)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# name -> (dimension, epsilon) -> mechanism, all with idealised sampling so that they can be fixed
DIALS: dict[str, Callable[[int, float], Mechanism]] = {
    "krr": lambda d, e: RandomisedResponse(public_bank(16, d), e),
    "laplace": Laplace,
    "laplace-dataset-maximum": lambda d, e: LaplaceDatasetMaximum(d, e, 1.34 * math.sqrt(d)),
    "l2-laplace": L2Laplace,
    "gaussian": lambda d, e: Gaussian(d, e, 1e-6),
    "vmf": VonMisesFisher.from_epsilon,
    "privunit": PrivUnit,
}
EVERY: dict[str, Callable[[int, float], Mechanism]] = {
    **DIALS,
    "independent": lambda d, e: Independent(UniformPrior(d)),
    "independent-bank": lambda d, e: Independent(BankPrior(public_bank(16, d))),
}


def draws(mechanism: Mechanism, code: Code, n: int, rng: SecureRandom) -> np.ndarray:
    """(n, d): independent releases of one code, as ``release`` normalises them."""
    rows = mechanism._sample(code, n, rng)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def epsilon_lower_bound(
    yes: np.ndarray, no: np.ndarray, *, delta: float = 0.0, confidence: float = 0.999
) -> float:
    """Largest epsilon that the events {score >= threshold} prove, by Clopper and Pearson.

    ``yes`` and ``no`` are scores of releases of two codes. The threshold is chosen on their
    first halves and tested on the second ones, so that the confidence is an honest one.
    """
    half = yes.size // 2
    best, best_at = -math.inf, 0.0
    for threshold in np.quantile(yes[:half], np.linspace(0.02, 0.98, 49)):
        hits, slips = np.sum(yes[:half] >= threshold), np.sum(no[:half] >= threshold)
        value = math.log((hits + 1) / (slips + 1)) if slips + 1 < hits else -math.inf
        # Few slips make a wide interval: prefer thresholds that leave some.
        value -= 2.0 / math.sqrt(slips + 1)
        if value > best:
            best, best_at = value, float(threshold)
    hits, slips = int(np.sum(yes[half:] >= best_at)), int(np.sum(no[half:] >= best_at))
    rest = yes.size - half
    risk = (1.0 - confidence) / 2.0
    at_least = stats.beta.ppf(risk, hits, rest - hits + 1) if hits else 0.0
    at_most = stats.beta.ppf(1.0 - risk, slips + 1, rest - slips) if slips < rest else 1.0
    return math.log(max(at_least - delta, 1e-300) / at_most)
