"""Generators with a fixed stream, so that no statistical test can flake."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from stream_anon.privacy.randomness import SecureRandom, UnsafeSeedWarning


def fixed(seed: int) -> SecureRandom:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsafeSeedWarning)
        return SecureRandom(unsafe_seed=seed)


@pytest.fixture
def make_rng() -> Callable[[int], SecureRandom]:
    return fixed


@pytest.fixture
def rng() -> SecureRandom:
    return fixed(20260727)
