"""New faces as a population: vectors and pictures whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon.detection.types import Face
from stream_anon.evaluation.looks import faces as looked
from stream_anon.evaluation.looks import population, worst
from stream_anon.evaluation.looks.faces import Faces, Networks, Views
from stream_anon.evaluation.looks.marks import Mark
from stream_anon.geometry import TEMPLATE

NONE = np.zeros((0, 0), np.float32)


def crop(value: int, side: int = 130) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def mark(frame: int = 0, **fields) -> Mark:
    values = {
        "frame": frame, "size": 60.0, "turn": 5.0, "present": (1.0, 1.0), "mouth": (0.1, 0.1),
        "eyes": (0.3, 0.3), "apart": 2.0, "detail": 1.0, "seam": 1.0,
        "crops": (crop(50), crop(200)), "again": crop(52),
    }  # fmt: skip
    return Mark(**(values | fields))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(shift: float, count: int = 12, each: int = 12, seed: int = 0) -> list[Faces]:
    """Tracks whose new faces are ``shift`` away from the real ones."""
    rng = np.random.default_rng(seed)
    found = []
    for person in range(count):
        clear, new = (
            unit(rng.normal(0, 1, 6) + 0.2 * rng.normal(0, 1, (each, 6)) + move)
            for move in (0.0, shift)
        )
        made = Faces(f"clip {person}", f"clip {person}", {"net": (clear, new)})
        marked = new + np.float32(0.0)
        made.views[48] = Views(clear, marked, clear, clear)
        found.append(made)
    return found


def test_other_people_are_as_far_as_other_people_and_strange_ones_further():
    new, floor = population.distances(people(0.0), "net")
    assert 0.5 < new / floor < 2.0
    strange, same_floor = population.distances(people(8.0), "net")
    assert strange > 2 * same_floor
    table, missing = population.frechet_table({"a": people(8.0)}, {}, ["net"])
    assert [row[:2] for row in table.rows] == [["clips", "a"], ["clips", "clear (floor)"]]
    assert table.rows[0][2] > 2 * table.rows[1][2]
    assert missing == []


def test_too_few_faces_are_no_distance():
    table, missing = population.frechet_table({"a": people(0.0, 4, 2)}, {}, ["net"])
    assert table.rows == []
    assert "fewer than 20 faces" in missing[0]
    with pytest.raises(ValueError, match="no other people"):
        population.distances(people(0.0, 1), "net")


def test_the_critic_is_asked_where_there_are_faces_and_says_where_not():
    table, missing = population.critic_table({"a": people(8.0)}, {})
    rows = {tuple(row[:2]): row[2:] for row in table.rows}
    assert rows["clips", "a"][0].value > 0.8
    # Where both sides are the same pictures, every critic is right about one of two.
    assert rows["clips", population.CHANCE][0].value == 0.5
    assert rows["clips", "a"][1] is rows["clips", "a"][2] is None
    assert "critic, clips, a, 192 px: no face has that many pixels" in missing
    _, missing = population.critic_table({"a": people(8.0, 1)}, {})
    assert any("48 px: faces of one clip" in why for why in missing)


def test_stills_are_parted_by_person_and_teach_the_clips_critic():
    few, many = people(8.0, 2, 1), people(8.0, 40, 3, seed=4)
    table, _ = population.critic_table({"a": few}, {"a": many})
    rows = {tuple(row[:2]): row[2:] for row in table.rows}
    assert rows["stills", "a"][0].count == 120
    assert rows["clips", "a"][0].count == 2
    assert rows["clips", "a"][0].value == 1.0
    assert rows["stills", "a"][2] is None


def test_the_lowest_track_is_named_and_a_steady_face_is_one():
    rng = np.random.default_rng(0)
    steady = np.repeat(unit(rng.normal(0, 1, (1, 8))), 10, axis=0)
    other = unit(rng.normal(0, 1, (10, 8)))
    tracks = [
        Faces("one", "one", {"net": (steady, steady)}, {}, [0.04, 0.06], [0.03]),
        Faces("two", "two", {"net": (steady, other)}, {}, [0.2], [0.03]),
    ]
    table = population.steadiness_table({"a": tracks}, ["net"], "toy")
    everything, one, two = table.rows
    assert [row[1] for row in table.rows] == ["all", "one", "two"]
    assert one[3].value == one[4] == pytest.approx(1.0)
    assert everything[4] == two[4] < 0.5
    assert everything[5].value == pytest.approx(0.1)
    assert everything[6].value == pytest.approx(0.03)


class Half:
    """A detector that puts the landmarks of bright faces a tenth of the eyes' distance aside."""

    name = "half"

    def aligned(self, image, side=92.0):
        move = 0.1 * np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) if image.mean() > 100 else 0.0
        return Face(np.array([20.0, 20.0, 110.0, 120.0]), TEMPLATE + np.array([move, 0.0]), 0.9)


