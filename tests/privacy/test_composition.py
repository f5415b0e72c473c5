"""What several tracks cost: the quoted numbers, bounds against each other and a library."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from stream_anon.errors import ConfigError
from stream_anon.privacy import (
    Gaussian,
    Independent,
    L2Laplace,
    Laplace,
    LaplaceDatasetMaximum,
    PrivUnit,
    UniformPrior,
    VonMisesFisher,
    compose,
    composition_table,
)
from stream_anon.privacy.composition import pure_epsilon
from stream_anon.privacy.mechanisms.gaussian import analytic_sigma, zcdp_epsilon
from stream_anon.privacy.mechanisms.vmf import renyi_divergence, renyi_epsilon


@pytest.mark.parametrize(
    ("epsilon", "tracks", "quoted"),
    [(1.0, 10, 3.8), (1.0, 100, 14.3), (1.0, 1800, 101.0), (4.0, 10, 16.5), (4.0, 100, 77.0)],
)
def test_gaussian_zcdp_as_quoted(epsilon, tracks, quoted):
    sigma = analytic_sigma(epsilon, 1e-6)
    assert zcdp_epsilon(tracks * 2.0 / sigma**2, 1e-6) == pytest.approx(quoted, rel=0.01)
    # The exact curve is below the quoted bound, never above it.
    exact = compose(Gaussian(512, epsilon, 1e-6).record(), tracks)
    assert exact.method == "Gaussian, exact"
    assert 0.85 * quoted < exact.epsilon < quoted


def test_zcdp_conversion_beats_the_simple_one():
    for rho in (1e-4, 0.01, 0.5, 20.0):
        simple = rho + 2 * math.sqrt(rho * math.log(1e6))
        assert 0.0 <= zcdp_epsilon(rho, 1e-6) < simple


@pytest.mark.parametrize(
    ("kappa", "quoted"),
    [(4, 1.64), (8, 3.49), (16, 7.63), (32, 17.4), (64, 42.3), (128, 110.0)],
)
def test_von_mises_fisher_renyi_as_quoted(kappa, quoted):
    assert renyi_epsilon(512, kappa, 1, 1e-6) == pytest.approx(quoted, rel=0.002)


def test_von_mises_fisher_looks_gaussian_while_kappa_is_small():
    for order in (2.0, 8.0):
        assert renyi_divergence(512, 2.0, order) == pytest.approx(2 * order * 4 / 512, rel=0.02)
    # Its limit for large orders is the pure epsilon.
    assert renyi_divergence(64, 3.0, 1e4) == pytest.approx(6.0, rel=0.02)
    assert renyi_divergence(64, 3.0, 1e4) <= 6.0


def test_renyi_never_exceeds_pure():
    for tracks in (1, 3, 50):
        for kappa in (0.01, 1.0, 300.0):
            assert renyi_epsilon(16, kappa, tracks, 1e-9) <= 2 * kappa * tracks


def test_renyi_gives_way_where_it_gains_nothing():
    assert renyi_epsilon(64, 1280.0, 1, 1e-6) > 0.98 * 2560.0
    assert renyi_epsilon(64, 1281.0, 1, 1e-6) == 2562.0


def test_one_gaussian_release_costs_its_epsilon():
    row = compose(Gaussian(64, 3.0, 1e-5).record(), 1)
    assert row.epsilon == pytest.approx(3.0, rel=1e-9)
    assert row.delta == 1e-5


def test_the_basic_bound_adds_deltas_too():
    row = compose(Gaussian(64, 1.0, 1e-6).record(), 10, delta=1e-3)
    assert row.basic_epsilon == 10.0
    assert row.basic_delta == pytest.approx(1e-5)
    # A total delta smaller than the sum must not be met by the basic bound.
    strict = compose(Gaussian(64, 1.0, 1e-6).record(), 10, delta=1e-6)
    assert (strict.method, strict.delta) == ("Gaussian, exact", 1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize("tracks", [1, 4, 30])
def test_pure_composition_is_the_hockey_stick_of_randomised_response(epsilon, tracks):
    delta = 1e-6
    found = pure_epsilon(epsilon, tracks, delta)
    p = math.exp(epsilon) / (1 + math.exp(epsilon))
    right = stats.binom(tracks, p).pmf
    left = stats.binom(tracks, 1 - p).pmf
    k = range(tracks + 1)
    spent = sum(max(0.0, right(i) - math.exp(found) * left(i)) for i in k)
    assert spent <= delta * (1 + 1e-6)
    assert spent == pytest.approx(delta, rel=1e-4) or found == 0.0
    assert found <= tracks * epsilon


def test_a_delta_that_buys_nothing_is_not_spent():
    row = compose(PrivUnit(512, 4.0).record(), 3)
    assert (row.epsilon, row.delta, row.method) == (12.0, 0.0, "basic")
    many = compose(L2Laplace(64, 0.1).record(), 100)
    assert many.epsilon < 0.6 * many.basic_epsilon
    assert many.method == "pure DP, optimal"
    assert many.delta == 1e-6


def test_independent_stays_at_zero():
    for row in composition_table(Independent(UniformPrior(64)).record()):
        assert (row.epsilon, row.basic_epsilon, row.delta) == (0.0, 0.0, 0.0)


def test_no_guarantee_composes_to_none():
    for row in composition_table(LaplaceDatasetMaximum(64, 1.0, 3.0).record()):
        assert row.epsilon is None
        assert row.basic_epsilon is None
        assert row.method == "no guarantee"


@pytest.mark.parametrize(
    "made",
    [Laplace(64, 0.5), Gaussian(64, 0.5, 1e-6), VonMisesFisher(64, 3.0), PrivUnit(64, 1024.0)],
    ids=lambda made: made.name,
)
def test_cost_rises_with_tracks_and_falls_with_delta(made):
    record = made.record()
    table = composition_table(record, (1, 2, 3, 10, 100, 1000), delta=1e-6)
    costs = [row.epsilon for row in table]
    assert costs == sorted(costs)
    assert all(row.epsilon <= row.basic_epsilon * (1 + 1e-9) for row in table)
    if made.epsilon if hasattr(made, "epsilon") else True:
        assert compose(record, 10, delta=1e-3).epsilon <= compose(record, 10, delta=1e-9).epsilon


@pytest.mark.parametrize("tracks", [1, 10, 100])
@pytest.mark.parametrize("made", [Gaussian(64, 1.0, 1e-6), Laplace(64, 0.3)], ids=["gauss", "pure"])
def test_the_library_comes_to_the_same_numbers(made, tracks):
    pytest.importorskip("dp_accounting")
    record = made.record()
    mine = compose(record, tracks, delta=1e-6)
    from stream_anon.privacy.composition import _library

    [(theirs, method)] = _library(record, tracks, 1e-6)
    assert method == "PLD, dp-accounting"
    # Theirs rounds losses up on a grid of 1e-4, once for every track.
    assert mine.epsilon <= theirs * 1.001 + 1e-4
    assert theirs == pytest.approx(mine.epsilon, abs=2e-4 * tracks, rel=1e-3)


def test_the_librarys_renyi_conversion_is_the_same():
    rdp = pytest.importorskip("dp_accounting").rdp
    orders = [1 + 10 ** (x / 40) for x in range(-40, 120)]
    divergences = [10 * renyi_divergence(512, 4.0, order) for order in orders]
    theirs, _ = rdp.compute_epsilon(orders, divergences, 1e-6)
    assert renyi_epsilon(512, 4.0, 10, 1e-6) == pytest.approx(theirs, rel=1e-3)


def test_asking_for_an_absent_library_is_a_config_error(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="stream-anon\\[privacy\\]"):
        compose(Laplace(64, 1.0).record(), 2, accountant="dp-accounting")


@pytest.mark.parametrize(("tracks", "delta"), [(0, 1e-6), (-1, 1e-6), (1, 0.0), (1, 1.0)])
def test_nonsense_is_refused(tracks, delta):
    with pytest.raises(ConfigError):
        compose(Laplace(64, 1.0).record(), tracks, delta=delta)
