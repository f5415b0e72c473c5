"""What every detector must do, run over every detector."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from stream_anon.config import DetectorConfig
from stream_anon.detection import network
from stream_anon.detection.base import Detector
from stream_anon.detection.registry import make_detector
from stream_anon.detection.suppression import merge, overlaps
from stream_anon.errors import DetectorFault, ModelError
from stream_anon.models import registry
from tests.detection.conftest import EYES, FACE, Still, fetched, placed


@pytest.fixture(
    scope="module", params=["centerface", pytest.param("yunet", marks=pytest.mark.shared)]
)
def detector(request: pytest.FixtureRequest) -> Detector:
    folder = None
    if request.param == "centerface":
        fetched("centerface")
    else:
        folder = request.getfixturevalue("shared") / "models"
    return make_detector(DetectorConfig(name=request.param, threads=1), folder)


def best(detector: Detector, pixels: np.ndarray, quarter_turns: int = 0):
    faces = detector.detect(Still(pixels), quarter_turns)
    assert faces, "no face at all"
    assert [face.score for face in faces] == sorted((f.score for f in faces), reverse=True)
    return faces[0]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(overlaps(a[None], b[None])[0, 0])


def test_a_portrait(detector: Detector, portrait: np.ndarray) -> None:
    face = best(detector, portrait)
    assert iou(face.box, FACE) > 0.7
    assert face.score > 0.7
    assert np.abs(face.landmarks[:2] - EYES).max() < 6
    assert len([f for f in detector.detect(Still(portrait)) if f.score > 0.4]) == 1


@pytest.mark.parametrize("quarter_turns", [1, 2, 3, -1])
def test_a_frame_that_lies_on_its_side(
    detector: Detector, portrait: np.ndarray, quarter_turns: int
) -> None:
    wide = placed(portrait, 100, 640, 360, 250, 150)
    upright = best(detector, wide)
    stored = np.ascontiguousarray(np.rot90(wide, -quarter_turns))
    face = best(detector, stored, quarter_turns)
    patch = np.zeros(stored.shape[:2])
    x0, y0, x1, y1 = face.box.astype(int)
    patch[y0:y1, x0:x1] = 1
    rows, columns = np.nonzero(np.rot90(patch, quarter_turns))
    back = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
    assert iou(back, upright.box) > 0.9
    eyes = face.landmarks[1] - face.landmarks[0]
    angle = np.degrees(np.arctan2(eyes[1], eyes[0]))
    assert abs((angle - 90 * quarter_turns + 180) % 360 - 180) < 15


@pytest.mark.parametrize("size", [20, 28, 40, 90, 200, 500, 860])
def test_small_and_large_faces_in_full_hd(
    detector: Detector, portrait: np.ndarray, size: int
) -> None:
    truth = np.sqrt((FACE[2:] - FACE[:2]).prod())
    for x, y in ((800, 540), (803.4, 541.7), (997, 520)):
        face = best(detector, placed(portrait, size, 1920, 1080, x, y))
        half = (FACE[2:] - FACE[:2]) / 2 * size / truth
        assert face.score >= detector.config.threshold
        assert iou(face.box, np.array([x - half[0], y - half[1], x + half[0], y + half[1]])) > 0.4


@pytest.mark.parametrize(("width", "height"), [(176, 144), (640, 360), (511, 333), (2560, 1920)])
def test_faces_that_fill_the_frame(
    detector: Detector, portrait: np.ndarray, width: int, height: int
) -> None:
    size = 0.8 * height
    face = best(detector, placed(portrait, size, width, height, width / 2, height / 2))
    assert face.score >= 0.3
    assert face.size > 0.6 * size


def test_grey_frames_hold_no_face(detector: Detector) -> None:
    faces = detector.detect(Still(np.full((360, 640, 3), 127, np.uint8)))
    assert [face for face in faces if face.score >= detector.config.threshold] == []


def test_bf16_finds_what_f32_finds(portrait: np.ndarray, detector: Detector) -> None:
    folder = detector.path.parent
    pair = [
        make_detector(DetectorConfig(name=detector.name, precision=precision, threads=1), folder)
        for precision in ("bf16", "f32")
    ]
    for size in (22, 50, 180):
        pixels = placed(portrait, size, 960, 540, 400 + size, 270)
        low, high = (best(one, pixels) for one in pair)
        assert iou(low.box, high.box) > 0.85
        assert abs(low.score - high.score) < 0.06


def test_the_input_is_chosen_for_the_smallest_face(detector: Detector) -> None:
    for width, height in ((1920, 1080), (3840, 2160), (640, 360), (176, 144), (360, 1280)):
        sizes = detector.sizes(width, height)
        scale = sizes[0][0] / width
        assert scale * detector.config.smallest_face > 0.9 * detector.smallest_input
        assert all(side % 32 == 0 for size in sizes for side in size)
        widths = [size[0] for size in sizes]
        assert all(a / b < 5 for a, b in itertools.pairwise(widths)), "a size is missed"
        assert len(sizes) == 1 or max(sizes[-1]) <= 2 * 320
    assert len(detector.sizes(1920, 1080)) == 2
    assert len(detector.sizes(176, 144)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_a_fault(
    detector: Detector, portrait: np.ndarray, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, engine) -> None:
            self.engine, self.outputs = engine, engine.outputs

        def __call__(self, inputs):
            answer = self.engine(inputs)
            answer[-1].flat[7] = value
            return answer

    make = detector._engine
    monkeypatch.setattr(detector, "_engines", {})
    monkeypatch.setattr(detector, "_engine", lambda *shape: Broken(make(*shape)))
    with pytest.raises(DetectorFault, match="not finite"):
        detector.detect(Still(portrait))


def test_faces_outside_the_frame_are_a_fault() -> None:
    marks = np.zeros((1, 5, 2))
    for box in ([-9e5, 0, -8e5, 9], [5.0, 5, 5, 9], [0, 0, 9e5, 9]):
        with pytest.raises(DetectorFault):
            network._check(np.array([box], float), marks, np.array([0.5]), 640, 360)
    with pytest.raises(DetectorFault):
        network._check(np.array([[0.0, 0, 9, 9]]), marks, np.array([1.5]), 640, 360)


def test_a_thumbnail_of_another_size_is_a_fault(detector: Detector) -> None:
    still = Still(np.zeros((100, 100, 3), np.uint8))
    still.thumbnail = lambda w, h: np.zeros((h, w), np.uint8)
    with pytest.raises(DetectorFault, match="thumbnail"):
        detector.detect(still)


def test_one_candidate_stays_for_each_face() -> None:
    boxes = np.array(
        [[0, 0, 100, 100], [4, 0, 104, 100], [30, 30, 50, 50], [300, 0, 400, 100]], float
    )
    marks = np.zeros((4, 5, 2))
    kept, _, scores = merge(boxes, marks, np.array([0.8, 0.8, 0.3, 0.5]))
    assert scores.tolist() == [0.8, 0.5]
    assert kept[0].tolist() == [2, 0, 102, 100]
    none = merge(boxes[:0], marks[:0], np.zeros(0))
    assert len(none[0]) == 0


def test_missing_weights_are_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> bytes:
        raise ModelError("there is no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(registry._fetch, "fetch", offline)
    with pytest.raises(ModelError, match="--models-dir"):
        make_detector(DetectorConfig(), tmp_path)


@pytest.mark.parametrize("quarter_turns", [0, 1])
@pytest.mark.parametrize("size", [45, 90, 300])
def test_a_glance_finds_large_faces_where_it_was_asked_to(
    detector: Detector, portrait: np.ndarray, size: int, quarter_turns: int
) -> None:
    wide = placed(portrait, size, 1920, 1080, 1300, 500)
    frame = Still(np.ascontiguousarray(np.rot90(wide, -quarter_turns)))
    closely = best(detector, frame.pixels, quarter_turns)
    centre, half = (closely.box[:2] + closely.box[2:]) / 2, closely.box[2:] - closely.box[:2]
    region = np.concatenate([centre - half, centre + half])[None]
    seen = detector.glance(frame, quarter_turns, region, 40.0)
    assert seen.areas is not None
    assert (seen.areas[0, :2] <= centre).all()
    assert (centre <= seen.areas[0, 2:]).all()
    assert max(iou(face.box, closely.box) for face in seen.faces if face.score > 0.2) > 0.5


def test_a_glance_costs_less_than_a_look_and_no_less_than_it_saves(
    detector: Detector, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = Still(placed(portrait, 200, 1920, 1080, 900, 500))
    regions = np.array([[600.0, 200, 1200, 800]])
    pixels: list[int] = []
    run = detector._candidates

    def counted(images):
        pixels.append(images.size)
        return run(images)

    monkeypatch.setattr(detector, "run", counted)
    detector.look(frame, 0, regions)
    look = sum(pixels)
    pixels.clear()
    detector.glance(frame, 0, regions, 40.0)
    assert sum(pixels) < 0.6 * look
    # At the size of the smallest face a glance would be a look: it is one.
    pixels.clear()
    detector.glance(frame, 0, regions, detector.config.smallest_face)
    assert sum(pixels) == look


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 9, 11])
def test_images_in_batches_are_seen_as_each_by_itself(
    detector: Detector, portrait: np.ndarray, count: int
) -> None:
    images = np.stack([placed(portrait, 40 + 4 * k, 128, 128, 64, 60 + k) for k in range(count)])
    together = detector._candidates(images)
    assert len(together) == count
    for image, (boxes, landmarks, scores) in zip(images, together, strict=True):
        [(alone, marks, score)] = detector._candidates(image[None])
        best_there, best_here = scores.argmax(), score.argmax()
        assert abs(scores.max() - score.max()) < 0.03
        assert np.abs(boxes[best_there] - alone[best_here]).max() < 1.0
        assert np.abs(landmarks[best_there] - marks[best_here]).max() < 1.0
