"""A new face has the tone of the hands and the neck that stay visible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.geometry import TEMPLATE, mask_radius
from stream_anon.methods.generative.blending import MIDDLE, TONE_STEP, match_tone, tone_of
from tests.fakes import STATES, state
from tests.methods.test_generative import Drawn, subject

DARK, PALE = (70, 45, 32), (225, 185, 170)


def skin(colour: tuple[int, int, int], hair: int = 20) -> np.ndarray:
    """A face of one colour under dark hair, (1, 128, 128, 3)."""
    face = np.full((1, 128, 128, 3), hair, np.uint8)
    face[0, radius() < 0.6] = colour
    return face


def radius() -> np.ndarray:
    y, x = np.mgrid[:128, :128]
    return mask_radius(np.stack([x.ravel(), y.ravel()], axis=1).astype(float)).reshape(128, 128)


@pytest.mark.parametrize(("old", "new"), [(DARK, (150, 110, 95)), (PALE, (150, 110, 95))])
def test_skin_takes_the_old_tone_and_hair_keeps_its_own(old, new):
    out = match_tone(skin(new), tone_of(skin(old)))[0].astype(int)
    inside = out[radius() < 0.4].mean(axis=0)
    before, after = (np.abs(np.subtract(one, old)).max() for one in (new, inside))
    assert after < 0.35 * before
    assert np.array_equal(out[radius() > 0.9], skin(new)[0][radius() > 0.9])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_of_the_old_face_three_coarse_numbers_are_told(seed):
    rng = np.random.default_rng(seed)
    old = skin(PALE)
    middle = np.argwhere(radius() < MIDDLE)
    other = old.copy()
    # Any face of the same mean tells the same.
    other[0, middle[:, 0], middle[:, 1]] = rng.permutation(
        np.repeat([[225, 185, 170]], len(middle), axis=0)
        + np.where(np.arange(len(middle)) % 2, 30, -30)[: len(middle), None]
        * (np.arange(len(middle)) < len(middle) // 2 * 2)[:, None]
    ).clip(0, 255)
    assert np.array_equal(tone_of(old), tone_of(other))
    assert (tone_of(other) % TONE_STEP == 0).all()


def test_a_hand_that_passes_is_no_tone():
    """A track's tone is its own; another track has another."""

    class Flat(Drawn):
        def draw(self, crops, landmarks, codes):
            face = super().draw(crops, landmarks, codes) // 4
            return (face + 96).astype(np.uint8)

    method = Flat()

    def rendered(colour, seconds: float, track: int = 1) -> np.ndarray:
        crops = skin(colour, 120)
        one = subject(track, TEMPLATE, 80.0, seconds)
        return method.render(crops, [one]).crops[0][radius() < 0.4].mean(axis=0)

    first = rendered(DARK, 0.0)
    # Long after, so that nothing of the drawing before is shown.
    passed = rendered(PALE, 5.0)
    assert np.abs(passed - first).max() < 30
    assert rendered(PALE, 5.0, track=2).mean() > first.mean() + 60
    kept = state(1)
    STATES.end(1)
    assert len(kept) == 0
    method.close()
