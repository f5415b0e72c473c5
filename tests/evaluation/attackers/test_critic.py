"""The critic: told what is coarser, blurred or drawn apart from what is of the same kind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_anon.errors import ModelError
from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers import critic
from stream_anon.evaluation.attackers.critic import Pyramid
from stream_anon.evaluation.attackers.loading import load_recognisers
from stream_anon.evaluation.attackers.recogniser import AttackerSpec, Recogniser
from stream_anon.evaluation.data.face_set import read_faces
from stream_anon.evaluation.reporting.files import shipped_attackers

PEOPLE, EACH = 16, 4


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory) -> Pyramid:
    """Three convolutions that nobody trained."""
    import openvino
    from openvino import opset13 as op

    file = tmp_path_factory.mktemp("net") / "net.xml"
    rng = np.random.default_rng(0)
    images = op.parameter([-1, 3, 48, 48], np.float32, name="x")
    images.output(0).set_names({"x"})
    flow, given = images, 3
    for width in (12, 16, 24):
        kernel = rng.normal(0, 1 / np.sqrt(9 * given), (width, given, 3, 3)).astype(np.float32)
        flow = op.convolution(flow, kernel, [2, 2], [1, 1], [1, 1], [1, 1])
        flow, given = op.relu(flow), width
    mean = op.reduce_mean(flow, np.array([2, 3]), keep_dims=False)
    openvino.save_model(openvino.Model([mean], [images]), file, compress_to_fp16=False)
    spec = AttackerSpec(
        name="net", file="net.xml", input="x", size=48, dimension=24,
        mean=(127, 127, 127), std=(64, 64, 64),
    )  # fmt: skip
    return Pyramid(Recogniser(spec, file))


def faces(side: int = 48, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Pictures of people: colours of their own, textures of the same kind."""
    rng = np.random.default_rng(seed)
    pictures, owners = [], []
    for person in range(PEOPLE):
        colour = rng.uniform(60, 190, 3)
        for _ in range(EACH):
            texture = rng.normal(0, 1, (side, side, 3))
            wide = cv2.GaussianBlur(rng.normal(0, 1, (side, side, 3)), (0, 0), side / 10)
            picture = colour + 14 * texture + 20 * wide / wide.std()
            pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
            owners.append(f"person {person}")
    return np.stack(pictures), owners


def pixelated(pictures: np.ndarray, cells: int = 12) -> np.ndarray:
    side = pictures.shape[1]
    small = [cv2.resize(p, (cells, cells), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.stack([cv2.resize(p, (side, side), interpolation=cv2.INTER_NEAREST) for p in small])


@pytest.mark.parametrize("side", [48, 100])
def test_what_is_pixelated_or_blurred_is_told(pyramid, side):
    real, owners = faces(side)
    seen = pyramid(real)
    for spoilt in (
        pixelated(real), np.stack([cv2.GaussianBlur(p, (0, 0), side / 40) for p in real]),
    ):  # fmt: skip
        found = critic.accuracy(seen, pyramid(spoilt), owners)
        assert found.value > 0.95
        assert found.low > 0.9
        assert found.count == PEOPLE * EACH


def test_two_sets_of_the_same_kind_are_not_told(pyramid):
    real, owners = faces()
    others, _ = faces(seed=9)
    found = critic.accuracy(pyramid(real), pyramid(others), owners)
    assert 0.3 < found.value < 0.7
    assert found.low <= 0.5 + 0.1
    same = critic.accuracy(pyramid(real), pyramid(real), owners)
    assert same.value == 0.5


def test_nobody_is_tested_by_a_critic_that_has_seen_him():
    # The kind can be told by what is the person's own only: nothing of it is there in others.
    rng = np.random.default_rng(0)
    own = np.repeat(np.eye(20, dtype=np.float32), 4, axis=0)
    real = own * 5 + rng.normal(0, 0.01, own.shape).astype(np.float32)
    new = -own * 5 + rng.normal(0, 0.01, own.shape).astype(np.float32)
    owners = [f"person {k // 4}" for k in range(80)]
    assert critic.accuracy(real, new, owners).value < 0.75
    # Parted by picture instead of by person it would be told nearly always.
    assert critic.accuracy(real, new, [str(k) for k in range(80)]).value > 0.95


def test_more_people_to_learn_from_help_and_are_not_tested():
    rng = np.random.default_rng(0)
    few = rng.normal(0, 4, (2, 40)).astype(np.float32)
    many = rng.normal(0, 4, (300, 40)).astype(np.float32)
    mark = np.zeros(40, np.float32)
    mark[3] = 14.0
    owners = ["a", "b"]
    alone = critic.accuracy(few, few + mark, owners)
    helped = critic.accuracy(few, few + mark, owners, (many, many + mark))
    assert helped.count == alone.count == 2
    assert helped.value == 1.0
    with pytest.raises(ValueError, match="held out"):
        critic.accuracy(few, few + mark, ["a", "a"])


def test_windows_show_every_pixel_at_its_own_size():
    picture = np.arange(192 * 192 * 3, dtype=np.uint32).reshape(1, 192, 192, 3) % 251
    views = critic.windows(picture.astype(np.uint8), 112)
    assert [v.shape for v in views] == [(1, 112, 112, 3)] * 4
    assert np.array_equal(views[0][0], picture[0, :112, :112])
    assert np.array_equal(views[3][0], picture[0, 80:, 80:])
    (small,) = critic.windows(np.zeros((2, 48, 48, 3), np.uint8), 112)
    assert small.shape == (2, 112, 112, 3)


def test_a_network_without_layers_is_refused(tmp_path: Path, toy_network):
    toy_network(tmp_path / "toy.xml", 16)
    spec = AttackerSpec(name="toy", file="toy.xml", input="x", size=16, dimension=3)
    with pytest.raises(ModelError, match="no convolution"):
        Pyramid(Recogniser(spec, tmp_path / "toy.xml"))


@pytest.mark.shared
def test_real_faces_are_told_from_spoilt_ones_and_not_from_other_real_ones(shared: Path):
    path = next(p for p in shipped_attackers() if p.stem == "mobileface_v2")
    (recogniser,) = load_recognisers([path], shared / "models")
    real_pyramid = Pyramid(recogniser)
    faces = read_faces(shared / "faces" / "celeba_wild_128.tar")
    owners = faces.people()
    rows = np.concatenate([np.flatnonzero(owners == person)[:2] for person in range(50)])
    first, second = (faces.images(rows[k::2]) for k in (0, 1))
    names = [str(person) for person in range(50)]
    seen = real_pyramid(first)
    # Another picture of each person is of the same kind.
    assert 0.35 < critic.accuracy(seen, real_pyramid(second), names).value < 0.65
    for spoilt in (pixelated(first, 16), np.stack([cv2.blur(p, (5, 5)) for p in first])):
        assert critic.accuracy(seen, real_pyramid(spoilt), names).value > 0.95


def test_an_interval_counts_clips_not_frames():
    right = np.concatenate([np.ones(500), np.zeros(500)])
    wide = scores.grouped_share(right, ["a"] * 500 + ["b"] * 500)
    assert (wide.low, wide.high) == (0.0, 1.0)
    narrow = scores.grouped_share(right, [str(k) for k in range(1000)])
    assert wide.value == narrow.value == 0.5
    assert narrow.high - narrow.low < 0.08
    with pytest.raises(ValueError, match="no share"):
        scores.grouped_share(np.array([]), [])
    with pytest.raises(ValueError, match="no share"):
        scores.grouped_share(np.array([0.5, 1.5]), ["a", "b"])
