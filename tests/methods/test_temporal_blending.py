"""Averaging and drawing again: calm where the face is calm, new where it moves or the track is."""

import cv2
import numpy as np
import pytest

from stream_anon.geometry import TEMPLATE, mask_radius
from stream_anon.methods.base import Subject
from stream_anon.methods.generative.temporal_blending import (
    LONGEST,
    MAX_CACHED_FRAMES,
    MAX_MEAN_DISPLACEMENT,
    MIN_BLEND,
    TemporalBlender,
    compose_flows,
    warp_by_flow,
)
from tests.fakes import STATES, state

OPENED = TEMPLATE + np.eye(5)[3][:, None] * (0, 9)


_place = np.stack(np.meshgrid(np.arange(128), np.arange(128)), axis=-1).reshape(-1, 2)
RADIUS = mask_radius(_place.astype(np.float64)).reshape(128, 128)


def subject(track=1, seconds=0.0, points=TEMPLATE):
    return Subject(state(track), points, 80.0, 0.9, seconds)


def flat(level):
    return np.full((8, 8, 3), level, np.uint8)


def show(blender, level, one, valid=True):
    """One frame of one face: its level if it is drawn."""
    needs_redraw = blender.needs_redraw([one])
    generated = flat(level)[None][: int(needs_redraw[0])]
    return blender(generated, np.full(len(generated), valid), needs_redraw, [one])[0]


def test_the_first_face_of_a_track_is_its_own():
    blender = TemporalBlender()
    assert (show(blender, 10, subject(1)) == 10).all()
    assert (show(blender, 200, subject(2, 0.04)) == 200).all()


def test_a_still_face_is_drawn_now_and_then_and_averaged():
    blender = TemporalBlender()
    show(blender, 100, subject())
    shown = [show(blender, 200, subject(seconds=k / 25)) for k in range(1, 2 * MAX_CACHED_FRAMES)]
    first = round(100 + 100 * MIN_BLEND)
    assert [int(face[4, 4, 0]) for face in shown] == [100] * (MAX_CACHED_FRAMES - 1) + [
        first
    ] * MAX_CACHED_FRAMES
    # At the edge the new drawing stands alone: what the head moves against must not trail.
    assert [int(face[0, 0, 0]) for face in shown] == [100] * (MAX_CACHED_FRAMES - 1) + [
        200
    ] * MAX_CACHED_FRAMES


def test_a_moving_face_is_drawn_at_once_and_not_averaged():
    blender = TemporalBlender()
    show(blender, 100, subject())
    assert (show(blender, 50, subject(seconds=0.04, points=OPENED)) == 50).all()


def test_shimmer_becomes_smaller():
    rng = np.random.default_rng(0)
    shimmer = rng.integers(90, 166, 60)
    blender = TemporalBlender()
    calm = [float(show(blender, v, subject(seconds=i / 25)).mean()) for i, v in enumerate(shimmer)]
    assert np.abs(np.diff(calm)).mean() < 0.3 * np.abs(np.diff(shimmer.astype(float))).mean()


@pytest.mark.parametrize("gap", [LONGEST + 0.01, -0.04])
def test_a_gap_or_a_step_back_begins_anew(gap):
    blender = TemporalBlender()
    show(blender, 100, subject(seconds=1.0))
    assert (show(blender, 200, subject(seconds=1.0 + gap)) == 200).all()


def test_an_ended_track_leaves_nothing():
    blender = TemporalBlender()
    show(blender, 100, subject())
    STATES.end(1)
    assert (show(blender, 200, subject(seconds=0.04)) == 200).all()


def test_without_landmarks_or_time_nothing_is_remembered():
    blender = TemporalBlender()
    show(blender, 100, subject(points=None))
    show(blender, 100, subject(seconds=None))
    assert (show(blender, 200, subject(seconds=0.04)) == 200).all()


def test_a_drawing_that_is_no_face_is_not_remembered():
    blender = TemporalBlender()
    show(blender, 100, subject())
    assert (show(blender, 0, subject(seconds=0.04, points=OPENED), valid=False) == 0).all()
    assert (show(blender, 200, subject(seconds=0.08)) == 200).all()


