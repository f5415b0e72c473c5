"""How a label's boxes are covered, and that each label and method gets its own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.align import align
from stream_anon.config import FaultConfig, MethodConfig
from stream_anon.errors import AnalysisFault, ConfigError, GateError, MethodFault
from stream_anon.geometry import ALIGNED_SIDE, apply
from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.methods import Blur, Fill, Pixelate
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.shapes import DRAWN_PAD, SHAPES
from stream_anon.pipeline.painting.targets import other_methods, place
from stream_anon.regions import FrameKey, Region, Regions, bounds
from stream_anon.track_state import Part
from tests.fakes import MemoryFrame, detail, noise
from tests.media.clips import noise_frame

STOP, STEP = FaultConfig(policy="stop"), FaultConfig(policy="step-down")
COLOUR = (10, 200, 30)


def drawn(track=1, box=(60.0, 50.0, 160.0, 120.0), **rest):
    return Region(str(track), "region", box, None, 1.0, "edited", **rest)


def face(track=1, box=(100.0, 80.0, 150.0, 140.0), **rest):
    return Region(str(track), "face", box, None, 0.9, "detected", **rest)


def regions(*items, **rest):
    return Regions(FrameKey("0", 0, 0), items, **rest)


def yuv(width=320, height=240, pix_fmt="yuv420p"):
    return CpuFrame(noise_frame(width, height, pix_fmt))


def luma(frame):
    return np.array(frame.luma(1), np.int32)


def inside(corners, width, height):
    """Samples whose centres lie in a polygon."""
    mask = np.zeros((height, width), np.uint8)
    outline = np.array(corners, np.float32).reshape(-1, 1, 2)
    for y in range(height):
        for x in range(width):
            if cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0:
                mask[y, x] = 1
    return mask.astype(bool)


coordinate = st.floats(-40, 200)


@st.composite
def triangles(draw):
    a, b, c = (draw(st.tuples(coordinate, coordinate)) for _ in range(3))
    area = abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) / 2
    x0, y0, x1, y1 = bounds((a, b, c))
    if area < 20 or x1 <= 1 or y1 <= 1 or x0 >= 159 or y0 >= 119:
        a, b, c = (10.0, 10.0), (100.0, 20.0), (30.0, 90.0)
    return a, b, c


@settings(deadline=None)
@given(triangles())
def test_every_sample_of_a_polygon_is_painted_and_little_beyond(corners):
    frame = yuv(160, 120)
    before = luma(frame)
    item = drawn(box=bounds(corners), polygon=corners)
    Compositor(Fill(COLOUR), STOP).paint(frame, regions(item))
    after = luma(frame)
    area = inside(corners, 160, 120)
    painted = after[area]
    assert painted.size == 0 or (painted == painted.flat[0]).all()
    # Beyond it at most what the growth and the cells of the mask add.
    size = max(b - a for a, b in zip(bounds(corners)[:2], bounds(corners)[2:], strict=True))
    reach = int(np.ceil(3 + 0.04 * size + DRAWN_PAD[1]))
    near = cv2.dilate(area.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    # A corner that lies outside of the frame reaches in, too.
    if area.any() and min(min(c) for c in corners) > reach:
        assert (before[~near] == after[~near]).all()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "gray"])
@pytest.mark.parametrize(
    "box",
    [(20.0, 30.0, 25.0, 33.0), (0.0, 0.0, 319.0, 239.0), (-50.0, 100.0, 400.0, 110.0),
     (100.25, 60.5, 101.5, 200.75), (300.0, 220.0, 900.0, 700.0)],
    ids=["small", "the whole frame", "a stripe", "a line", "over the corner"],
)  # fmt: skip
def test_every_sample_of_a_rectangle_is_painted(box, pix_fmt):
    frame = yuv(pix_fmt=pix_fmt)
    Compositor(Fill(COLOUR), STOP).paint(frame, regions(drawn(box=box)))
    after = luma(frame)
    x0, y0 = max(0, int(np.ceil(box[0]))), max(0, int(np.ceil(box[1])))
    x1, y1 = min(319, int(box[2])), min(239, int(box[3]))
    painted = after[y0 : y1 + 1, x0 : x1 + 1]
    assert painted.size
    assert (painted == painted.flat[0]).all()


@pytest.mark.parametrize("method", [Pixelate(), Blur(), Fill()], ids=lambda m: m.name)
def test_what_was_drawn_by_hand_is_painted_by_its_own_method(method):
    raw = noise()
    frame = MemoryFrame(raw.copy())
    compositor = Compositor(Fill(COLOUR), STOP, others={method.name: method})
    cleared = compositor.paint(frame, regions(drawn(method=method.name)))
    assert cleared.level is FallbackLevel.METHOD
    assert cleared.painted == (1,)
    area = frame.rgb[55:115, 65:155]
    assert np.abs(area.astype(int) - raw[55:115, 65:155]).mean() > 15
    assert (frame.rgb[:40] == raw[:40]).all()


def test_without_a_method_of_its_own_it_takes_the_solid_cover_and_not_a_face():
    frame = MemoryFrame(noise())
    Compositor(Pixelate(), STOP).paint(frame, regions(drawn()))
    area = np.zeros(frame.rgb.shape[:2], bool)
    area[55:115, 65:155] = True
    assert detail(frame.rgb, area) < 1.0


def test_faces_take_their_own_methods_in_one_frame():
    frame = MemoryFrame(noise())
    others = {"fill": Fill(COLOUR), "blur": Blur()}
    items = (
        face(1, (20.0, 20.0, 60.0, 70.0)),
        face(2, (120.0, 20.0, 160.0, 70.0), method="fill"),
        drawn(3, (220.0, 20.0, 300.0, 70.0), method="blur"),
        drawn(4, (20.0, 150.0, 90.0, 200.0), method="fill"),
    )
    cleared = Compositor(Pixelate(), STOP, others=others).paint(frame, regions(*items))
    assert cleared.level is FallbackLevel.METHOD
    assert (frame.rgb[45, 140] == COLOUR).all()
    assert (frame.rgb[175, 55] == COLOUR).all()
    assert not (frame.rgb[45, 40] == COLOUR).all()
    assert not (frame.rgb[45, 260] == COLOUR).all()


@pytest.mark.parametrize("fault", [STOP, STEP], ids=["stop", "step-down"])
@pytest.mark.parametrize(
    "item",
    [
        face(method="identity"),
        drawn(method="visual-mixer"),
        Region("1", "elephant", (60.0, 50.0, 160.0, 120.0), None, 1.0, "detected"),
    ],
    ids=["a method that is not here", "a method for faces", "a label that nobody paints"],
)
def test_what_nobody_can_paint_fails_closed(item, fault):
    raw = noise()
    frame = MemoryFrame(raw.copy())
    compositor = Compositor(Pixelate(), fault)
    if fault is STOP:
        with pytest.raises((MethodFault, AnalysisFault)):
            compositor.paint(frame, regions(item))
        return
    cleared = compositor.paint(frame, regions(item))
    assert cleared.level >= FallbackLevel.FILL
    if cleared.level is FallbackLevel.PIXELATED:
        assert (frame.rgb[90:94, 110:114] == frame.rgb[91, 111]).all()
        return
    area = np.zeros(raw.shape[:2], bool)
    area[90:110, 110:140] = True
    assert detail(frame.rgb, area) < 1.0


def test_a_failing_method_of_one_region_steps_down_for_the_whole_frame():
    class Raises(Fill):
        name = "blur"

        def render(self, crops, subjects):
            raise RuntimeError("no such tensor")

    frame = MemoryFrame(noise())
    compositor = Compositor(Pixelate(), STEP, others={"blur": Raises()})
    cleared = compositor.paint(frame, regions(face(), drawn(2, method="blur")))
    assert cleared.level is FallbackLevel.FILL
    area = np.zeros(frame.rgb.shape[:2], bool)
    area[55:75, 65:95] = True
    assert detail(frame.rgb, area) < 1.0


def test_what_is_kept_is_not_painted_but_its_neighbours_are():
    raw = noise()
    frame = MemoryFrame(raw.copy())
    kept = face(1, (20.0, 20.0, 60.0, 70.0), kept="consent")
    items = (kept, face(2, (220.0, 120.0, 260.0, 170.0)))
    cleared = Compositor(Fill(COLOUR), STOP).paint(frame, regions(*items))
    assert cleared.painted == (2,)
    assert (frame.rgb[:90, :90] == raw[:90, :90]).all()
    assert (frame.rgb[145, 240] == COLOUR).all()


def test_a_kept_face_does_not_survive_a_frame_that_is_not_known():
    raw = noise()
    frame = MemoryFrame(raw.copy())
    item = face(1, kept="consent")
    with pytest.raises(AnalysisFault, match="no line"):
        Compositor(Fill(), STOP).paint(frame, regions(item, unknown="no line"))
    cleared = Compositor(Fill(), STEP).paint(frame, regions(item, unknown="no line"))
    assert cleared.level is FallbackLevel.PIXELATED
    assert not (frame.rgb == raw).all(axis=2).mean() > 0.1


def test_regions_of_another_frame_are_refused():
    for key in (FrameKey("0", 1, 0), FrameKey("0", 0, 1), FrameKey("1", 0, 0)):
        with pytest.raises(GateError):
            Compositor(Fill(), STEP).paint(MemoryFrame(noise()), Regions(key, ()))


def test_a_face_is_aligned_as_the_tracker_aligns_it():
    points = ((110.0, 100.0), (140.0, 100.0), (125.0, 115.0), (113.0, 128.0), (137.0, 128.0))
    item = Region("3", "face", (100.0, 80.0, 150.0, 140.0), points, 0.9, "detected")
    for quarter_turns in range(4):
        (found,) = place(regions(item), quarter_turns)
        assert (found.transform == align(np.array(item.box), np.array(points), quarter_turns)).all()


def test_a_drawn_crop_reaches_a_little_over_its_box():
    item = drawn()
    transform = SHAPES["region"].transforms([item], 1)[0]
    corners = apply(transform, np.array([item.box[:2], item.box[2:]]))
    assert (corners > 4).all()
    assert (corners < ALIGNED_SIDE - 5).all()


def test_a_state_of_every_method_is_dropped_with_its_track():
    class Noted(Fill):
        name = "blur"

        def __init__(self):
            super().__init__()
            self.wiped = []
            self.kept = Part(wipe=self.wiped.append)

        def render(self, crops, subjects):
            for subject in subjects:
                self.kept.put(subject.state, f"of {subject.track}")
            return super().render(crops, subjects)

    noted = Noted()
    compositor = Compositor(Fill(), STOP, others={"blur": noted})
    compositor.paint(MemoryFrame(noise()), regions(face(7, method="blur")))
    compositor.end([7])
    assert noted.wiped == ["of 7"]
    assert 7 not in compositor.states


def test_other_methods_take_their_options_but_no_budget():
    made = other_methods(MethodConfig(name="pixelate", cells=4), ["fill", "blur", "pixelate"])
    assert set(made) == {"fill", "blur"}
    with pytest.raises(ConfigError, match="no method 'smear'"):
        other_methods(MethodConfig(name="fill"), ["smear"])

