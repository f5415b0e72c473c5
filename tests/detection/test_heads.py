"""Heads: around faces, above bodies, whichever way up the frame is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.detection import heads
from stream_anon.detection.heads import SIDE, around, head_of, tiles
from stream_anon.detection.oriented import stored, upright
from stream_anon.detection.types import Face
from stream_anon.errors import DetectorFault
from stream_anon.geometry import TEMPLATE


class Plain:
    """A view of an array."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def thumbnail(self, width, height):
        assert (width, height) == (self.width, self.height)
        return self.pixels


@given(st.integers(0, 3), st.integers(4, 40), st.integers(4, 40), st.data())
def test_a_box_of_the_upright_frame_finds_back(turns, width, height, data):
    """A marked pixel of the stored frame, found upright, is where it was."""
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y, x] = 255
    turned = upright(Plain(pixels), turns, width, height)
    v, u = (int(k[0]) for k in np.nonzero(turned[..., 0]))
    box = stored(np.array([u, v, u + 1, v + 1], np.float64), turns, width, height)
    assert box.tolist() == [x, y, x + 1, y + 1]


@given(st.integers(32, 700), st.integers(32, 700), st.sampled_from(heads.PARTS))
def test_squares_leave_nothing_of_a_frame_out(width, height, part):
    side = min(width, height) // part
    seen = np.zeros((height, width), bool)
    for x, y, length in tiles(width, height, side):
        assert length == side
        assert 0 <= x <= width - side
        assert 0 <= y <= height - side
        seen[y : y + side, x : x + side] = True
    assert seen.all()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("known", [True, False], ids=["landmarks", "box alone"])
def test_a_head_reaches_over_the_face_to_where_the_hair_is(turns, known):
    """Upright for the viewer: more above the eyes than below the mouth."""
    points = TEMPLATE * 0.5 + 100.0
    low, high = np.array([110.0, 107.0]), np.array([154.0, 163.0])
    box = np.concatenate([low, high])
    for _ in range(turns):  # as numpy.rot90 back, about the frame's corner
        points = np.stack([400.0 - points[:, 1], points[:, 0]], axis=1)
        box = np.array([400.0 - box[3], box[0], 400.0 - box[1], box[2]])
    face = Face(box, points if known else None, 0.9)
    head = head_of(face, turns).box
    assert (head[:2] < box[:2]).all()
    assert (head[2:] > box[2:]).all()
    reach = {0: box[1] - head[1], 1: head[2] - box[2], 2: head[3] - box[3], 3: box[0] - head[0]}
    longer = float((box[2:] - box[:2]).max())
    assert reach[turns] == max(reach.values())
    assert reach[turns] > 0.5 * longer


def test_of_a_body_whose_face_is_seen_there_is_one_head():
    face = Face(np.array([100.0, 100.0, 140.0, 150.0]), None, 0.9)
    own = Face(np.array([85.0, 75.0, 155.0, 150.0]), None, 0.8)
    other = Face(np.array([300.0, 75.0, 370.0, 150.0]), None, 0.8)
    found = around([face], [own, other])
    assert [head.score for head in found] == [0.9, 0.8]
    assert found[1].box.tolist() == other.box.tolist()


class Network:
    """Answers as it is told, in the place of the network."""

    def __init__(self, values, logits):
        self.answer = [values, logits]

    def __call__(self, rows):
        assert rows.shape == (1, SIDE, SIDE, 3)
        assert rows.min() >= -1.0
        assert rows.max() <= 1.0
        return self.answer


def made(values, logits):
    bodies = heads.BodyHeads.__new__(heads.BodyHeads)
    bodies._net, bodies._anchors = Network(values, logits), heads.anchors()
    return bodies


def test_a_head_stands_above_the_shoulders():
    values = np.zeros((1, 2254, 12), np.float32)
    logits = np.full((1, 2254, 1), -9.0, np.float32)
    cell = 800
    centre = heads.anchors()[cell] * SIDE
    hips, shoulders = np.array([112.0, 160.0]), np.array([112.0, 100.0])
    values[0, cell, 4:6] = hips - centre
    values[0, cell, 8:10] = shoulders - centre
    logits[0, cell] = 4.0
    found = made(values, logits).detect(np.zeros((448, 448, 3), np.uint8), 2.0)
    # In a square of 448 pixels, each of them two of the frame: the network's 224 times four.
    assert found
    box = next(head.box for head in found if abs(head.box[0] + head.box[2] - 2 * 448) < 1)
    middle = (box[1] + box[3]) / 2 / 4
    assert middle == pytest.approx(100.0 - heads.ABOVE * 60.0, abs=0.5)
    assert (box[3] - box[1]) / 4 == pytest.approx(2 * heads.RADIUS * 60.0, abs=0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_a_fault(value):
    values = np.full((1, 2254, 12), value, np.float32)
    logits = np.zeros((1, 2254, 1), np.float32)
    with pytest.raises(DetectorFault, match="body_pose"):
        made(values, logits).detect(np.zeros((240, 320, 3), np.uint8), 1.0)


@pytest.mark.shared
def test_the_network_finds_heads_from_behind(shared: Path):
    """Two people who turn their backs, from head to foot in view."""
    import av

    from stream_anon.errors import ModelError

    try:
        bodies = heads.BodyHeads()
    except ModelError as error:
        pytest.skip(f"the network is not here: {error}")
    middles = {300: (418, 30), 600: (440, 15)}
    with av.open(str(shared / "media/room_mostly_empty_768p.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in middles:
                bgr = frame.to_ndarray(format="bgr24")
                found = bodies.detect(bgr, 1.0)
                scale = bgr.shape[1] / 697
                x, y = (v * scale for v in middles[index])
                assert any(
                    head.box[0] < x < head.box[2]
                    and head.box[1] < y < head.box[3]
                    and head.score >= heads.FIRM
                    for head in found
                ), index
            if index == 600:
                break
