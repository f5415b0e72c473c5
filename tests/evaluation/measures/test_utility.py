from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_anon.evaluation.data import clips
from stream_anon.evaluation.measures import attributes, face_shape, linkage, motion, utility
from stream_anon.evaluation.measures.dial import rising
from stream_anon.geometry import TEMPLATE


def face_track(
    clear: np.ndarray, new: np.ndarray, clear_before: np.ndarray, new_before: np.ndarray
):
    n = len(clear)
    return clips.FaceTrack(
        "clip", 0, np.arange(n), np.full(n, 60.0), np.tile(TEMPLATE, (n, 1, 1)),
        clear, new, clear_before, new_before,
    )  # fmt: skip


def texture(seed: int = 0) -> np.ndarray:
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3.0)


def test_frechet_distance_of_two_gaussians_is_the_known_one():
    rng = np.random.default_rng(0)
    a = rng.normal(0.0, 1.0, (60_000, 3)).astype(np.float32)
    b = (rng.normal(0.0, 2.0, (60_000, 3)) + np.array([1.0, 0.0, 0.0])).astype(np.float32)
    # |m|^2 + sum (1 - 2)^2 over three dimensions.
    assert utility.frechet_distance(a, b) == pytest.approx(4.0, abs=0.1)
    assert utility.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="embeddings"):
        utility.frechet_distance(a, b[:, :2])


def test_landmark_error_is_in_interocular_units():
    span = face_shape.interocular(TEMPLATE)
    moved = TEMPLATE + np.array([0.1 * span, 0.0])
    assert face_shape.landmark_error(TEMPLATE, moved) == pytest.approx(0.1)


