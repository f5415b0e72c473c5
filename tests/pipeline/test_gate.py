"""What the compositor paints, and how it steps down."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stream_anon.config import FaultConfig
from stream_anon.detection.types import Face
from stream_anon.errors import (
    DetectorFault,
    FrameFault,
    MethodFault,
    TrackerFault,
)
from stream_anon.geometry import apply, mask_radius
from stream_anon.media.cleared import FallbackLevel
from stream_anon.methods import Blur, Fill, Pixelate, Rendered
from stream_anon.methods.base import Method
from stream_anon.pipeline.painting.gate import Compositor
from tests.fakes import MemoryFrame, detail, noise, tracked

STOP, STEP = FaultConfig(policy="stop"), FaultConfig(policy="step-down")


class Broken(Method):
    """A method that does one wrong thing."""

    name = "broken"
    crop_size = 64

    def __init__(self, act):
        self._act = act

    def render(self, crops, subjects):
        return self._act(crops)


def _raise(_):
    raise RuntimeError("no such tensor")


WRONG = {
    "raises": _raise,
    "none": lambda crops: None,
    "wrong count": lambda crops: Rendered(crops[:0]),
    "wrong type": lambda crops: Rendered(crops.astype(np.float32)),
    "not square": lambda crops: Rendered(crops[:, :32]),
    "grey": lambda crops: Rendered(crops[..., 0]),
    "wrong mask": lambda crops: Rendered(255 - crops, masks=np.zeros((9, 8, 8), np.uint8)),
    "wrong declined": lambda crops: Rendered(255 - crops, declined=np.zeros(9, np.bool_)),
}


def inside(frame, face, slack=0.97):
    y, x = np.mgrid[: frame.height, : frame.width]
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    return (mask_radius(apply(face.transform, points)) < slack).reshape(y.shape)


@pytest.mark.parametrize("method", [Pixelate(), Blur(), Fill()], ids=lambda m: m.name)
def test_a_face_is_painted_and_the_rest_is_untouched(method):
    raw = noise()
    frame = MemoryFrame(raw.copy())
    face = tracked()
    cleared = Compositor(method, STOP).clear(frame, [face])
    assert cleared.level is FallbackLevel.METHOD
    assert cleared.painted == (1,)
    area = inside(frame, face)
    change = np.abs(frame.rgb.astype(int) - raw)[area].mean()
    assert change > 15
    outside = ~inside(frame, face, slack=1.3)
    assert (frame.rgb[outside] == raw[outside]).all()


def test_the_solid_cover_leaves_nothing_of_the_face():
    raw = noise()
    frame = MemoryFrame(raw.copy())
    face = tracked()
    Compositor(Fill((10, 200, 30)), STOP).clear(frame, [face])
    assert (frame.rgb[inside(frame, face)] == (10, 200, 30)).all()


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_method_stops_the_run(name):
    compositor = Compositor(Broken(WRONG[name]), STOP)
    with pytest.raises(MethodFault, match="broken"):
        compositor.clear(MemoryFrame(noise()), [tracked()])


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_method_steps_down_to_the_solid_cover(name):
    raw = noise()
    frame = MemoryFrame(raw.copy())
    compositor = Compositor(Broken(WRONG[name]), STEP)
    cleared = compositor.clear(frame, [tracked()])
    assert cleared.level is FallbackLevel.FILL
    area = inside(frame, tracked())
    assert detail(frame.rgb, area) < 1.0
    assert compositor.fallbacks.frames == {FallbackLevel.FILL: 1}


def test_frames_that_fail_step_down_to_the_solid_cover(monkeypatch):
    raw = noise()
    for fault in (STOP, STEP):
        frame = MemoryFrame(raw.copy())
        compositor = Compositor(Pixelate(), fault)
        painter = compositor._painters["face", compositor.method]
        monkeypatch.setattr(painter._stabilizer, "of", lambda *_: _raise(None))
        if fault is STOP:
            with pytest.raises(MethodFault, match="frames failed"):
                compositor.clear(frame, [tracked()])
            continue
        assert compositor.clear(frame, [tracked()]).level is FallbackLevel.FILL
        assert detail(frame.rgb, inside(frame, tracked())) < 1.0


def test_the_input_itself_is_no_answer():
    raw = noise()
    frame = MemoryFrame(raw.copy())
    compositor = Compositor(Broken(lambda crops: Rendered(crops.copy())), STOP)
    cleared = compositor.clear(frame, [tracked()])
    assert cleared.painted == (1,)
    assert compositor.fallbacks.faces == 1
    assert detail(frame.rgb, inside(frame, tracked())) < 1.0


def test_a_mask_smaller_than_the_minimum_is_raised_to_it():
    raw = noise()
    frame = MemoryFrame(raw.copy())

    def nothing_to_see(crops):
        return Rendered(np.full_like(crops, 7), masks=np.zeros(crops.shape[:3], np.uint8))

    Compositor(Broken(nothing_to_see), STOP).clear(frame, [tracked()])
    assert (frame.rgb[inside(frame, tracked())] == 7).all()


def fine(rgb: np.ndarray, area: np.ndarray) -> float:
    """What a small blur would take away of (h, w, 3) inside (h, w), in levels."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 2.0).astype(float)
    return float(np.abs(rgb - soft)[area].mean())


