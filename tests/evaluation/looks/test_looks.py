"""The measure of looks: frames whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon.errors import InputError
from stream_anon.evaluation.looks import marks
from stream_anon.evaluation.looks.figures import Seen, Track, flicker, row, together
from stream_anon.evaluation.looks.marks import Mark
from stream_anon.evaluation.looks.run import clips_of
from tests.fakes import noise


def mark(**fields) -> Mark:
    values = {
        "frame": 0, "size": 60.0, "turn": 5.0, "present": (1.0, 1.0), "mouth": (0.1, 0.1),
        "eyes": (0.3, 0.3), "apart": 2.0, "detail": 1.0, "seam": 1.0,
        "crops": (np.zeros((8, 8, 3), np.uint8),) * 2,
    }  # fmt: skip
    return Mark(**(values | fields))


def test_what_is_not_changed_scores_as_the_original():
    frame = noise(160, 160)
    assert marks.fine(frame) / marks.fine(frame) == 1.0
    assert np.isnan(marks.seam(frame, frame))
    where = marks.away_from_faces(frame.shape, np.zeros((0, 4)))
    assert marks.changed_share(frame, frame, where) == 0.0


def test_softness_is_seen():
    frame = noise(160, 160, 3)
    sharp = np.clip(
        frame.astype(int) + np.random.default_rng(0).integers(-20, 20, frame.shape), 0, 255
    ).astype(np.uint8)
    soft = cv2.GaussianBlur(sharp, (0, 0), 2.0)
    assert marks.fine(soft) < 0.5 * marks.fine(sharp)


def test_a_hard_edge_is_a_seam_and_a_soft_one_less():
    clear = cv2.GaussianBlur(noise(160, 160, 5), (0, 0), 6.0)
    mask = cv2.circle(np.zeros((160, 160), np.uint8), (80, 80), 45, 255, -1)
    values = []
    for sigma in (0.5, 8.0):
        share = cv2.GaussianBlur(mask, (0, 0), sigma).astype(np.float32)[..., None] / 255
        new = np.clip(clear + 60 * share, 0, 255).astype(np.uint8)
        values.append(marks.seam(clear, new))
    assert values[0] > 1.4 * values[1]
    assert 0.8 < values[1] < 1.6


def test_changes_are_counted_away_from_faces_only():
    clear = noise(100, 200)
    new = clear.copy()
    new[10:30, 10:30] = 255 - new[10:30, 10:30]
    face = np.array([[10.0, 10.0, 30.0, 30.0]])
    where = marks.away_from_faces(clear.shape, face)
    assert marks.changed_share(clear, new, where) == 0.0
    everywhere = np.ones(clear.shape[:2], np.bool_)
    assert 0.01 < marks.changed_share(clear, new, everywhere) <= 0.02


def test_a_frozen_mouth_has_no_correlation_and_one_that_follows_has():
    rng = np.random.default_rng(0)
    old = rng.uniform(0.05, 0.3, 20)
    follows = [(float(a), float(0.5 * a + 0.1)) for a in old]
    frozen = [(float(a), 0.2) for a in old]
    assert together([follows]) == pytest.approx(1.0)
    assert together([frozen]) == 0.0
    assert together([follows, frozen]) == pytest.approx(0.5)
    assert together([[(0.1, 0.1)] * 20]) is None, "a mouth that never moves says nothing"


def test_the_row_counts_who_is_asked_for():
    box = np.zeros(4)
    shown = [mark(frame=k) for k in range(9)]
    hidden = [mark(frame=k, present=(1.0, 0.1), apart=float("nan")) for k in range(3)]
    turned = [mark(frame=k, turn=70.0, present=(1.0, 0.0), apart=float("nan")) for k in range(5)]
    seen = Seen("clip", [Track("clip", box, [*shown, *hidden, *turned])], [0.01, 0.03])
    figures = row([seen])
    assert figures[0] == 17
    assert figures[4] == pytest.approx(9 / 12), "those in profile are not asked for"
    assert figures[5] == pytest.approx(0.02)
    assert figures[7] is None, "no close-up"


def test_no_face_is_worse_than_a_wrong_one():
    good, wrong = mark(), mark(apart=40.0, mouth=(0.0, 0.4))
    gone = mark(present=(1.0, 0.0), apart=float("nan"))
    assert good.badness < wrong.badness < gone.badness


def test_a_folder_of_clips(tmp_path):
    (tmp_path / "b.mp4").touch()
    (tmp_path / "a.mkv").touch()
    (tmp_path / "notes.md").touch()
    assert [p.name for p in clips_of(tmp_path)] == ["a.mkv", "b.mp4"]
    assert clips_of(tmp_path / "b.mp4") == [tmp_path / "b.mp4"]
    with pytest.raises(InputError, match="no clip"):
        clips_of(tmp_path / "empty") if (tmp_path / "empty").mkdir() is None else None


def test_flicker_is_what_changes_beyond_the_original():
    calm = Track("a", np.zeros(4), [mark(frame=k, change=(2.0, 2.0)) for k in range(9)])
    restless = Track("b", np.zeros(4), [mark(frame=k, change=(2.0, 6.0)) for k in range(9)])
    unknown = Track("c", np.zeros(4), [mark(frame=k) for k in range(9)])
    assert flicker([calm]) == 1.0
    assert flicker([calm, restless, unknown]) == pytest.approx(2.0)
    assert flicker([unknown]) is None
