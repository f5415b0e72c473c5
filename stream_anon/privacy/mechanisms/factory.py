"""From a name and numbers, as they stand in a configuration, to a mechanism."""

from __future__ import annotations

from typing import Literal

from stream_anon.errors import ConfigError
from stream_anon.privacy.contract import Codes, Mechanism, check_delta, check_dimension
from stream_anon.privacy.mechanisms import opendp
from stream_anon.privacy.mechanisms.gaussian import Gaussian
from stream_anon.privacy.mechanisms.independent import Independent
from stream_anon.privacy.mechanisms.krr import RandomisedResponse
from stream_anon.privacy.mechanisms.l2_laplace import L2Laplace
from stream_anon.privacy.mechanisms.laplace import Laplace, LaplaceDatasetMaximum
from stream_anon.privacy.mechanisms.privunit import PrivUnit
from stream_anon.privacy.mechanisms.vmf import VonMisesFisher
from stream_anon.privacy.prior import Prior, UniformPrior

NAMES: tuple[str, ...] = tuple(
    kind.name
    for kind in (
        Independent,
        RandomisedResponse,
        Laplace,
        L2Laplace,
        Gaussian,
        VonMisesFisher,
        PrivUnit,
        LaplaceDatasetMaximum,
    )
)
"""Names that ``mechanism`` knows, the default first."""

_TAKES: dict[str, frozenset[str]] = {
    Independent.name: frozenset({"prior"}),
    RandomisedResponse.name: frozenset({"epsilon", "bank"}),
    Laplace.name: frozenset({"epsilon", "sampler"}),
    L2Laplace.name: frozenset({"epsilon"}),
    Gaussian.name: frozenset({"epsilon", "delta", "sampler"}),
    VonMisesFisher.name: frozenset({"epsilon"}),
    PrivUnit.name: frozenset({"epsilon"}),
    LaplaceDatasetMaximum.name: frozenset({"epsilon", "dataset_maximum"}),
}
_OPTIONAL = frozenset({"prior", "sampler"})


def mechanism(
    name: str = Independent.name,
    *,
    dimension: int,
    epsilon: float | None = None,
    delta: float | None = None,
    prior: Prior | None = None,
    bank: Codes | None = None,
    dataset_maximum: float | None = None,
    sampler: Literal["auto", "idealised", "opendp"] | None = None,
) -> Mechanism:
    """Make a mechanism; anything missing, superfluous or out of range is a ``ConfigError``.

    There is no seed among the arguments, on purpose.

    Args:
        name: one of ``NAMES``.
        dimension: length d of the unit codes, at least 3.
        epsilon: budget of one release (nominal for the one without a guarantee). Needed by
            all but ``independent``, which has none to choose: 0 or None there.
        delta: for ``gaussian``.
        prior: for ``independent``; uniform on the sphere by default.
        bank: (K, d) public unit codes, for ``krr``.
        dataset_maximum: largest pairwise L1 distance measured, for the Laplace variant that
            is no guarantee.
        sampler: for ``laplace`` and ``gaussian``; ``auto`` (the default) takes opendp's
            exact sampler where it is installed, and ``Guarantee.assumptions`` says which ran.
    """
    if name not in _TAKES:
        raise ConfigError(f"unknown mechanism {name!r}: choose one of {', '.join(NAMES)}")
    check_dimension(dimension)
    if name == Independent.name and epsilon == 0:
        epsilon = None
    given = {
        "epsilon": epsilon,
        "delta": delta,
        "prior": prior,
        "bank": bank,
        "dataset_maximum": dataset_maximum,
        "sampler": sampler,
    }
    for key, value in given.items():
        if value is None and key in _TAKES[name] - _OPTIONAL:
            raise ConfigError(f"mechanism {name} needs {key}")
        if value is not None and key not in _TAKES[name]:
            raise ConfigError(f"mechanism {name} has no {key}")
    made = _make(
        name, dimension, epsilon or 0.0, delta or 0.0, prior, bank, dataset_maximum or 0.0, sampler
    )
    if made.dimension != dimension:
        raise ConfigError(
            f"the prior or bank has dimension {made.dimension}, the codes have {dimension}"
        )
    return made


def _make(
    name: str,
    dimension: int,
    epsilon: float,
    delta: float,
    prior: Prior | None,
    bank: Codes | None,
    dataset_maximum: float,
    sampler: str | None,
) -> Mechanism:
    if name == Independent.name:
        return Independent(prior if prior is not None else UniformPrior(dimension))
    if epsilon == 0.0:
        raise ConfigError(f"epsilon 0 is the mechanism {Independent.name}: {name} needs it above 0")
    if name == RandomisedResponse.name and bank is not None:
        return RandomisedResponse(bank, epsilon)
    if name == Laplace.name:
        return Laplace(dimension, epsilon, _chosen(sampler))
    if name == L2Laplace.name:
        return L2Laplace(dimension, epsilon)
    if name == Gaussian.name:
        check_delta(delta)
        return Gaussian(dimension, epsilon, delta, _chosen(sampler))
    if name == VonMisesFisher.name:
        return VonMisesFisher.from_epsilon(dimension, epsilon)
    if name == PrivUnit.name:
        return PrivUnit(dimension, epsilon)
    return LaplaceDatasetMaximum(dimension, epsilon, dataset_maximum)


def _chosen(sampler: str | None) -> opendp.Sampler:
    if sampler in (None, "auto"):
        return "opendp" if opendp.installed() else "idealised"
    opendp.check_sampler(sampler or "")
    return "opendp" if sampler == "opendp" else "idealised"