def test_a_declined_face_is_covered_and_the_others_keep_the_method():
    frame = MemoryFrame(noise())

    def second_only(crops):
        return Rendered(np.full_like(crops, 9), declined=np.array([True, False]))

    faces = [tracked(20, 20, 60, 1), tracked(180, 100, 60, 2)]
    compositor = Compositor(Broken(second_only), STOP)
    cleared = compositor.clear(frame, faces)
    assert cleared.painted == (1, 2)
    assert compositor.fallbacks.faces == 1
    assert (frame.rgb[inside(frame, faces[1])] == 9).all()
    assert not (frame.rgb[inside(frame, faces[0])] == 9).any()
    # Coarse colours are left (tests/methods/test_soft_cover.py), nothing that a blur would take.
    under = inside(frame, faces[0])
    assert fine(frame.rgb, under) < 0.25 * fine(noise(), under)


def test_a_damaged_frame_stops_or_is_pixelated_whole():
    with pytest.raises(FrameFault):
        Compositor(Pixelate(), STOP).clear(MemoryFrame(noise(), corrupt=True), [])
    raw = noise()
    frame = MemoryFrame(raw.copy(), corrupt=True)
    cleared = Compositor(Pixelate(), STEP).clear(frame, [])
    assert cleared.level is FallbackLevel.PIXELATED
    assert np.abs(frame.rgb.astype(int) - raw).mean() > 10


def test_doubt_about_the_faces_covers_the_whole_frame():
    analysis_error = DetectorFault("the detector failed")
    with pytest.raises(DetectorFault):
        Compositor(Pixelate(), STOP).clear(MemoryFrame(noise()), [], analysis_error)
    compositor = Compositor(Pixelate(), STEP)
    assert (
        compositor.clear(MemoryFrame(noise()), [], analysis_error).level is FallbackLevel.PIXELATED
    )
    assert compositor.fallbacks.reasons == {"the detector failed": 1}


def test_every_step_that_fails_is_left_by_the_next():
    class Stubborn(MemoryFrame):
        def paste(self, *_):
            raise RuntimeError("no memory")

        def pixelate(self, blocks):
            raise RuntimeError("no memory")

    frame = Stubborn(noise())
    compositor = Compositor(Broken(_raise), STEP)
    cleared = compositor.clear(frame, [tracked()])
    assert cleared.level is FallbackLevel.BLACK
    assert not frame.rgb.any()


def test_a_frame_that_cannot_even_be_blackened_is_a_fault_that_ends_the_run():
    class Hopeless(MemoryFrame):
        def pixelate(self, blocks):
            raise MemoryError

        def blacken(self):
            raise MemoryError

    with pytest.raises(FrameFault, match="blackened: MemoryError"):
        Compositor(Pixelate(), STEP).clear(
            Hopeless(noise()), [tracked()], DetectorFault("the detector failed")
        )


ERRORS = {
    "value": ValueError("a transform is not finite"),
    "memory": MemoryError(),
    "cv2": cv2.error("warpAffine: -215"),
}


class Failing(MemoryFrame):
    """Raises in one of its parts, from the given call on, as often as asked."""

    def __init__(self, rgb, part, error, first=0, times=10**6):
        super().__init__(rgb)
        self._part, self._error, self._span = part, error, range(first, first + times)
        self._calls = 0

    def _may_fail(self, part):
        if part == self._part:
            self._calls += 1
            if self._calls - 1 in self._span:
                raise self._error

    def crops(self, *given):
        self._may_fail("crops")
        return super().crops(*given)

    def paste(self, *given):
        self._may_fail("paste")
        super().paste(*given)


