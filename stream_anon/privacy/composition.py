"""What k tracks of one person cost together.

A person who leaves and comes back, whom the tracker loses, or whom two cameras see, is
several tracks, and every track is one release. The number of tracks of a person is not
known to the program, so that it is tabled instead of claimed.

Bounds in closed form, each valid, of which the smallest is taken:

- *basic*: k eps, k delta. Pure mechanisms keep delta = 0.
- *pure DP, optimal* at a delta (Kairouz, Oh, Viswanath 2015): exact for
  randomised response on two values, by which every pure mechanism is dominated.
- *Gaussian, exact*: k releases at sigma are one at sigma / sqrt(k) (Gaussian DP: Dong, Roth,
  Su 2022), whose curve is Balle and Wang's. Where opendp drew the noise only zCDP is
  proven: *zCDP*, k rho, converted as in Canonne, Kamath, Steinke 2020.
- *Rényi DP* of von Mises-Fisher, with its closed-form divergence.

With ``accountant="dp-accounting"`` that library's privacy loss distributions are asked as
well. They come to the same numbers within their grid of 1e-4, which is why the closed
forms are the default: the table reads the same on every machine.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from stream_anon.errors import ConfigError
from stream_anon.privacy.contract import MechanismRecord, check_delta
from stream_anon.privacy.mechanisms.gaussian import Gaussian, log_delta, zcdp_epsilon
from stream_anon.privacy.mechanisms.l2_laplace import DIAMETER
from stream_anon.privacy.mechanisms.vmf import VonMisesFisher, renyi_epsilon
from stream_anon.privacy.special import bisect

Accountant = Literal["closed form", "dp-accounting"]

TRACKS = (1, 2, 3, 5, 10, 30, 100)
"""Numbers of tracks that the table shows."""

DELTA = 1e-6
"""Total delta of the table where the mechanism names none."""


class ComposedRow(TypedDict):
    """One line of the table in the manifest."""

    tracks: int
    basic_epsilon: float | None
    basic_delta: float
    epsilon: float | None
    delta: float
    method: str


@dataclass(frozen=True, slots=True)
class Composed:
    """Budget of ``tracks`` releases about one person.

    Attributes:
        tracks: k.
        basic_epsilon: k eps, at ``basic_delta``; None where nothing is guaranteed.
        basic_delta: k delta; 0 for a pure mechanism.
        epsilon: smallest proven epsilon at ``delta``; None where nothing is guaranteed.
        delta: total delta of ``epsilon``; 0 where the basic bound is the smallest one and pure.
        method: the bound that gave ``epsilon``.
    """

    tracks: int
    basic_epsilon: float | None
    basic_delta: float
    epsilon: float | None
    delta: float
    method: str

    def to_json(self) -> ComposedRow:
        """As it stands in the manifest."""
        return ComposedRow(
            tracks=self.tracks,
            basic_epsilon=self.basic_epsilon,
            basic_delta=self.basic_delta,
            epsilon=self.epsilon,
            delta=self.delta,
            method=self.method,
        )


def composition_table(
    record: MechanismRecord,
    tracks: Sequence[int] = TRACKS,
    *,
    delta: float | None = None,
    accountant: Accountant = "closed form",
) -> list[Composed]:
    """``compose`` for several numbers of tracks."""
    return [compose(record, k, delta=delta, accountant=accountant) for k in tracks]


def compose(
    record: MechanismRecord,
    tracks: int,
    *,
    delta: float | None = None,
    accountant: Accountant = "closed form",
) -> Composed:
    """Budget of ``tracks`` releases of one person through the mechanism of ``record``.

    Args:
        record: as ``Mechanism.record()`` gives it, or as read back from a manifest.
        tracks: at least 1.
        delta: total delta to state epsilon at; the mechanism's own, or 1e-6, by default.
        accountant: ``dp-accounting`` asks that library too.
    """
    if tracks < 1:
        raise ConfigError(f"a person has at least one track, not {tracks}")
    total = delta if delta is not None else (record["delta"] or DELTA)
    check_delta(total)
    epsilon = record["epsilon"]
    if epsilon is None:
        return Composed(tracks, None, 0.0, None, 0.0, "no guarantee")
    if epsilon == 0.0:
        return Composed(tracks, 0.0, 0.0, 0.0, 0.0, "independent of the code")
    basic, basic_delta = tracks * epsilon, tracks * record["delta"]
    bounds = _bounds(record, tracks, total)
    if accountant == "dp-accounting":
        bounds += _library(record, tracks, total)
    best, method = min(bounds)
    # Where a delta buys less than a thousandth, the simpler statement is the better one.
    if basic_delta <= total and basic <= best * 1.001:
        return Composed(tracks, basic, basic_delta, basic, basic_delta, "basic")
    return Composed(tracks, basic, basic_delta, best, total, method)


def pure_epsilon(epsilon: float, tracks: int, delta: float) -> float:
    """epsilon at ``delta`` of ``tracks`` pure ``epsilon``-DP releases.

    No smaller one holds for every pure mechanism. The privacy loss of k randomised
    responses is (k - 2l) eps with binomial probability; the hockey-stick divergence of that
    is a finite sum, solved for epsilon.
    """
    wrong = np.arange(tracks + 1, dtype=np.float64)
    choose = np.array(
        [
            math.lgamma(tracks + 1) - math.lgamma(i + 1) - math.lgamma(tracks - i + 1)
            for i in range(tracks + 1)
        ]
    )
    # log(1 + e^eps) without overflow.
    norm = epsilon + math.log1p(math.exp(-epsilon))
    log_mass = choose + (tracks - wrong) * epsilon - tracks * norm
    loss = (tracks - 2.0 * wrong) * epsilon

    def enough(candidate: float) -> bool:
        over = loss > candidate
        gap = -np.expm1(candidate - loss[over])
        return float(np.sum(np.exp(log_mass[over]) * gap)) <= delta

    return bisect(enough, 0.0, tracks * epsilon)


def _bounds(record: MechanismRecord, tracks: int, delta: float) -> list[tuple[float, str]]:
    """Bounds in closed form beside the basic one."""
    epsilon = record["epsilon"] or 0.0
    if record["name"] == Gaussian.name:
        sigma = record["parameters"]["sigma"]
        rho = tracks * DIAMETER**2 / (2.0 * sigma**2)
        if record["sampling"] == "opendp grid":
            return [(zcdp_epsilon(rho, delta), "zCDP")]
        return [(_gaussian_epsilon(sigma / math.sqrt(tracks), delta), "Gaussian, exact")]
    bounds = [(pure_epsilon(epsilon, tracks, delta), "pure DP, optimal")]
    if record["name"] == VonMisesFisher.name:
        kappa = record["parameters"]["kappa"]
        value = renyi_epsilon(record["dimension"], kappa, tracks, delta)
        bounds.append((value, "Rényi DP"))
    return bounds


def _gaussian_epsilon(sigma: float, delta: float) -> float:
    target = math.log(delta)
    # zCDP bounds the answer from above.
    high = zcdp_epsilon(DIAMETER**2 / (2.0 * sigma**2), delta) + 1.0
    return bisect(lambda epsilon: log_delta(epsilon, sigma) <= target, 0.0, high)


def _library(record: MechanismRecord, tracks: int, delta: float) -> list[tuple[float, str]]:
    """Bounds by dp-accounting's privacy loss distributions."""
    if importlib.util.find_spec("dp_accounting") is None:
        raise ConfigError("accountant 'dp-accounting' needs: pip install 'stream-anon[privacy]'")
    epsilon = record["epsilon"] or 0.0
    # The loss is held on a grid of 1e-4: beyond this the arrays would not fit.
    if tracks * epsilon > 1000.0:
        return []
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    if record["name"] == Gaussian.name:
        if record["sampling"] == "opendp grid":
            return []
        one = pld.from_gaussian_mechanism(record["parameters"]["sigma"], sensitivity=DIAMETER)
    else:
        one = pld.from_privacy_parameters(common.DifferentialPrivacyParameters(epsilon, 0.0))
    value = one.self_compose(tracks).get_epsilon_for_delta(delta)
    return [(float(value), "PLD, dp-accounting")]
