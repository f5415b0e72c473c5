"""Many faces at once, and weak ones: nobody is left out for want of room or of score."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from stream_anon.config import DetectorConfig
from stream_anon.detection.centerface import STRIDE, CenterFace
from stream_anon.detection.registry import make_detector
from stream_anon.detection.suppression import merge
from stream_anon.detection.yunet import STRIDES, YuNet
from tests.detection.conftest import Still, fetched

TILE = 160
"""Side of a portrait's head in the crowd; the face in it is about 60 px."""


@pytest.mark.parametrize(("across", "down"), [(8, 4), (12, 7)])
def test_everybody_in_a_crowd_is_found(portrait, across, down):
    fetched("centerface")
    head = cv2.resize(portrait[0:270, 90:360], (TILE, TILE), interpolation=cv2.INTER_AREA)
    crowd = np.tile(head, (down, across, 1))
    faces = make_detector(DetectorConfig(threads=1)).detect(Still(crowd))
    centres = np.array([(face.box[:2] + face.box[2:]) / 2 for face in faces if face.score >= 0.2])
    truth = np.array([225.5 - 90, 117.5]) * TILE / 270
    for column, row in itertools.product(range(across), range(down)):
        here = truth + np.array([column, row]) * TILE
        assert np.hypot(*(centres - here).T).min() < 15, (column, row)


def test_candidates_of_many_faces_all_stay():
    count = 400
    x, y = np.divmod(np.arange(count), 20)
    corner = np.stack([x, y], axis=1) * 30.0
    boxes = np.hstack([corner, corner + 24.0])
    kept = merge(boxes, np.zeros((count, 5, 2)), np.linspace(0.1, 0.9, count))
    assert len(kept[0]) == count


def outputs_of_centerface(score: float) -> dict[str, np.ndarray]:
    """One cell of this score, far from everything else."""
    heat = np.zeros((1, 1, 24, 40), np.float32)
    heat[0, 0, 10, 20] = score
    return {
        "537": heat,
        "538": np.full((1, 2, 24, 40), np.log(40 / STRIDE), np.float32),
        "539": np.zeros((1, 2, 24, 40), np.float32),
        "540": np.full((1, 10, 24, 40), 0.5, np.float32),
    }


def outputs_of_yunet(score: float) -> dict[str, np.ndarray]:
    """Likewise, on the finest of its grids."""
    made = {}
    for stride in STRIDES:
        cells = (96 // stride) * (160 // stride)
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            made[f"{name}_{stride}"] = np.zeros((1, cells, width), np.float32)
    made["cls_8"][0, 77] = made["obj_8"][0, 77] = score
    return made


@pytest.mark.parametrize(
    ("kind", "outputs", "size"),
    [(CenterFace, outputs_of_centerface, (160, 96)), (YuNet, outputs_of_yunet, (160, 96))],
)
@pytest.mark.parametrize(("score", "found"), [(0.3, 1), (0.12, 1), (0.05, 0)])
def test_what_continues_a_track_is_handed_on(kind, outputs, size, score, found):
    """Between the two thresholds a detection starts no track, and continues one that exists."""
    detector = object.__new__(kind)
    detector.config = DetectorConfig(threshold=0.2, keep_threshold=0.1)
    boxes, landmarks, scores = detector._decode(outputs(score), *size)
    assert len(boxes) == len(landmarks) == len(scores) == found
    assert scores.tolist() == pytest.approx([score] * found, abs=1e-4)
