"""Which mechanisms and priors can be asked for, and what is refused."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from stream_anon.errors import ConfigError
from stream_anon.privacy import (
    NAMES,
    BankPrior,
    Gaussian,
    GaussianPrior,
    Independent,
    Laplace,
    PrivUnit,
    UniformPrior,
    VonMisesFisher,
    mechanism,
)
from tests.privacy.tools import fixed, public_bank, random_code

ARGUMENTS = {
    "independent": {},
    "krr": {"epsilon": 2.0, "bank": public_bank(8, 16)},
    "laplace": {"epsilon": 2.0, "sampler": "idealised"},
    "l2-laplace": {"epsilon": 2.0},
    "gaussian": {"epsilon": 2.0, "delta": 1e-6, "sampler": "idealised"},
    "vmf": {"epsilon": 2.0},
    "privunit": {"epsilon": 2.0},
    "laplace-dataset-maximum-no-guarantee": {"epsilon": 2.0, "dataset_maximum": 5.0},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_made(name):
    made = mechanism(name, dimension=16, **ARGUMENTS[name])
    assert made.name == name
    assert made.dimension == 16
    assert made.guarantee().epsilon in (0.0, 2.0, None)


def test_the_default_is_independent():
    assert isinstance(mechanism(dimension=16), Independent)
    assert mechanism(dimension=16, epsilon=0.0).guarantee().epsilon == 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "lapalce", "epsilon": 1.0}, "unknown mechanism 'lapalce': choose one of indep"),
        ({"name": "laplace"}, "needs epsilon"),
        ({"name": "laplace", "epsilon": 0}, "epsilon 0 is the mechanism independent"),
        ({"name": "laplace", "epsilon": -1.0}, "above 0"),
        ({"name": "laplace", "epsilon": math.nan}, "above 0"),
        ({"name": "laplace", "epsilon": math.inf}, "above 0"),
        ({"name": "laplace", "epsilon": True}, "must be a number"),
        ({"name": "laplace", "epsilon": "1"}, "must be a number"),
        ({"name": "laplace", "epsilon": 1.0, "delta": 1e-6}, "has no delta"),
        ({"name": "laplace", "epsilon": 1.0, "sampler": "numpy"}, "sampler must be"),
        ({"name": "privunit", "epsilon": 1.0, "sampler": "opendp"}, "has no sampler"),
        ({"name": "gaussian", "epsilon": 1.0}, "needs delta"),
        ({"name": "gaussian", "epsilon": 1.0, "delta": 0.0}, "delta must be"),
        ({"name": "gaussian", "epsilon": 1.0, "delta": 1.0}, "between 0 and 1"),
        ({"name": "independent", "epsilon": 1.0}, "has no epsilon"),
        ({"name": "independent", "prior": UniformPrior(17)}, "has dimension 17"),
        ({"name": "krr", "epsilon": 1.0}, "needs bank"),
        ({"name": "krr", "epsilon": 1.0, "bank": np.eye(1, 16)}, "2 to 2"),
        ({"name": "krr", "epsilon": 1.0, "bank": 2 * np.eye(16)}, "norm 1"),
        ({"name": "krr", "epsilon": 1.0, "bank": np.full((3, 16), np.nan)}, "norm 1"),
        ({"name": "krr", "epsilon": 1.0, "bank": np.ones(16)}, "table"),
        ({"name": "krr", "epsilon": 1.0, "bank": np.eye(8)}, "has dimension 8"),
        ({"name": "vmf", "epsilon": 1.0, "dimension": 2}, "at least 3"),
        ({"name": "vmf", "epsilon": 1.0, "dimension": 16.0}, "whole number"),
        ({"name": "laplace-dataset-maximum-no-guarantee", "epsilon": 1.0}, "needs dataset_max"),
    ],
)
def test_a_wrong_request_is_a_config_error(arguments, words):
    with pytest.raises(ConfigError, match=words):
        mechanism(**{"dimension": 16, **arguments})


def test_nothing_takes_a_seed():
    for kind in (mechanism, Laplace, Gaussian, PrivUnit, VonMisesFisher, Independent):
        assert not any("seed" in name for name in inspect.signature(kind).parameters)
    with pytest.raises(TypeError):
        mechanism("laplace", dimension=16, epsilon=1.0, seed=1)  # type: ignore[call-arg]


# -- priors ------------------------------------------------------------------------------------


def test_bank_prior_gives_codewords_evenly():
    bank = public_bank(4, 8)
    rows = BankPrior(bank).draw(4000, fixed(1))
    chosen = np.argmax(rows @ bank.T, axis=1)
    assert np.allclose(rows, bank[chosen])
    assert np.bincount(chosen).min() > 900
    assert BankPrior(bank).mean_cosine() == pytest.approx((bank @ bank.T).mean())


def test_gaussian_prior_has_the_mean_it_says():
    mean = 3.0 * random_code(64)
    prior = GaussianPrior(mean, np.eye(64)[:, :40])
    rows = prior.draw(4000, fixed(2))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0)
    assert np.sum(rows.mean(axis=0) ** 2) == pytest.approx(prior.mean_cosine(), abs=0.01)


@pytest.mark.parametrize(
    ("mean", "factor"),
    [
        (np.zeros(8), np.zeros((8, 2))),
        (np.zeros(8), np.ones((7, 2))),
        (np.zeros((2, 4)), np.ones((8, 2))),
        (np.full(8, np.nan), np.ones((8, 2))),
        (np.zeros(2), np.ones((2, 2))),
    ],
)
def test_gaussian_prior_refuses_nonsense(mean, factor):
    with pytest.raises(ConfigError):
        GaussianPrior(mean, factor)
