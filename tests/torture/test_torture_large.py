"""The large form of the torture clips: more seeds, every preset and method, 1080p and 4K."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_anon import recipes
from stream_anon.config import load
from stream_anon.errors import ModelError
from stream_anon.models import registry
from tests.torture.clips import KINDS
from tests.torture.film import Clip
from tests.torture.judge import BUDGETS, configuration, judge
from tests.torture.test_torture import holds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEEDS = range(10, 14)

METHODS = ("pixelate", "blur", "visual-mixer", "dp-image", "identity")

HARD = (
    "joined_restart", "brief_1", "brief_5", "time_lapse", "whip_pan", "last_frames_end",
    "before_a_cut", "times_saw", "crowd_464", "monitor_in_the_room", "focus_pull", "interleaved",
)  # fmt: skip
"""Kinds that ask for different things, for what is run over methods and latencies."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_other_seeds(kind: str, seed: int, film: Callable[..., Clip], tmp_path: Path) -> None:
    holds(judge(film(kind, seed), configuration(), tmp_path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", recipes.presets())
def test_every_preset(kind: str, preset: str, film: Callable[..., Clip], tmp_path: Path) -> None:
    config = configuration(config=load(recipes.preset(preset)))
    made = film(kind, 20)
    verdict = judge(made, config, tmp_path)
    if not verdict.faces and not verdict.refused:
        pytest.skip(f"no face is as large as {preset} promises to find")
    holds(verdict)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("method", METHODS)
def test_every_method(kind: str, method: str, film: Callable[..., Clip], tmp_path: Path) -> None:
    config = configuration(method)
    try:
        for name in registry.names("identity"):
            registry.path(name)
    except ModelError as error:
        pytest.skip(str(error))
    holds(judge(film(kind, 30), config, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_latency(kind: str, budget: str, film: Callable[..., Clip], tmp_path: Path) -> None:
    holds(judge(film(kind, 40), configuration(**BUDGETS[budget]), tmp_path))


@pytest.mark.parametrize("kind", HARD)
def test_stepping_down(kind: str, film: Callable[..., Clip], tmp_path: Path) -> None:
    config = configuration(**{"fault.policy": "step-down"})
    verdict = judge(film(kind, 50), config, tmp_path)
    wrong = verdict.shown or verdict.refused or verdict.broken
    assert not wrong, str(verdict)


@pytest.mark.parametrize("kind", KINDS)
def test_in_full_size(kind: str, film: Callable[..., Clip], tmp_path: Path) -> None:
    holds(judge(film(kind, 60, large=True), configuration(), tmp_path))