@pytest.mark.parametrize("part", ["crops", "paste"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_inside_crop_or_paste_is_a_fault(part, error):
    with pytest.raises(FrameFault, match="could not be painted"):
        Compositor(Pixelate(), STOP).clear(Failing(noise(), part, error), [tracked()])


@pytest.mark.parametrize("part", ["crops", "paste"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_inside_crop_or_paste_takes_the_next_rung(part, error):
    once = Failing(noise(), part, error, times=1)
    compositor = Compositor(Pixelate(), STEP)
    assert compositor.clear(once, [tracked()]).level is FallbackLevel.FILL
    assert detail(once.rgb, inside(once, tracked())) < 1.0
    always = Failing(noise(), part, error)
    assert compositor.clear(always, [tracked()]).level is FallbackLevel.PIXELATED
    assert compositor.fallbacks.frames == {FallbackLevel.FILL: 1, FallbackLevel.PIXELATED: 1}


def test_half_a_painting_is_covered_by_the_next_rung():
    class Second(Method):
        name, crop_size, opaque = "second", 64, True

        def render(self, crops, subjects):
            return Rendered(np.full_like(crops, 9))

    # The second paste is of the neighbours' inner parts: the first has been done.
    frame = Failing(noise(), "paste", MemoryError(), first=1, times=1)
    faces = [tracked(60, 60, 100, track=2), tracked(130, 60, 100, track=4)]
    cleared = Compositor(Second(), STEP).clear(frame, faces)
    assert cleared.level is FallbackLevel.FILL
    for face in faces:
        assert detail(frame.rgb, inside(frame, face)) < 12.0


NOWHERE = {
    "not finite": {"box": np.full(4, np.nan)},
    "infinite": {"box": np.array([10.0, 10.0, np.inf, 60.0])},
    "transform not finite": {"transform": np.full((2, 3), np.nan)},
    "transform flat": {"transform": np.zeros((2, 3))},
    "landmarks not finite": {"landmarks": np.full((5, 2), np.nan)},
    "far right": {"box": np.array([5000.0, 10.0, 5060.0, 70.0])},
    "far left": {"box": np.array([-900.0, 10.0, -840.0, 70.0])},
    "far below": {"box": np.array([10.0, 1e9, 60.0, 1e9 + 60.0])},
    "inside out": {"box": np.array([60.0, 60.0, 10.0, 10.0])},
    "no area": {"box": np.array([60.0, 60.0, 60.0, 90.0])},
    "mask elsewhere": {"transform": tracked(200, 150, 40).transform},
    "wrong shape": {"box": np.zeros(3)},
}


@pytest.mark.parametrize("name", NOWHERE)
def test_a_face_that_is_nowhere_is_a_doubt_about_the_frame(name):
    known, wrong = tracked(20, 20, 60, 1), replace(tracked(100, 80, 60, 2), **NOWHERE[name])
    with pytest.raises(TrackerFault, match="the place of a face"):
        Compositor(Pixelate(), STOP).clear(MemoryFrame(noise()), [known, wrong])
    frame = MemoryFrame(noise())
    compositor = Compositor(Pixelate(), STEP, draw_boxes=True)
    assert compositor.clear(frame, [known, wrong]).level is FallbackLevel.PIXELATED
    assert compositor.fallbacks.frames == {FallbackLevel.PIXELATED: 1}


def test_a_face_at_the_border_makes_sense():
    frame = MemoryFrame(noise())
    faces = [tracked(-40, 60, 60, 1), tracked(300, 220, 60, 2), tracked(-200, -200, 700, 3)]
    assert Compositor(Pixelate(), STOP).clear(frame, faces).level is FallbackLevel.METHOD


@pytest.mark.parametrize("name", ["box", "landmarks", "transform"])
def test_the_place_of_a_face_cannot_be_written_to(name):
    box, face = np.array([0.0, 0.0, 9.0, 9.0]), tracked()
    found = Face(box, np.ones((5, 2)), 0.5)
    box[:] = np.nan
    assert np.isfinite(found.box).all()
    for one in (found, face):
        values = getattr(one, name, None)
        if values is None:
            continue
        with pytest.raises(ValueError, match="read-only"):
            values[...] = np.nan
        with pytest.raises(ValueError, match="WRITEABLE"):
            values.setflags(write=True)
