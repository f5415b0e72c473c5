"""Attempt 32: parts that fail while something else than a face is painted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon.config import FaultConfig
from stream_anon.errors import FrameFault, MethodFault
from stream_anon.media.cleared import FallbackLevel
from stream_anon.methods import Fill, Pixelate, Rendered
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.shapes import SHAPES
from stream_anon.pipeline.painting.targets import Target
from stream_anon.regions import FrameKey, Region, Regions
from tests.fakes import MemoryFrame, detail, noise

STOP, STEP = FaultConfig(policy="stop"), FaultConfig(policy="step-down")

ITEMS = (
    Region("1", "face", (20.0, 20.0, 70.0, 80.0), None, 0.9, "detected"),
    Region("2", "head", (130.0, 40.0, 210.0, 140.0), None, 0.9, "held"),
    Region("3", "region", (20.0, 150.0, 100.0, 220.0), None, 1.0, "edited"),
)
REGIONS = Regions(FrameKey("0", 0, 0), ITEMS)
ERRORS = (ValueError("shapes differ"), MemoryError(), cv2.error("resize"))


class Failing(MemoryFrame):
    """Its n-th crop or paste raises, or all from there on."""

    def __init__(self, part, nth, error, always=False):
        super().__init__(noise())
        self._part, self._nth, self._error, self._always = part, nth, error, always
        self._calls = 0

    def _call(self, part):
        if part == self._part:
            self._calls += 1
            if self._calls == self._nth or (self._always and self._calls > self._nth):
                raise self._error

    def crops(self, *given):
        self._call("crops")
        return super().crops(*given)

    def paste(self, *given):
        self._call("paste")
        return super().paste(*given)


def compositor(fault):
    targets = [
        Target("face", SHAPES["face"], Pixelate(4)),
        Target("head", SHAPES["head"], Pixelate(4)),
        Target("region", SHAPES["region"], Fill((9, 9, 9))),
    ]
    return Compositor(targets, fault)


def open_share(frame, item):
    """Share of a region's core that is as it was."""
    x0, y0, x1, y1 = (round(v) for v in item.box)
    w, h = (x1 - x0) // 4, (y1 - y0) // 4
    core = np.s_[y0 + h : y1 - h, x0 + w : x1 - w]
    return float((np.abs(frame.rgb[core].astype(int) - noise()[core]).max(axis=2) < 3).mean())


@pytest.mark.parametrize("always", [False, True], ids=["once", "from there on"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("part", ["crops", "paste"])
def test_32_a_crop_or_paste_of_any_label_that_raises(part, nth, error, always):
    with pytest.raises(FrameFault):
        compositor(STOP).paint(Failing(part, nth, error, always), REGIONS)
    frame = Failing(part, nth, error, always)
    made = compositor(STEP)
    cleared = made.paint(frame, REGIONS)
    expected = FallbackLevel.PIXELATED if always else FallbackLevel.FILL
    assert cleared.level is expected
    for item in ITEMS:
        assert open_share(frame, item) < 0.2, item.label
    if not always:
        area = np.zeros(frame.rgb.shape[:2], bool)
        area[65:115, 150:190] = True
        assert detail(frame.rgb, area) < 1.0, "a head's solid cover"


@pytest.mark.parametrize("label", ["head", "region"])
@pytest.mark.parametrize(
    "act",
    [
        lambda crops: None,
        lambda crops: Rendered(crops[:, :3]),
        lambda crops: Rendered(crops * np.float32("nan")),
        lambda crops: 1 / 0,
    ],
    ids=["nothing", "shape", "nan", "raises"],
)
def test_32_a_method_that_answers_nonsense_about_no_face(label, act):
    class Odd(Fill):
        name = "odd"

        def render(self, crops, subjects):
            return act(crops)

    item = next(item for item in ITEMS if item.label == label)
    regions = Regions(FrameKey("0", 0, 0), (item,))
    target = Target(label, SHAPES[label], Odd())
    with pytest.raises(MethodFault):
        Compositor([target], STOP).paint(MemoryFrame(noise()), regions)
    frame = MemoryFrame(noise())
    assert Compositor([target], STEP).paint(frame, regions).level is FallbackLevel.FILL
    assert open_share(frame, item) < 0.2


@pytest.mark.parametrize("label", ["head", "region"])
def test_32_the_input_itself_is_no_answer_about_no_face(label):
    class Same(Fill):
        name = "same"
        crop_size = 64

        def __init__(self):
            super().__init__(crop_size=64)

        def render(self, crops, subjects):
            return Rendered(crops.copy())

    item = next(item for item in ITEMS if item.label == label)
    frame = MemoryFrame(noise())
    made = Compositor([Target(label, SHAPES[label], Same())], STOP)
    made.paint(frame, Regions(FrameKey("0", 0, 0), (item,)))
    assert made.fallbacks.labels[label].stepped_down == 1
    assert open_share(frame, item) < 0.2


def test_a_label_that_nobody_chose_is_covered_all_the_same():
    """A Tracks file of a run with other targets: what was found is not left open."""
    frame = MemoryFrame(noise())
    Compositor([Target("head", SHAPES["head"], Pixelate(4))], STOP).paint(frame, REGIONS)
    for item in ITEMS:
        assert open_share(frame, item) < 0.2, item.label
