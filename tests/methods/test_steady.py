"""Averaging and drawing again: calm where the face is calm, new where it moves or the track is."""

import cv2
import numpy as np
import pytest

from stream_anon.geometry import TEMPLATE, mask_radius
from stream_anon.methods.base import Subject
from stream_anon.methods.steady import CALM, FARTHEST, LONGEST, STALE, Steady, carry, follow

OPENED = TEMPLATE + np.eye(5)[3][:, None] * (0, 9)


_place = np.stack(np.meshgrid(np.arange(128), np.arange(128)), axis=-1).reshape(-1, 2)
RADIUS = mask_radius(_place.astype(np.float64)).reshape(128, 128)


def subject(track=1, seconds=0.0, points=TEMPLATE):
    return Subject(track, points, 80.0, 0.9, seconds)


def flat(level):
    return np.full((8, 8, 3), level, np.uint8)


def show(steady, level, one, sound=True):
    """One picture of one face: its level if it is drawn."""
    due = steady.due([one])
    drawn = flat(level)[None][: int(due[0])]
    return steady(drawn, np.full(len(drawn), sound), due, [one])[0]


def test_the_first_face_of_a_track_is_its_own():
    steady = Steady()
    assert (show(steady, 10, subject(1)) == 10).all()
    assert (show(steady, 200, subject(2, 0.04)) == 200).all()


def test_a_still_face_is_drawn_now_and_then_and_averaged():
    steady = Steady()
    show(steady, 100, subject())
    shown = [show(steady, 200, subject(seconds=k / 25)) for k in range(1, 2 * STALE)]
    first = round(100 + 100 * CALM)
    assert [int(face[4, 4, 0]) for face in shown] == [100] * (STALE - 1) + [first] * STALE
    # At the edge the new drawing stands alone: what the head moves against must not trail.
    assert [int(face[0, 0, 0]) for face in shown] == [100] * (STALE - 1) + [200] * STALE


def test_a_moving_face_is_drawn_at_once_and_not_averaged():
    steady = Steady()
    show(steady, 100, subject())
    assert (show(steady, 50, subject(seconds=0.04, points=OPENED)) == 50).all()


def test_shimmer_becomes_smaller():
    rng = np.random.default_rng(0)
    shimmer = rng.integers(90, 166, 60)
    steady = Steady()
    calm = [float(show(steady, v, subject(seconds=i / 25)).mean()) for i, v in enumerate(shimmer)]
    assert np.abs(np.diff(calm)).mean() < 0.3 * np.abs(np.diff(shimmer.astype(float))).mean()


@pytest.mark.parametrize("gap", [LONGEST + 0.01, -0.04])
def test_a_gap_or_a_step_back_begins_anew(gap):
    steady = Steady()
    show(steady, 100, subject(seconds=1.0))
    assert (show(steady, 200, subject(seconds=1.0 + gap)) == 200).all()


def test_an_ended_track_leaves_nothing():
    steady = Steady()
    show(steady, 100, subject())
    steady.forget(1)
    assert (show(steady, 200, subject(seconds=0.04)) == 200).all()


def test_without_landmarks_or_time_nothing_is_remembered():
    steady = Steady()
    show(steady, 100, subject(points=None))
    show(steady, 100, subject(seconds=None))
    assert (show(steady, 200, subject(seconds=0.04)) == 200).all()


def test_a_drawing_that_is_no_face_is_not_remembered():
    steady = Steady()
    show(steady, 100, subject())
    assert (show(steady, 0, subject(seconds=0.04, points=OPENED), sound=False) == 0).all()
    assert (show(steady, 200, subject(seconds=0.08)) == 200).all()


def test_several_faces_keep_their_places():
    steady = Steady()
    three = [subject(track) for track in range(3)]
    steady(np.stack([flat(v) for v in (10, 20, 30)]), np.ones(3, bool), np.ones(3, bool), three)
    moved = [subject(0, 0.04), subject(1, 0.04, OPENED), subject(2, 0.04)]
    due = steady.due(moved)
    assert due.tolist() == [False, True, False]
    shown = steady(flat(90)[None], np.ones(1, bool), due, moved)
    assert shown[:, 0, 0, 0].tolist() == [10, 90, 30]


def picture(seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)


def field(x, y):
    return np.broadcast_to(np.float32([x, y]), (16, 16, 2)).copy()


def test_a_drawing_is_carried_along_with_the_surface():
    steady = Steady()
    one = picture()
    sound = np.ones(1, bool)
    steady(one[None], sound, steady.due([subject()]), [subject()])
    for k in range(1, 3):
        # What is here lay a unit further right and half a unit further down before.
        at = Subject(1, TEMPLATE, 80.0, 0.9, k / 25, field(1.0, 0.5))
        due = steady.due([at])
        assert not due.any()
        shown = steady(one[None][:0], sound[:0], due, [at])[0]
        way = np.float32([[1, 0, -k], [0, 1, -0.5 * k]])
        wanted = cv2.warpAffine(one, way, (128, 128), flags=cv2.INTER_CUBIC)
        inner = RADIUS < 0.5
        assert np.abs(shown[inner].astype(int) - wanted[inner]).mean() < 2.0


@pytest.mark.parametrize("way", [(20.0, 0.0), (-9.0, 14.0), (0.0, -30.0)])
def test_nothing_is_carried_into_the_ellipse_from_around_it(way):
    drawn = np.where(RADIUS[..., None] > 1.0, 255, 0) * np.ones(3)
    moved = carry(drawn.astype(np.float32), field(*way))
    assert np.abs(moved[RADIUS < 0.97]).max() < 1e-3


def test_motions_in_a_row_are_one_motion():
    twice = follow(follow(None, field(1.0, 0.0)), field(0.0, 2.0))
    assert twice == pytest.approx(field(1.0, 2.0))


def test_a_drawing_is_not_carried_too_far():
    steady = Steady()
    show(steady, 100, subject())
    far = Subject(1, TEMPLATE, 80.0, 0.9, 0.04, field(FARTHEST + 1.0, 0.0))
    assert steady.due([far]).all()


def test_a_carried_drawing_is_averaged_where_it_is():
    one = picture()
    still = carry(one.astype(np.float32), field(0.0, 0.0))
    assert np.abs(still - one).max() < 1e-3
    assert carry(one.astype(np.float32), None).dtype == np.float32
