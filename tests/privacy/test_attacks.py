"""Attempts to get more out of a release than epsilon allows, each with its verdict.

The first half audits the mechanisms as they are; the second shows that the same auditor
catches the calibration and composition errors that are met in published code.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream_anon.privacy import (
    Gaussian,
    Independent,
    L2Laplace,
    Laplace,
    LaplaceDatasetMaximum,
    PrivUnit,
    RandomisedResponse,
    Releases,
    UniformPrior,
    VonMisesFisher,
)
from stream_anon.track_state import TrackState
from tests.privacy.tools import draws, epsilon_lower_bound, fixed, public_bank, random_code

N = 40_000


def audit(mechanism, *, claimed_delta=0.0, n=N, seed=1):
    """Lower bound on epsilon from releases of two antipodal codes, the worst pair."""
    dimension = mechanism.dimension
    code = np.ones(dimension) / math.sqrt(dimension)
    rng = fixed(seed)
    yes, no = (draws(mechanism, z, n, rng) @ code for z in (code, -code))
    return epsilon_lower_bound(yes, no, delta=claimed_delta)


# mechanism, and the share of epsilon that this audit is known to reach: how sharp it is
AUDITED = {
    "privunit": (lambda e: PrivUnit(16, e), 0.8),
    "vmf": (lambda e: VonMisesFisher.from_epsilon(3, e), 0.55),
    "laplace": (lambda e: Laplace(3, e), 0.4),
    "l2-laplace": (lambda e: L2Laplace(3, e), 0.4),
    "gaussian": (lambda e: Gaussian(16, e, 1e-3), 0.3),
}


@pytest.mark.parametrize("epsilon", [1.0, 3.0])
@pytest.mark.parametrize("name", AUDITED)
def test_no_audit_finds_more_than_epsilon(name, epsilon):
    make, sharpness = AUDITED[name]
    made = make(epsilon)
    found = audit(made, claimed_delta=made.guarantee().delta)
    assert found <= epsilon
    assert found >= sharpness * epsilon


def test_no_audit_finds_more_than_epsilon_of_randomised_response():
    bank = public_bank(8, 16)
    made = RandomisedResponse(bank, 2.0)
    rng = fixed(2)
    yes, no = (made.indices(bank[i], N, rng) == 0 for i in (0, 1))
    found = epsilon_lower_bound(yes.astype(float), no.astype(float))
    assert 1.7 <= found <= 2.0


def test_no_audit_finds_anything_in_an_independent_draw():
    assert audit(Independent(UniformPrior(16))) < 0.1


# -- calibration errors ------------------------------------------------------------------------


def test_caught_noise_for_one_coordinate_is_not_noise_for_the_code():
    # Lap(2 c / eps0) "because each coordinate lies in [-c, c]", eps0 = 1, d = 64, c = 0.3.
    class Trap(Laplace):
        scale = 2 * 0.3 / 1.0

    assert audit(Trap(64, 1.0)) > 2.5


def test_caught_kappa_is_not_epsilon():
    # Published code calls kappa epsilon; against replacement it is half of it.
    assert audit(VonMisesFisher(3, 2.0)) > 2.5


def test_caught_a_sensitivity_of_one_instead_of_two():
    assert audit(L2Laplace(3, 2 * 2.0)) > 2.2


def test_caught_a_cap_that_is_chosen_too_often():
    # A p taken from somewhere else: any p is a mechanism, but not of this epsilon.
    class Trap(PrivUnit):
        p = 0.9

    assert audit(Trap(16, 1.0)) > 2.0


def test_caught_a_data_set_maximum_is_no_sensitivity():
    # Codes of the data set differ by 0.5 at most; two outside it are antipodal.
    assert audit(LaplaceDatasetMaximum(16, 1.0, 0.5)) > 3.0


# -- composition errors ------------------------------------------------------------------------


def test_caught_frozen_noise_on_fresh_codes_leaks_differences_exactly():
    rng = fixed(3)
    first, second = random_code(64, 1), random_code(64, 2)
    noise = Laplace(64, 0.1)._sample(first, 1, rng)[0] - first
    published = first + noise, second + noise
    assert published[0] - published[1] == pytest.approx(first - second, abs=1e-9)


def test_a_frozen_release_says_nothing_about_the_frames_after_the_first():
    releases = Releases(Laplace(64, 0.1), rng=fixed(3))
    track = TrackState(1)
    shown = [releases.of(track, random_code(64, seed)).code for seed in range(5)]
    assert all(np.array_equal(shown[0], code) for code in shown)


def test_caught_a_draw_for_each_frame_is_averaged_away():
    made, code = PrivUnit(512, 4.0), random_code(512)
    rows = draws(made, code, 16 * 74, fixed(4))
    assert (rows @ code).mean() < 0.1
    # 74 frames are two and a half seconds.
    means = rows.reshape(16, 74, 512).mean(axis=1)
    cosines = means @ code / np.linalg.norm(means, axis=1)
    assert cosines.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("made", "frames"),
    [
        (PrivUnit(512, 1.0), (316, 1064)),
        (PrivUnit(512, 4.0), (22, 74)),
        (PrivUnit(512, 8.0), (7, 22)),
        (Gaussian(512, 8.0, 1e-6), (87, 293)),
        (Laplace(512, 8.0), (3269, 11019)),
        (Laplace(512, 100.0), (21, 70)),
    ],
)
def test_frames_needed_to_average_the_noise_away_as_quoted(made, frames):
    mean = made.expected_cosine()
    for cosine, quoted in zip((0.3, 0.5), frames, strict=True):
        needed = cosine**2 / (1 - cosine**2) * (1 - mean**2) / mean**2
        assert needed == pytest.approx(quoted, rel=0.025, abs=0.6)


def test_a_track_that_ended_cannot_be_drawn_again():
    from stream_anon.privacy import ReleaseError

    releases = Releases(VonMisesFisher(16, 4.0), rng=fixed(5))
    ended = TrackState(1)
    releases.of(ended, random_code(16))
    ended.close()
    with pytest.raises(ReleaseError, match="second time"):
        releases.of(TrackState(1), random_code(16))
