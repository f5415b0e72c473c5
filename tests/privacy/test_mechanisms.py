"""Every mechanism: what goes in, what comes out, and how much of the code is left."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.errors import MethodFault
from stream_anon.privacy import (
    Gaussian,
    Independent,
    L2Laplace,
    Laplace,
    LaplaceDatasetMaximum,
    PrivUnit,
    RandomisedResponse,
    UniformPrior,
    VonMisesFisher,
)
from stream_anon.privacy.mechanisms.laplace import l1_sensitivity, true_epsilon_of_coordinate_scale
from tests.privacy.tools import DIALS, EVERY, draws, fixed, public_bank, random_code

EPSILONS = [1, 4, 8, 16, 64, 128, 256, 1024]
# papers.md section 2, the expected cosine at d = 512; the last column's g equals it.
TABLE = {
    "laplace": [0.001, 0.003, 0.006, 0.011, 0.045, 0.089, 0.175, 0.578],
    "dataset": [0.001, 0.004, 0.008, 0.016, 0.068, 0.131, 0.256, 0.726],
    "l2-laplace": [0.001, 0.004, 0.008, 0.016, 0.061, 0.123, 0.242, 0.707],
    "gaussian": [0.005, 0.019, 0.034, 0.060, 0.164, 0.257, 0.376, 0.670],
    "vmf": [0.001, 0.004, 0.008, 0.016, 0.062, 0.123, 0.236, 0.618],
    "vmf-metric": [0.002, 0.008, 0.016, 0.031, 0.123, 0.236, 0.414, 0.781],
    "privunit": [0.018, 0.067, 0.121, 0.200, 0.443, 0.610, 0.786, 0.99],
}
MAKE = {
    "laplace": Laplace,
    "dataset": lambda d, e: LaplaceDatasetMaximum(d, e, 30.2716),
    "l2-laplace": L2Laplace,
    "gaussian": lambda d, e: Gaussian(d, e, 1e-6),
    "vmf": VonMisesFisher.from_epsilon,
    "vmf-metric": lambda d, e: VonMisesFisher(d, float(e)),
    "privunit": PrivUnit,
}
# Rows above epsilon 16 were simulated for the table: two units of its last digit.
ROUNDING = 0.0022


@pytest.mark.parametrize("name", TABLE)
def test_expected_cosine_is_the_one_of_the_table(name):
    for epsilon, quoted in zip(EPSILONS, TABLE[name], strict=True):
        assert MAKE[name](512, epsilon).expected_cosine() == pytest.approx(quoted, abs=ROUNDING)


@pytest.mark.parametrize(
    ("dimension", "quoted"),
    [
        (64, {"laplace": 0.046, "l2-laplace": 0.06, "gaussian": 0.096, "vmf": 0.062,
              "vmf-metric": 0.123, "privunit": 0.334}),
        (128, {"laplace": 0.023, "l2-laplace": 0.03, "gaussian": 0.069, "vmf": 0.031,
               "vmf-metric": 0.062, "privunit": 0.239}),
    ],
)  # fmt: skip
def test_expected_cosine_in_lower_dimensions(dimension, quoted):
    for name, value in quoted.items():
        got = MAKE[name](dimension, 8).expected_cosine()
        # The l2-Laplace column gives two digits here.
        assert got == pytest.approx(value, abs=0.0026 if name == "l2-laplace" else ROUNDING), name


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize(("dimension", "epsilon"), [(512, 64), (512, 1024), (128, 8), (64, 8)])
def test_samplers_reach_the_expected_cosine(name, dimension, epsilon):
    n = 1000 if dimension == 512 else 4000
    made = MAKE[name](dimension, epsilon)
    code = random_code(dimension, seed=7)
    cosine = draws(made, code, n, fixed(hash_free_seed(name, epsilon))) @ code
    error = cosine.std() / math.sqrt(n)
    assert cosine.mean() == pytest.approx(made.expected_cosine(), abs=3.5 * error + 2e-4)


def hash_free_seed(name: str, epsilon: int) -> int:
    return sum(map(ord, name)) * 10_000 + epsilon


@pytest.mark.parametrize(("epsilon", "sigma"), [(1, 8.45), (4, 2.39), (8, 1.31), (16, 0.74),
                                                (64, 0.26), (128, 0.17)])  # fmt: skip
def test_gaussian_sigma_of_the_table(epsilon, sigma):
    assert Gaussian(512, epsilon, 1e-6).sigma == pytest.approx(sigma, abs=0.006)


@pytest.mark.parametrize(("epsilon", "p"), [(1, 0.589), (4, 0.791), (8, 0.902), (16, 0.958)])
def test_privunit_p_of_the_table_and_its_fixed_point(epsilon, p):
    made = PrivUnit(512, epsilon)
    assert made.p == pytest.approx(p, abs=0.0006)
    assert made.expected_cosine() == pytest.approx(made.cap.g, rel=1e-6)


@pytest.mark.parametrize("dimension", [3, 64, 512])
@pytest.mark.parametrize("epsilon", [0.01, 1.0, 30.0, 1024.0])
def test_privunit_is_private_to_the_last_digit_and_optimal(dimension, epsilon):
    cap = PrivUnit(dimension, epsilon).cap
    log_rest = math.log1p(-math.exp(cap.log_q))
    assert cap.log_odds - cap.log_q + log_rest == pytest.approx(epsilon, rel=1e-12)
    from stream_anon.privacy.mechanisms.privunit import _cap

    if cap.complement < 1.01e-9:
        return  # where the search stops
    for factor in (0.97, 1.03):
        shifted = _cap(dimension, epsilon, math.log(min(cap.complement * factor, 1 - 1e-9)))
        assert shifted.cosine <= cap.cosine * (1 + 1e-12)


@pytest.mark.parametrize("name", DIALS)
@pytest.mark.parametrize("dimension", [8, 64, 512])
def test_resemblance_rises_with_epsilon(name, dimension):
    cosines = [DIALS[name](dimension, e).expected_cosine() for e in (0.1, 0.5, *EPSILONS, 4096)]
    assert cosines[0] < 0.25
    assert cosines[-1] > 0.8
    for lower, higher in itertools.pairwise(cosines):
        # PrivUnit and k-RR come to 1 within float64's reach, and stay there.
        assert higher > lower or min(higher, lower) > 1.0 - 1e-9


@pytest.mark.parametrize(("size", "quoted"), [(16, (0.33, 0.78, 0.96)), (64, (0.11, 0.46, 0.87)),
                                              (256, (0.03, 0.18, 0.61))])  # fmt: skip
def test_krr_truth_probability_of_the_table(size, quoted):
    for epsilon, value in zip((2, 4, 6), quoted, strict=True):
        made = RandomisedResponse(public_bank(size, 8), epsilon)
        assert made.truth_probability == pytest.approx(value, abs=0.006)
        exact = math.exp(epsilon) / (math.exp(epsilon) + size - 1)
        assert made.truth_probability == pytest.approx(exact, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-4, 2000.0), st.integers(2, 300))
def test_krr_whole_numbers_never_exceed_epsilon(epsilon, size):
    from fractions import Fraction

    truth, other = RandomisedResponse(np.eye(size, max(size, 3)), epsilon).tickets
    assert truth >= other >= 1
    assert truth + (size - 1) * other <= 2**63
    # e^epsilon from below, by its series in rational numbers.
    x, term, series = Fraction(min(epsilon, 42.5)), Fraction(1), Fraction(1)
    for k in range(1, 200):
        term = term * x / k
        series += term
    assert Fraction(truth, other) <= series
    if epsilon < 20:
        assert truth / other >= math.exp(epsilon) * (1 - 1e-6)


def test_krr_takes_the_nearest_codeword():
    bank = public_bank(32, 16)
    made = RandomisedResponse(bank, 1024.0)
    for seed in range(8):
        code = random_code(16, seed)
        assert made.release(code, fixed(1)) == pytest.approx(bank[np.argmax(bank @ code)])


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=15, deadline=None)
@given(
    dimension=st.integers(3, 40),
    log_epsilon=st.floats(-3.0, 3.4),
    seed=st.integers(0, 2**31),
)
def test_a_release_is_a_unit_code(name, dimension, log_epsilon, seed):
    made = EVERY[name](dimension, 10.0**log_epsilon)
    code = random_code(dimension, seed)
    before = code.copy()
    released = made.release(code, fixed(seed))
    assert released.shape == (dimension,)
    assert released.dtype == np.float64
    assert np.isfinite(released).all()
    assert np.linalg.norm(released) == pytest.approx(1.0, abs=1e-12)
    assert not released.flags.writeable
    assert np.array_equal(code, before)
    assert -1e-9 <= made.expected_cosine() <= 1.0 + 1e-9


@pytest.mark.parametrize("name", EVERY)
def test_two_releases_differ_and_a_fixed_stream_repeats(name):
    made, code = EVERY[name](32, 1.0), random_code(32)
    again = [made.release(code, fixed(3)) for _ in range(2)]
    assert np.array_equal(*again)
    rng = fixed(3)
    many = {made.release(code, rng).tobytes() for _ in range(20)}
    assert len(many) > 5


@pytest.mark.parametrize("name", DIALS)
@pytest.mark.parametrize(
    "bad",
    [
        np.full(16, np.nan),
        np.zeros(16),
        np.ones(16),
        np.r_[np.inf, np.zeros(15)],
        np.ones(17) / math.sqrt(17),
        np.ones((1, 16)) / 4,
        None,
    ],
    ids=["nan", "zero", "long", "infinite", "dimension", "shape", "none"],
)
def test_a_code_that_is_none_is_a_method_fault(name, bad):
    with pytest.raises(MethodFault):
        DIALS[name](16, 1.0).release(bad, fixed(1))


def test_a_code_is_normalised_before_it_is_randomised():
    # Slightly long codes would exceed the sensitivity.
    seen = []

    class Watched(Laplace):
        def _sample(self, code, n, rng):
            seen.append(code)
            return super()._sample(code, n, rng)

    Watched(16, 1.0).release(random_code(16) * 1.0009, fixed(2))
    assert np.linalg.norm(seen[0]) == pytest.approx(1.0, abs=1e-12)


def test_independent_never_reads_the_code():
    made = Independent(UniformPrior(16))
    answers = [
        made.release(code, fixed(4)) for code in (None, np.full(16, np.nan), random_code(16))
    ]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])
    assert made.guarantee().epsilon == 0.0
    assert made.sampling == "exact"


def test_a_draw_without_direction_is_a_method_fault(monkeypatch):
    monkeypatch.setattr(Laplace, "_sample", lambda self, code, n, rng: np.zeros((1, 16)))
    with pytest.raises(MethodFault, match="no direction"):
        Laplace(16, 1.0).release(random_code(16), fixed(1))


@pytest.mark.parametrize("name", EVERY)
def test_a_guarantee_says_what_it_rests_on(name):
    made = EVERY[name](64, 2.0)
    promised = made.guarantee()
    assert promised.assumptions
    assert made.record()["assumptions"] == list(promised.assumptions)
    text = " ".join(promised.assumptions)
    if name == "laplace-dataset-maximum":
        assert promised.kind == "none"
        assert promised.epsilon is None
        assert "no guarantee" in text
        assert "no-guarantee" in made.name
        return
    assert "one track replaced by any other unit vector" in text
    assert ("ideal real numbers" in text) == (made.sampling == "idealised")
    assert made.sampling == ("exact" if name in ("krr", "independent", "independent-bank")
                             else "idealised")  # fmt: skip
    assert promised.kind == ("approximate" if name == "gaussian" else "pure")
    assert promised.epsilon == (0.0 if name.startswith("independent") else 2.0)


def test_sensitivities_are_reached():
    for dimension in (3, 512):
        code = np.ones(dimension) / math.sqrt(dimension)
        assert np.abs(2 * code).sum() == pytest.approx(
            Laplace(dimension, 1).guarantee().sensitivity
        )
        assert np.linalg.norm(2 * code) == pytest.approx(
            Gaussian(dimension, 1, 1e-6).guarantee().sensitivity
        )
    assert l1_sensitivity(512) == pytest.approx(45.2548, abs=1e-4)


def test_calibration_traps_as_quoted():
    # The maximum over CelebA instead of a sensitivity: 1.495 times the nominal epsilon.
    measured = LaplaceDatasetMaximum(512, 1.0, 30.2716)
    assert measured.worst_case_epsilon == pytest.approx(1.495, abs=5e-4)
    # Lap(2 c / eps0) "because each coordinate lies in [-c, c]".
    for c, factor in ((0.3, 75), (0.15, 151), (0.1, 226)):
        assert true_epsilon_of_coordinate_scale(512, 2 * c) == pytest.approx(factor, abs=0.6)
    # The published variant of von Mises-Fisher quotes kappa; the local guarantee is twice it.
    assert VonMisesFisher(512, 8.0).guarantee().epsilon == 16.0


def test_gaussian_sigma_is_the_smallest():
    from stream_anon.privacy.mechanisms.gaussian import log_delta

    for epsilon in (0.01, 1.0, 50.0, 1024.0):
        sigma = Gaussian(512, epsilon, 1e-6).sigma
        assert log_delta(epsilon, sigma) <= math.log(1e-6)
        assert log_delta(epsilon, sigma * (1 - 1e-6)) > math.log(1e-6)


def test_mechanisms_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Laplace(16, 1.0).epsilon = 2.0  # type: ignore[misc]
    bank = public_bank(4, 8)
    made = RandomisedResponse(bank, 1.0)
    bank[:] = 0.0
    assert np.linalg.norm(made.bank, axis=1) == pytest.approx(1.0)


# -- the factory -------------------------------------------------------------------------------