class Mean:
    """Embeds a face as its level."""

    name = "mean"

    def embed(self, images):
        level = images.reshape(len(images), -1).mean(axis=1, dtype=np.float64)
        return unit(np.stack([level, np.full(len(level), 100.0)], axis=1))


def pyramid(pictures):
    return pictures.reshape(len(pictures), -1).mean(axis=1, keepdims=True).astype(np.float32)


def test_a_track_is_read_through_the_same_encoder_and_at_the_sizes_it_has():
    marks = [mark(k) for k in range(50)]
    networks = Networks([Mean()], pyramid, Half())
    found = networks.track("clip", "person", marks, controls=True)
    clear, new = found.embeddings["mean"]
    assert len(clear) == len(new) == looked.TAKEN
    assert clear[0, 0] / clear[0, 1] == pytest.approx(0.52)
    assert new[0, 0] / new[0, 1] == pytest.approx(2.0)
    assert found.five == pytest.approx([0.1] * looked.TAKEN)
    assert found.own == pytest.approx([0.0] * looked.TAKEN)
    # 130 px of the crop are 98 of the aligned face space.
    assert sorted(found.views) == [48, 96]
    seen = found.views[96]
    assert [v[0, 0] for v in (seen.source, seen.real, seen.new)] == [50.0, 52.0, 200.0]
    bare = networks.track("clip", "person", marks, controls=False)
    assert len(bare.views[48].source) == len(bare.views[48].soft) == 0


def test_a_crop_is_cut_back_to_the_aligned_face_space():
    whole = np.zeros((338, 338, 3), np.uint8)
    # 256 px are the aligned face space here; its middle is the crop's.
    cv2.circle(whole, (169, 169), 20, (255, 255, 255), -1)
    made = looked.plain(whole, 128)
    y, x = np.nonzero(made[..., 0] > 127)
    assert abs(x.mean() - 63.5) < 1.5
    assert abs(y.mean() - 63.5) < 1.5
    assert 18 <= np.ptp(x) <= 22


def test_the_worst_track_comes_first_and_the_sheet_is_a_picture(tmp_path):
    good = worst.worst_of("street", 0, [mark(k) for k in range(9)])
    gone = [mark(k, present=(1.0, float(k != 5)), apart=20.0 * (k == 7)) for k in range(9)]
    bad = worst.worst_of("head", 3, gone)
    assert bad.frames[:2] == [5, 7]
    made = worst.sheet([good, bad], "a")
    assert made.labels[0].startswith("head, face 3 of 9 frames: clear, frames 5, 7")
    assert len(made.rows) == len(made.labels) == 4
    assert made.rows[0][0].max() == 50
    assert made.rows[1][0].min() == 200
    worst.write([made], tmp_path / "sheet.png")
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture.shape[1] >= worst.WORST * worst.SIDE
    worst.write([], tmp_path / "empty.png")
    assert cv2.imread(str(tmp_path / "empty.png")) is not None
