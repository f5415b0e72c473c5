"""No true face of any torture clip is shown: the small form, one clip of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.torture.clips import KINDS
from tests.torture.film import Clip
from tests.torture.judge import BUDGETS, Verdict, configuration, judge

SEED = 0

# Kinds that have near relatives in the fast suite; the large form has them all.
SLOW_ONLY = {
    "times_one_tick", "times_repeat", "times_drift", "brief_2", "every_5", "crowd_390",
    "variable_rate", "retimed_240", "fade_in", "crossfade", "leans", "curtain", "low_quality",
    "ultra_wide", "portrait_phone", "lights_on", "wipe", "behind_a_pole", "pan_stops_and_goes",
    "crowd_464", "frozen", "flickering_wall", "door", "slides", "strobe", "cuts_every_frame",
    "confetti",
}  # fmt: skip


def holds(verdict: Verdict) -> None:
    """Fails with one line that names the frames."""
    assert verdict.faces > 0 or verdict.refused, "nobody was there to be shown"
    whole = verdict.shown or verdict.refused or verdict.broken or verdict.obscured
    assert not whole, str(verdict)
    # To cover everything is no answer either.
    assert verdict.spill < 0.5, f"{verdict}: {verdict.spill:.0%} painted where nobody is"


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in SLOW_ONLY])
def test_no_face_is_shown(kind: str, film: Callable[..., Clip], tmp_path: Path) -> None:
    holds(judge(film(kind, SEED), configuration(), tmp_path))


@pytest.mark.parametrize(
    ("method", "kind"),
    [("pixelate", "brief_5"), ("blur", "elsewhere_fourth"), ("visual-mixer", "late_packet")],
)
def test_by_other_methods(
    method: str, kind: str, film: Callable[..., Clip], tmp_path: Path
) -> None:
    holds(judge(film(kind, SEED + 1), configuration(method), tmp_path))


@pytest.mark.parametrize("kind", ["brief_3", "time_lapse", "last_frames"])
@pytest.mark.parametrize("budget", ["0.25", "0.6"])
def test_where_little_delay_is_allowed(
    budget: str, kind: str, film: Callable[..., Clip], tmp_path: Path
) -> None:
    config = configuration(**BUDGETS[budget])
    holds(judge(film(kind, SEED + 2), config, tmp_path))
