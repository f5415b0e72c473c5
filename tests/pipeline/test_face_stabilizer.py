"""Which crop a method gets: the tracker's, or one about the landmarks that covers it."""

from dataclasses import replace

import numpy as np
import pytest

from stream_anon.geometry import MASK_CENTRE, MASK_SEMI_AXES, apply, invert, mask_radius, scale_of
from stream_anon.methods import Fill
from stream_anon.pipeline.painting.face_stabilizer import (
    SMALLEST_STABILIZED,
    CropWidth,
    FaceStabilizer,
)
from tests.fakes import STATES, MemoryFrame, noise, state, tracked

ANGLES = np.linspace(0, 2 * np.pi, 90, endpoint=False)
OUTLINE = np.array(MASK_CENTRE) + np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1) * MASK_SEMI_AXES


class Wide(Fill):
    crop_scale = 1.25


def frame(index: int = 0) -> MemoryFrame:
    return MemoryFrame(noise(), index)


def test_a_method_without_a_wish_gets_the_trackers_crops():
    face = tracked(60, 40, 120)
    transforms, (subject,) = FaceStabilizer(Fill()).of(frame(), [face], [state()])
    assert np.array_equal(transforms[0], face.transform)
    assert np.allclose(subject.landmarks, apply(face.transform, face.landmarks))


@pytest.mark.parametrize("size", [SMALLEST_STABILIZED / 2, 120.0])
def test_a_wide_crop_covers_the_trackers_mask_at_every_frame(size):
    stabilizer = FaceStabilizer(Wide())
    rng = np.random.default_rng(0)
    for k in range(6):
        face = tracked(60 + float(rng.normal(0, 2)), 40 + k, size)
        transforms, _ = stabilizer.of(frame(k), [face], [state()])
        outline = apply(invert(face.transform), OUTLINE)
        assert mask_radius(apply(transforms[0], outline)).max() <= 1.0 + 1e-9
        assert scale_of(transforms[0]) < scale_of(face.transform)


def test_an_ended_track_leaves_nothing():
    stabilizer = FaceStabilizer(Wide())
    face = tracked(60, 40, 120)
    stabilizer.of(frame(), [face], [state()])
    kept = state()
    assert len(kept) >= 3
    STATES.end(face.track)
    assert kept.closed
    assert len(kept) == 0


def test_a_face_without_landmarks_keeps_its_crop():
    face = replace(tracked(60, 40, 120), landmarks=None)
    transforms, (subject,) = FaceStabilizer(Wide()).of(frame(), [face], [state()])
    assert np.array_equal(transforms[0], face.transform)
    assert subject.landmarks is None


def test_a_crop_does_not_breathe_with_its_boxes():
    """A detector's boxes tremble by a few percent from look to look; a crop must cover them all."""
    width = CropWidth(1.25)
    needed = [1.36, 1.3, 1.27, 1.36, 1.34, 1.28, 1.36, 1.27] * 6
    used = []
    for k, factor in enumerate(needed):
        used.append(max(width.least, factor))
        width.add(factor, k / 30)
    assert min(used) >= 1.36
    assert all(one >= factor for one, factor in zip(used, needed, strict=True))
    # What is over is left behind: within a second and a half the crop is narrow again.
    for k in range(45):
        width.add(1.25, (len(needed) + k) / 30)
    assert width.least == pytest.approx(1.25)


def test_a_crop_is_let_go_of_after_a_pause():
    width = CropWidth(1.25)
    width.add(1.9, 0.0)
    for seconds in (10.0, 11.0, 12.0):
        width.add(1.25, seconds)
    assert width.least < 1.9
