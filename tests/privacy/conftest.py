"""Generators with a fixed stream, so that no statistical test can flake."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stream_anon.privacy import SecureRandom
from tests.privacy.tools import fixed


@pytest.fixture
def make_rng() -> Callable[[int], SecureRandom]:
    return fixed


@pytest.fixture
def rng() -> SecureRandom:
    return fixed(20260727)
