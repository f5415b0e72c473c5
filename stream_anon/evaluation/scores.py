"""Verification and identification figures from similarity scores, with their uncertainty.

Higher scores mean more alike. An accepted pair is one whose score is *above* the threshold.
A threshold is always fixed on clear images: an attacker who names people in the clear
does not get a new one for faces he cannot name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure, a share from 0 to 1 unless said otherwise.
        low: lower end of the interval.
        high: upper end of the interval.
        count: trials (pairs, images) that it rests on.
    """

    value: float
    low: float
    high: float
    count: int


def share(hits: float, count: int) -> Estimate:
    """A share of independent trials with Wilson's interval (JASA 22, 1927).

    Where trials were repeated, ``hits`` is the mean over the repeats: the interval stays that of
    one, since the same images tell nothing new of other images.

    Raises:
        ValueError: no trials, or more hits than trials.
    """
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"{hits} hits in {count} trials is no share")
    p = hits / count
    z2 = Z95 * Z95 / count
    centre = (p + z2 / 2.0) / (1.0 + z2)
    half = Z95 / (1.0 + z2) * float(np.sqrt(p * (1.0 - p) / count + z2 / (4.0 * count)))
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half), count)


def grouped_share(
    right: Scores, groups: Sequence[str], draws: int = 1000, seed: int = 0
) -> Estimate:
    """A share of trials that come in groups (frames of a clip), with a bootstrap over groups.

    Args:
        right: (n,) 0 to 1, how far each trial was a hit.
        groups: of each trial.
        draws: bootstrap samples.
        seed: of the resampling (a measurement, so it may be repeated).

    Raises:
        ValueError: no trials, or one that is no share.
    """
    values = np.asarray(right, np.float64)
    if values.size == 0 or len(groups) != values.size or not (
        np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= 1.0
    ):
        raise ValueError(f"{values.size} trials of {len(groups)} groups are no share")
    _, own = np.unique(np.asarray(groups), return_inverse=True)
    hits, counts = np.bincount(own, values), np.bincount(own).astype(np.float64)
    picks = np.random.default_rng(seed).integers(0, len(hits), (draws, len(hits)))
    shares = hits[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high), int(values.size))


def mean(values: Scores) -> Estimate:
    """A mean with its normal interval; one value has no interval.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("a mean needs finite values")
    m = float(values.mean())
    half = Z95 * float(values.std(ddof=1)) / np.sqrt(values.size) if values.size > 1 else 0.0
    return Estimate(m, m - half, m + half, int(values.size))


def threshold_at(impostor: Scores, far: float) -> float:
    """The lowest threshold at which at most ``far`` of the impostor scores lie above it.

    Args:
        impostor: (n,) scores of clear pairs of different people.
        far: false accept rate, 0 <= far < 1. Below 1/n the threshold is the highest score.

    Raises:
        ValueError: no scores, one that is not finite, or ``far`` out of range.
    """
    if impostor.size == 0 or not np.isfinite(impostor).all():
        raise ValueError("a threshold needs finite impostor scores")
    if not 0.0 <= far < 1.0:
        raise ValueError(f"a false accept rate must lie in 0..1, got {far}")
    allowed = int(np.floor(far * impostor.size + 1e-9))
    # The (allowed + 1)-th highest is the first that must not be accepted.
    return float(np.partition(impostor, impostor.size - 1 - allowed)[impostor.size - 1 - allowed])


def accepted(genuine: Scores, threshold: float) -> Estimate:
    """True accept rate: the share of ``genuine`` above ``threshold``."""
    return share(int((genuine > threshold).sum()), int(genuine.size))


def equal_error(genuine: Scores, impostor: Scores) -> float:
    """Equal error rate: where false accepts and false rejects are the same share.

    0.5 is chance; above it the scores order people the wrong way round. Ties are broken
    evenly: all scores equal gives 0.5.

    Raises:
        ValueError: one of the two is empty or holds a value that is not finite.
    """
    if genuine.size == 0 or impostor.size == 0:
        raise ValueError("an equal error rate needs genuine and impostor scores")
    if not (np.isfinite(genuine).all() and np.isfinite(impostor).all()):
        raise ValueError("scores must be finite")
    values = np.concatenate([genuine, impostor])
    _, level = np.unique(values, return_inverse=True)
    top = int(level.max()) + 1
    reject = np.cumsum(np.bincount(level[: genuine.size], minlength=top)) / genuine.size
    accept = 1.0 - np.cumsum(np.bincount(level[genuine.size :], minlength=top)) / impostor.size
    reject = np.concatenate([[0.0], reject])
    accept = np.concatenate([[1.0], accept])
    # ROC points joined by lines; reject rises and accept falls, so they cross once.
    i = int(np.searchsorted(reject - accept, 0.0))
    if i == 0 or reject[i] == accept[i]:
        return float(reject[i])
    gap_before, gap_after = accept[i - 1] - reject[i - 1], reject[i] - accept[i]
    weight = gap_before / (gap_before + gap_after)
    return float(reject[i - 1] + weight * (reject[i] - reject[i - 1]))


def equal_error_interval(
    genuine: Scores, impostor: Scores, draws: int = 200, seed: int = 0
) -> Estimate:
    """Equal error rate with a percentile bootstrap over pairs (Efron 1979).

    Args:
        genuine: scores of pairs of one person.
        impostor: scores of pairs of two people.
        draws: bootstrap samples.
        seed: of the resampling (a measurement, so it may be repeated).
    """
    rng = np.random.default_rng(seed)
    rates = [
        equal_error(
            genuine[rng.integers(0, genuine.size, genuine.size)],
            impostor[rng.integers(0, impostor.size, impostor.size)],
        )
        for _ in range(draws)
    ]
    low, high = np.percentile(rates, [2.5, 97.5]) if rates else (np.nan, np.nan)
    value = equal_error(genuine, impostor)
    return Estimate(value, float(low), float(high), int(genuine.size + impostor.size))


def rank_one(
    probes: NDArray[np.float32],
    probe_people: NDArray[np.int64],
    gallery: NDArray[np.float32],
    gallery_people: NDArray[np.int64],
    same_source: NDArray[np.int64],
) -> Estimate:
    """Closed-set identification: how often the nearest of the gallery is the probe's person.

    Args:
        probes: (p, d) unit rows.
        probe_people: (p,) person of each.
        gallery: (g, d) unit rows.
        gallery_people: (g,) person of each.
        same_source: (p,) row of the gallery that is the very image a probe was made of, which
            is left out for that probe; -1 where there is none.

    Raises:
        ValueError: a probe's person is not in what is left of the gallery.
    """
    hits = 0
    for i, probe in enumerate(probes):
        alike = gallery @ probe
        present = gallery_people == probe_people[i]
        if same_source[i] >= 0:
            alike[same_source[i]] = -np.inf
            present[same_source[i]] = False
        if not present.any():
            raise ValueError(f"the person of probe {i} is not in the gallery")
        hits += bool(gallery_people[int(alike.argmax())] == probe_people[i])
    return share(hits, len(probes))
