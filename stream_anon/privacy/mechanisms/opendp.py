"""opendp's exact samplers on a fixed grid, where it is installed.

They draw discrete Laplace and discrete Gaussian noise with rational arithmetic (Canonne,
Kamath, Steinke 2020) and take their randomness from the operating system themselves, so
that an ``unsafe_seed`` does not reach them.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any, Literal

import numpy as np

from stream_anon.errors import ConfigError
from stream_anon.privacy.contract import Code, Codes

Sampler = Literal["idealised", "opendp"]

GRID_EXPONENT = -100
"""Noise lies on multiples of 2**-100: finer than the digits of a code, and three times faster
than the finest grid there is. opendp's map counts what rounding to it costs (below 1e-15)."""


def installed() -> bool:
    """Whether opendp can be imported."""
    return importlib.util.find_spec("opendp") is not None


def check_sampler(sampler: str) -> None:
    """A name that is known and, for opendp, a library that is there."""
    if sampler not in ("idealised", "opendp"):
        raise ConfigError(f"sampler must be 'idealised' or 'opendp', not {sampler!r}")
    if sampler == "opendp" and not installed():
        raise ConfigError("sampler 'opendp' needs: pip install 'stream-anon[privacy]'")


@functools.lru_cache(maxsize=32)
def measurement(noise: Literal["laplace", "gaussian"], dimension: int, scale: float) -> Any:
    """opendp's measurement for ``dimension`` numbers; its ``.map(sensitivity)`` is proven."""
    import opendp.prelude as dp

    # "contrib" stands for proofs that are written but not all vetted yet.
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T=float, nan=False), size=dimension)
    if noise == "laplace":
        return dp.m.make_laplace(domain, dp.l1_distance(T=float), scale=scale, k=GRID_EXPONENT)
    return dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=scale, k=GRID_EXPONENT)


def sample(noise: Literal["laplace", "gaussian"], code: Code, n: int, scale: float) -> Codes:
    """(n, d): ``code`` plus exact noise, ``n`` times."""
    draw = measurement(noise, code.size, scale)
    values = code.tolist()
    return np.array([draw(values) for _ in range(n)], dtype=np.float64)