def test_roll_is_found_and_leaves_the_other_proxies_alone():
    angle = np.radians(20.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = (TEMPLATE - 64.0) @ turn.T * 1.7 + 30.0
    one, two = face_shape.proxies(np.stack([TEMPLATE, turned]))
    assert two[0] - one[0] == pytest.approx(20.0)
    assert two[1:] == pytest.approx(one[1:])


def test_yaw_follows_the_nose():
    moved = TEMPLATE.copy()
    moved[2, 0] += 10.0
    one, two = face_shape.proxies(np.stack([TEMPLATE, moved]))
    assert two[1] - one[1] == pytest.approx(10.0 / face_shape.interocular(TEMPLATE), rel=0.02)
    assert np.isnan(face_shape.correlation(np.ones(5), np.arange(5.0)))


def test_a_new_face_that_moves_with_the_old_one_does_not_flicker():
    big, other = texture(), texture(1)
    clear = np.stack([big[:128, i : i + 128] for i in range(6)])
    new = np.stack([other[:128, i : i + 128] for i in range(6)])
    before, new_before = clear[[0, 0, 1, 2, 3, 4]], new[[0, 0, 1, 2, 3, 4]]
    rng = np.random.default_rng(0)
    # Camera noise, so that the original has a change of its own.
    noisy = np.clip(clear + rng.normal(0, 3, clear.shape), 0, 255).astype(np.uint8)
    moving = np.clip(new + rng.normal(0, 3, new.shape), 0, 255).astype(np.uint8)
    still_ratio = motion.flicker(face_track(noisy, moving, before, new_before))
    assert 0.7 < still_ratio < 1.3
    jumping = new.copy()
    jumping[::2] = np.clip(jumping[::2].astype(int) + 40, 0, 255)
    assert motion.flicker(face_track(noisy, jumping, before, new_before)) > 3.0


def test_warping_by_a_flow_undoes_a_shift():
    big = texture().astype(np.float32)
    now, before = big[:, 2:130], big[:, :128]
    flow = np.zeros((*now.shape[:2], 2), np.float32)
    flow[..., 0] = 2.0
    assert np.abs(motion.warp(before, flow) - now)[:, :120].max() < 1e-3
    assert motion.consistent(flow, -flow).all()
    assert not motion.consistent(flow, flow).any()


def test_cosine_along_a_track_by_hand():
    rows = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    assert motion.along(rows) == pytest.approx(1 / 3)


def test_averaging_frames_brings_a_hidden_direction_out():
    rng = np.random.default_rng(0)
    truth = np.zeros(64, np.float32)
    truth[0] = 1.0
    noisy = 0.2 * truth + rng.normal(0, 1, (400, 64)).astype(np.float32) / 8
    found = [float(linkage.averaged(noisy, n) @ truth) for n in (1, 8, 64, None)]
    assert found[-1] > 0.9 > found[0]
    assert found[2] > found[1]
    assert np.array_equal(linkage.averaged(noisy, 400), linkage.averaged(noisy, None))


def test_linked_clips_are_counted_and_told_apart():
    rng = np.random.default_rng(0)
    owners = np.array([0, 0, 1, 1, 2])
    own = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    tracks = [np.repeat(own[[o]], 10, axis=0) for o in owners]
    clips = np.array(list("abcde"))
    cells = linkage._linked(tracks, owners, clips)
    assert cells is not None
    assert cells[:2] == [2, 8]
    assert all(cell.value == 0.0 for cell in cells[2:])
    assert linkage._linked(tracks[:2], owners[:2], clips[:2]) is None
    # Two runs over one clip show the same wall: they are no pair.
    twice = linkage._linked(tracks, owners, np.array(list("aacde")))
    assert twice is not None
    assert twice[:2] == [1, 8]


def test_a_large_face_is_averaged_before_it_is_cut():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    transform = np.array([[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]])
    crop = clips.cut(stripes, transform)
    assert 120 < crop[10:-10, 10:-10].mean() < 136
    assert crop[10:-10, 10:-10].std() < 8
    assert clips.overlap(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)


def test_a_cut_lands_where_the_transform_says():
    image = np.zeros((400, 400, 3), np.uint8)
    image[198:206, 298:306] = 255
    transform = np.array([[0.25, 0.0, -10.0], [0.0, 0.25, 5.0]])
    crop = clips.cut(image, transform).astype(float).sum(axis=2)
    y, x = np.unravel_index(crop.argmax(), crop.shape)
    assert abs(x - (0.25 * 301.5 - 10.0)) <= 1
    assert abs(y - (0.25 * 201.5 + 5.0)) <= 1


def test_attribute_labels_come_from_names():
    rows, labels = attributes.labels_of(["25_0_1_x.jpg", "junk.jpg", "61_1_3_y.jpg", "a_1_2.jpg"])
    assert rows.tolist() == [0, 2]
    assert [v.tolist() for v in labels] == [[0, 3], [0, 1], [1, 3]]


def test_a_probe_learns_what_is_linear_however_rare():
    rng = np.random.default_rng(0)
    labels = (rng.random(2000) < 0.05).astype(np.int64)
    x = rng.normal(0, 0.3, (2000, 8)).astype(np.float32)
    x[:, 0] += labels
    found = attributes.learn(x, labels)(x)
    assert (found[labels == 1] == 1).mean() > 0.85
    assert (found[labels == 0] == 0).mean() > 0.85


def test_kappa_by_hand():
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert attributes.kappa(a, b) == pytest.approx(0.0)
    assert attributes.kappa(a, a) == 1.0
    assert attributes.kappa(a * 0, a * 0) == 1.0


def test_a_dial_that_falls_is_called_out():
    steps = {
        ("net", "independent"): [(0.0, 0.1)],
        ("net", "vmf"): [(8.0, 0.2), (1.0, 0.105)],
        ("net", "krr"): [(1.0, 0.3), (8.0, 0.05)],
        ("net", "level"): [(1.0, 0.098), (8.0, 0.11)],
    }
    found = {row[1]: row[-1] for row in rising(steps).rows}
    assert found == {"vmf": "yes", "krr": "NO", "level": "yes"}


class Colour:
    """An attacker that knows people by their colour."""

    name = "colour"

    def embed(self, images):
        mean = images.reshape(len(images), -1, 3).astype(np.float32).mean(axis=1) - 127.0
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


def test_linkage_says_what_the_attacker_can_do_in_the_clear():
    colours = [(250, 20, 20), (250, 20, 20), (20, 250, 20), (20, 250, 20)]
    tracks = []
    for number, colour in enumerate(colours):
        clear = np.full((9, 128, 128, 3), colour, np.uint8)
        new = np.full((9, 128, 128, 3), (20, 20, 250 - number), np.uint8)
        made = face_track(clear, new, clear, new)
        tracks.append(replace(made, clip=f"clip{number}", person=number // 2))
    section = linkage.linkage([Colour()], {"a": tracks}, {"a": "a"}, 2)
    against, linked = section.tables
    assert [row[0] for row in against.rows] == ["clear to clear (ceiling)", "a"]
    assert against.rows[0][2].value == linked.rows[0][3].value == 0.0
    # Everybody is blue in the other, so nobody is known.
    assert against.rows[1][2].value > 0.3
    # One person alone is no ceiling, and a table of a ceiling alone is none.
    assert linkage.linkage([Colour()], {"a": tracks[:2]}, {"a": "a"}, 1).tables == []