def test_several_faces_keep_their_places():
    blender = TemporalBlender()
    three = [subject(track) for track in range(3)]
    blender(np.stack([flat(v) for v in (10, 20, 30)]), np.ones(3, bool), np.ones(3, bool), three)
    moved = [subject(0, 0.04), subject(1, 0.04, OPENED), subject(2, 0.04)]
    needs_redraw = blender.needs_redraw(moved)
    assert needs_redraw.tolist() == [False, True, False]
    shown = blender(flat(90)[None], np.ones(1, bool), needs_redraw, moved)
    assert shown[:, 0, 0, 0].tolist() == [10, 90, 30]


def image(seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)


def field(x, y):
    return np.broadcast_to(np.float32([x, y]), (16, 16, 2)).copy()


def test_a_drawing_is_carried_along_with_the_surface():
    blender = TemporalBlender()
    one = image()
    valid = np.ones(1, bool)
    blender(one[None], valid, blender.needs_redraw([subject()]), [subject()])
    for k in range(1, 3):
        # What is here lay a unit further right and half a unit further down before.
        at = Subject(state(1), TEMPLATE, 80.0, 0.9, k / 25, field(1.0, 0.5))
        needs_redraw = blender.needs_redraw([at])
        assert not needs_redraw.any()
        shown = blender(one[None][:0], valid[:0], needs_redraw, [at])[0]
        way = np.float32([[1, 0, -k], [0, 1, -0.5 * k]])
        wanted = cv2.warpAffine(one, way, (128, 128), flags=cv2.INTER_CUBIC)
        inner = RADIUS < 0.5
        assert np.abs(shown[inner].astype(int) - wanted[inner]).mean() < 2.0


@pytest.mark.parametrize("way", [(20.0, 0.0), (-9.0, 14.0), (0.0, -30.0)])
def test_nothing_is_carried_into_the_ellipse_from_around_it(way):
    generated = np.where(RADIUS[..., None] > 1.0, 255, 0) * np.ones(3)
    moved = warp_by_flow(generated.astype(np.float32), field(*way))
    assert np.abs(moved[RADIUS < 0.97]).max() < 1e-3


def test_motions_in_a_row_are_one_motion():
    twice = compose_flows(compose_flows(None, field(1.0, 0.0)), field(0.0, 2.0))
    assert twice == pytest.approx(field(1.0, 2.0))


def test_a_drawing_is_not_carried_too_far():
    blender = TemporalBlender()
    show(blender, 100, subject())
    far = Subject(state(1), TEMPLATE, 80.0, 0.9, 0.04, field(MAX_MEAN_DISPLACEMENT + 1.0, 0.0))
    assert blender.needs_redraw([far]).all()


def test_a_carried_drawing_is_averaged_where_it_is():
    one = image()
    still = warp_by_flow(one.astype(np.float32), field(0.0, 0.0))
    assert np.abs(still - one).max() < 1e-3
    assert warp_by_flow(one.astype(np.float32), None).dtype == np.float32


def test_a_mouth_that_opens_is_drawn_anew_and_a_mesh_that_trembles_is_not():
    mesh = np.zeros((468, 3), np.float32)
    rng = np.random.default_rng(0)

    def meshed(seconds, points):
        return Subject(state(1), TEMPLATE, 80.0, 0.9, seconds, mesh=points)

    blender = TemporalBlender()
    show(blender, 100, meshed(0.0, mesh))
    trembles = mesh + rng.normal(0, 0.3, mesh.shape).astype(np.float32)
    assert (show(blender, 200, meshed(0.04, trembles)) == 100).all()
    # Some of the points, and depth, count for nothing: a mesh that is wrong about a lid, say.
    stray = mesh.copy()
    stray[:5, :2], stray[:, 2] = 9, 9
    assert (show(blender, 200, meshed(0.08, stray)) == 100).all()
    opened = mesh.copy()
    opened[:40, 1] = 4
    assert (show(blender, 200, meshed(0.12, opened)) == 200).all()
    # What serves in a face of a few pixels is carried: nobody sees it.
    blender = TemporalBlender()
    small = Subject(state(1), TEMPLATE, 12.0, 0.9, 0.0, mesh=mesh)
    show(blender, 100, small)
    again = Subject(state(1), TEMPLATE, 12.0, 0.9, 0.04, mesh=opened)
    assert (show(blender, 200, again) == 100).all()
